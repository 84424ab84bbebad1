//! What became of turns.

use std::collections::BTreeMap;
use std::time::Instant;

use plexum_openai_provider::{Failure, FailureKind};

use crate::fault::Fault;
use crate::prompt::Prompt;
use crate::site::Strike;

/// A turn.
#[derive(Debug, Clone)]
pub struct Turned {
    /// Its number, in the order in which all turns began.
    pub number: usize,
    /// Its conversation.
    pub conversation: usize,
    /// Its host.
    pub host: usize,
    /// What it was asked.
    pub prompt: Prompt,
    /// When it began.
    pub begun: Instant,
    /// When its end was told, or its host was gone.
    pub ended: Instant,
    /// How.
    pub end: End,
}

/// How a turn ended.
#[derive(Debug, Clone)]
pub enum End {
    /// Without a failure, and with these words.
    Complete(String),
    /// With a failure.
    Failed(Failure),
    /// Its host was killed.
    HostGone,
    /// Not in time.
    Never,
}

impl Turned {
    /// Whether it was told complete.
    pub fn is_complete(&self) -> bool {
        matches!(self.end, End::Complete(_))
    }

    /// The latest fault that may have come over it.
    pub fn fault(&self, strikes: &[Strike]) -> Option<Fault> {
        let meets = |strike: &&Strike| {
            let fault = strike.fault;
            let is_there = strike.turn == self.number
                || !fault.is_of_turn() && (fault.is_everywhere() || strike.host == self.host);
            is_there
                && strike.from <= self.ended
                && strike.until.is_none_or(|until| until >= self.begun)
        };
        // Its own before another's.
        let own = strikes
            .iter()
            .rfind(|strike| strike.turn == self.number && meets(strike));
        own.or_else(|| strikes.iter().rfind(meets))
            .map(|strike| strike.fault)
    }
}

/// The failures that a fault of this program may be told as. All may be tried again.
pub const MAY_FAIL: [FailureKind; 4] = [
    FailureKind::SessionMoved,
    FailureKind::StoreUnavailable,
    FailureKind::Killed,
    FailureKind::SessionBusy,
];

/// Prints how turns ended under which fault, and returns how many were ended by one.
pub fn print_table(all: &[Turned], strikes: &[Strike]) -> usize {
    let mut table: BTreeMap<(String, String), usize> = BTreeMap::new();
    let (mut complete, mut survived, mut ended) = (0, 0, 0);
    for turned in all {
        let fault = turned.fault(strikes);
        let end = match &turned.end {
            End::Complete(_) => {
                complete += 1;
                survived += usize::from(fault.is_some());
                continue;
            }
            End::Failed(failure) => format!("{:?}", failure.kind),
            End::HostGone => "its host was gone".to_owned(),
            End::Never => "no end".to_owned(),
        };
        ended += usize::from(fault.is_some());
        let fault = fault.map_or("no fault".to_owned(), |fault| format!("{fault:?}"));
        *table.entry((fault, end)).or_default() += 1;
    }
    println!(
        "{complete} were told complete, {survived} of them under a fault; {ended} were ended by a fault:"
    );
    for ((fault, end), count) in table {
        println!("  {count:5} {fault}: {end}");
    }
    let slowest = all.iter().map(|turned| turned.ended - turned.begun).max();
    println!(
        "the slowest turn took {:.1} s",
        slowest.unwrap_or_default().as_secs_f64()
    );
    ended
}
