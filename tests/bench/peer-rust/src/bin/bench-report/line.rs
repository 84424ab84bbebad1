//! The lines of the first table: what was measured, beside what, and what the aim is.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::measured::{Measured, figure};
use crate::streaming;

/// A line of the table.
pub struct Line {
    pub what: String,
    /// What is compared, and what with, in words and with units.
    pub ours: String,
    pub beside: String,
    /// The figure that the aim is about, and its unit.
    pub figure: f64,
    pub unit: &'static str,
    pub aim: Aim,
}

/// The unit of a ratio.
pub const TIMES: &str = "×";

/// What is aimed at.
pub enum Aim {
    AtMost(f64),
    AtLeast(f64),
    /// No aim: less is better.
    None,
}

impl Line {
    fn reached(&self) -> Option<bool> {
        match self.aim {
            Aim::AtMost(most) => Some(self.figure <= most),
            Aim::AtLeast(least) => Some(self.figure >= least),
            Aim::None => None,
        }
    }

    /// How much of what is aimed at the figure takes, more than 1 where that is not reached; nothing without an aim.
    pub fn share_of_aim(&self) -> Option<f64> {
        match self.aim {
            Aim::AtMost(most) => Some(self.figure / most),
            Aim::AtLeast(least) => Some(least / self.figure),
            Aim::None => None,
        }
    }

    /// The line as JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "what": self.what,
            "ours": self.ours,
            "beside": self.beside,
            "figure": self.figure,
            "unit": self.unit,
            "at_most": match self.aim { Aim::AtMost(most) => Some(most), _ => None },
            "at_least": match self.aim { Aim::AtLeast(least) => Some(least), _ => None },
            "reached": self.reached(),
        })
    }
}

/// The lines of a run.
pub fn all(measured: &Measured) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (length, most) in [("200 B", 1.3), ("2 KB", 1.3), ("64 KB", 1.5)] {
        let sandbox = measured.ns(&format!("translation/sandbox/{length}"))?;
        let native = measured.ns(&format!("translation/native/{length}"))?;
        lines.push(Line {
            what: format!("translation of a line of {length}, sandbox : native"),
            ours: format!("{:.2} µs", sandbox / 1e3),
            beside: format!("{:.2} µs", native / 1e3),
            figure: sandbox / native,
            unit: TIMES,
            aim: Aim::AtMost(most),
        });
    }
    lines.extend(programs(measured));
    for (what, benchmark, most) in [
        ("loading the component, warm", "start/load", 1e6),
        ("instantiating it", "start/instantiate", 0.05e6),
    ] {
        let ns = measured.ns(benchmark)?;
        lines.push(Line {
            what: what.to_owned(),
            ours: format!("{:.3} ms", ns / 1e6),
            beside: String::new(),
            figure: ns / 1e6,
            unit: "ms",
            aim: Aim::AtMost(most / 1e6),
        });
    }
    let bare = measured.ns("turn/bare codex")?;
    for turn in [
        "first of a conversation",
        "next of a conversation",
        "next, without the process",
        "next, without process and disk",
    ] {
        let ns = measured.ns(&format!("turn/{turn}"))?;
        // Without a process there is nothing to take off.
        let beside = if turn.contains("without") { 0.0 } else { bare };
        lines.push(Line {
            what: format!("added to a turn in a live host, {turn}"),
            ours: format!("{:.2} ms", ns / 1e6),
            beside: format!("{:.2} ms", beside / 1e6),
            figure: (ns - beside) / 1e6,
            unit: "ms",
            aim: if turn.contains("without") {
                Aim::None
            } else {
                Aim::AtMost(0.5)
            },
        });
    }
    lines.extend(memory(measured)?);
    let (turn, native) = (
        measured.ns("stream/turn")?,
        measured.ns("stream/serde_json")?,
    );
    // A byte a nanosecond is 1000 MB a second.
    let (turn, native) = (1e3 / turn, 1e3 / native);
    lines.push(Line {
        what: "1 GiB of lines through a turn, beside serde_json alone".to_owned(),
        ours: format!("{turn:.0} MB/s"),
        beside: format!("{native:.0} MB/s, {:.2} ×", turn / native),
        figure: turn,
        unit: "MB/s",
        aim: Aim::AtLeast(400.0),
    });
    lines.extend(streaming::lines(measured));
    Ok(lines)
}

/// Whole programs beside bare codex.
fn programs(measured: &Measured) -> Vec<Line> {
    let mut lines = Vec::new();
    let program = |side, codex, key| measured.peer(side, codex, "program", 1, key);
    if let (Some(ours), Some(bare)) = (
        program("ours", "fake", "turn_ms"),
        program("bare", "fake", "turn_ms"),
    ) {
        lines.push(Line {
            what: "`say` on a codex that answers at once, less 1.05 × that codex".to_owned(),
            ours: format!("{ours:.2} ms"),
            beside: format!("{bare:.2} ms"),
            figure: ours - 1.05 * bare,
            unit: "ms",
            aim: Aim::AtMost(8.0),
        });
    }
    if let (Some(ours), Some(bare)) = (
        program("ours", "fake", "first_event_ms"),
        program("bare", "fake", "first_event_ms"),
    ) {
        lines.push(Line {
            what: "`say`, from its start to codex's, at most".to_owned(),
            ours: format!("{ours:.2} ms to the first event"),
            beside: format!("{bare:.2} ms"),
            figure: ours - bare,
            unit: "ms",
            aim: Aim::AtMost(10.0),
        });
    }
    for (mode, what) in [
        ("program", "`say` on the real codex : that codex alone"),
        (
            "live",
            "a turn of the real codex in a live host : that codex alone",
        ),
    ] {
        let of = |side, key| measured.peer(side, "real", mode, 1, key);
        if let (Some(ours), Some(bare), Some(ratio)) = (
            of("ours", "turn_ms"),
            of("bare", "turn_ms"),
            of("ours", "ratio_to_bare"),
        ) {
            lines.push(Line {
                what: what.to_owned(),
                ours: format!("{ours:.1} ms"),
                beside: format!("{bare:.1} ms"),
                figure: ratio,
                unit: TIMES,
                aim: Aim::AtMost(1.03),
            });
        }
    }
    lines
}

fn memory(measured: &Measured) -> anyhow::Result<Vec<Line>> {
    let turn = figure(&measured.open, "kib_a_turn")?;
    let turns = figure(&measured.open, "turns")?;
    let (early, late) = (
        figure(&measured.sequence, "after_first_kib")?,
        figure(&measured.sequence, "after_all_kib")?,
    );
    let sequence = figure(&measured.sequence, "turns")?;
    let (before, peak) = (
        figure(&measured.stream, "before_kib")?,
        figure(&measured.stream, "peak_kib")?,
    );
    Ok(vec![
        Line {
            what: format!("memory of an open turn, of {turns}"),
            ours: format!("{turn:.0} KiB"),
            beside: String::new(),
            figure: turn,
            unit: "KiB",
            aim: Aim::AtMost(150.0),
        },
        Line {
            what: format!("memory after {sequence} turns : after the first tenth of them"),
            ours: format!("{late} KiB"),
            beside: format!("{early} KiB"),
            figure: late / early,
            unit: TIMES,
            aim: Aim::AtMost(1.2),
        },
        Line {
            what: "most memory while 1 GiB passes, more than before".to_owned(),
            ours: format!("{peak} KiB"),
            beside: format!("{before} KiB"),
            figure: (peak - before) / 1024.0,
            unit: "MiB",
            aim: Aim::AtMost(64.0),
        },
    ])
}

/// The lines for people to read, in Markdown.
pub fn table(lines: &[Line]) -> String {
    let mut table =
        String::from("| what | ours | beside | figure | aim |\n| --- | --: | --: | --: | --: |\n");
    for line in lines {
        let Line { what, unit, .. } = line;
        let bound = match line.aim {
            Aim::AtMost(most) => format!("≤ {most} {unit}"),
            Aim::AtLeast(least) => format!("≥ {least} {unit}"),
            Aim::None => String::new(),
        };
        let aim = if line.reached() == Some(false) {
            format!("**{bound}**")
        } else {
            bound
        };
        let figure = if line.figure < 10.0 {
            format!("{:.2}", line.figure)
        } else {
            format!("{:.0}", line.figure)
        };
        let _ = writeln!(
            table,
            "| {what} | {} | {} | {figure} {unit} | {aim} |",
            line.ours, line.beside
        );
    }
    table + "\nAn aim in bold was not reached.\n"
}
