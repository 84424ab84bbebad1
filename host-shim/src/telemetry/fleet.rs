//! Counters of a fleet's session store.

#[cfg(feature = "fleet")]
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
#[cfg(feature = "fleet")]
use std::time::Duration;

use serde::Serialize;

use super::durations::Durations;

/// What has happened with the conversations that this process has had in a store that machines share. All of it only grows.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FleetMetrics {
    /// Leases that were taken, and how long each took. Those that others had meanwhile took longest.
    pub leases: Durations,
    /// Leases that were lost while a turn ran.
    pub leases_lost: u64,
    /// Bytes of codex's records that were handed to the store.
    pub bytes_handed_over: u64,
    /// Bytes of codex's records that were fetched from the store.
    pub bytes_fetched: u64,
    /// Records that were fetched, all or the rest of them, and how long each took.
    pub restores: Durations,
}

/// Counts them.
#[cfg(feature = "fleet")]
#[derive(Debug, Clone, Default)]
pub struct FleetMeter(Arc<Mutex<FleetMetrics>>);

#[cfg(feature = "fleet")]
impl FleetMeter {
    /// The present values.
    pub fn read(&self) -> FleetMetrics {
        self.lock().clone()
    }

    /// A lease was taken after so long.
    pub fn taken(&self, after: Duration) {
        self.lock().leases.add(after);
    }

    /// A lease was lost.
    pub fn lost(&self) {
        self.lock().leases_lost += 1;
    }

    /// So many bytes were handed over.
    pub fn handed_over(&self, bytes: usize) {
        self.lock().bytes_handed_over += bytes as u64;
    }

    /// So many bytes were fetched within so long.
    pub fn restored(&self, bytes: u64, within: Duration) {
        let mut metrics = self.lock();
        metrics.bytes_fetched += bytes;
        metrics.restores.add(within);
    }

    fn lock(&self) -> MutexGuard<'_, FleetMetrics> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
