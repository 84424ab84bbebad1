//! What every engine of a fleet must pass. Whoever writes one calls [`suite`] in a test.

mod entry;
mod lease;
mod operator;
mod record;
mod setting;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use self::setting::Setting;
use super::store::FleetStore;
use crate::session::store::SessionError;

/// What an engine did otherwise than it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What must hold.
    pub contract: &'static str,
    /// What happened instead.
    pub found: String,
}

/// All that an engine did otherwise than it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violations(pub Vec<Violation>);

impl fmt::Display for Violations {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Violation { contract, found } in &self.0 {
            writeln!(to, "{contract}: {found}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

/// Why a contract does not hold.
struct Broken(String);

impl From<SessionError> for Broken {
    fn from(error: SessionError) -> Self {
        Broken(format!("{:?}: {error}", error.kind))
    }
}

type Check = Result<(), Broken>;
type Contract = fn(Setting) -> Pin<Box<dyn Future<Output = Check> + Send>>;

/// Ends a contract unless this holds.
macro_rules! must {
    ($holds:expr, $($found:tt)+) => {
        if !$holds {
            return Err($crate::fleet::conformance::Broken(format!($($found)+)));
        }
    };
}
use must;

/// A list of contracts: what each is called, and the function that tries it.
macro_rules! contracts {
    ($($what:literal => $holds:path),+ $(,)?) => {
        [$(($what, (|setting| Box::pin($holds(setting))) as Contract)),+]
    };
}
use contracts;

/// Tries every contract, each with what `make` returns: a store that nobody else uses, new or the same one again. What
/// is in it is removed.
///
/// # Errors
/// All contracts that do not hold.
pub async fn suite(make: impl AsyncFn() -> Arc<dyn FleetStore>) -> Result<(), Violations> {
    let mut violations = Vec::new();
    let all = [
        lease::contracts().as_slice(),
        record::contracts().as_slice(),
        entry::contracts().as_slice(),
        operator::contracts().as_slice(),
    ]
    .concat();
    for (number, (contract, holds)) in all.into_iter().enumerate() {
        let setting = Setting::new(make().await, number);
        if let Err(Broken(found)) = holds(setting).await {
            violations.push(Violation { contract, found });
        }
    }
    if violations.is_empty() {
        Ok(())
    } else {
        Err(Violations(violations))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::memory::MemoryStore;

    #[tokio::test]
    async fn the_store_in_memory_keeps_every_contract() {
        let made = suite(async || Arc::new(MemoryStore::new()) as Arc<dyn FleetStore>).await;
        assert_eq!(made.map_err(|violations| violations.to_string()), Ok(()));
        let one = MemoryStore::new();
        let shared = suite(async || Arc::new(one.clone()) as Arc<dyn FleetStore>).await;
        assert_eq!(shared.map_err(|violations| violations.to_string()), Ok(()));
    }
}
