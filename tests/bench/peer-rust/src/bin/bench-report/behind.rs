//! Where somebody else is ahead: by how much, and which promise of this project costs it.

use std::fmt::Write as _;

use crate::measured::Measured;

const OURS: &str = "ours";

/// What is not somebody else's wrapper: codex itself, and this project without one of its promises.
const NOT_OTHERS: [&str; 4] = ["bare", OURS, UNSYNCED, UNSUPERVISED];
const UNSYNCED: &str = "ours-unsynced";
const UNSUPERVISED: &str = "ours-unsupervised";

/// What is compared: its name, its key in a row, and its unit in the unit of that.
const FIGURES: [(&str, &str, &str, f64); 4] = [
    ("first event", "first_event_ms", "ms", 1.0),
    ("turn", "turn_ms", "ms", 1.0),
    ("processor", "cpu_own_ms", "ms", 1.0),
    ("memory", "peak_rss_kib", "MiB", 1024.0),
];

/// The table, in Markdown; empty where nobody was measured.
pub fn table(measured: &Measured) -> String {
    let mut table = String::from(
        "| codex | | figure | ours | best of the others | behind by | without a sync | without the supervisor |\n\
         | --- | --- | --- | --: | --: | --: | --: | --: |\n",
    );
    let (mut cells, mut behind) = (0, 0);
    for codex in ["fake", "real"] {
        for (mode, concurrency) in measured.settings(codex) {
            for (what, key, unit, by) in FIGURES {
                let of = |side| Some(measured.peer(side, codex, mode, concurrency, key)? / by);
                let others = measured.sides().into_iter();
                let others = others
                    .filter(|side| !NOT_OTHERS.contains(side))
                    .filter_map(|side| Some((side, of(side)?)));
                let best = others.min_by(|(_, one), (_, other)| one.total_cmp(other));
                let (Some(ours), Some((who, best))) = (of(OURS), best) else {
                    continue;
                };
                cells += 1;
                if ours <= best {
                    continue;
                }
                behind += 1;
                let without = |side| {
                    of(side).map_or(String::new(), |figure| {
                        format!("{figure:.2} {unit} ({:+.2})", figure - ours)
                    })
                };
                let _ = writeln!(
                    table,
                    "| {codex} | {mode}, {concurrency} at a time | {what} | {ours:.2} {unit} | {best:.2} {unit}, {who} | \
                     {:.2} {unit} | {} | {} |",
                    ours - best,
                    without(UNSYNCED),
                    without(UNSUPERVISED),
                );
            }
        }
    }
    match cells {
        0 => String::new(),
        _ => format!("Behind the best of the others in {behind} of {cells} cells:\n\n{table}"),
    }
}
