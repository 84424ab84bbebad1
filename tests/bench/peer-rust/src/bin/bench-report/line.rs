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
    for length in ["200 B", "2 KB", "64 KB"] {
        lines.extend(translation(measured, length)?);
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
    for turn in ["first of a conversation", "next of a conversation"] {
        lines.push(added(measured, turn, bare, Aim::AtMost(0.5))?);
    }
    // Without a process there is nothing to take off.
    for turn in [
        "next, without the process",
        "next, without process and disk",
        "next, without process, disk and sandbox",
    ] {
        lines.push(added(measured, turn, 0.0, Aim::None)?);
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
        aim: Aim::AtLeast(1000.0),
    });
    lines.extend(fleet(measured)?);
    lines.extend(streaming::lines(measured));
    Ok(lines)
}

/// The sandbox beside the best that others do with such a line, and beside the same code without it.
fn translation(measured: &Measured, length: &str) -> anyhow::Result<Vec<Line>> {
    let of = |how: &str| measured.ns(&format!("translation/{how}/{length}"));
    let (sandbox, native) = (of("sandbox")?, of("native")?);
    let line = |what: &str, who: &str, ns: f64, aim| Line {
        what: format!("a line of {length}, {what}"),
        ours: format!("{:.2} µs", sandbox / 1e3),
        beside: format!("{:.2} µs{who}", ns / 1e3),
        figure: sandbox / ns,
        unit: TIMES,
        aim,
    };
    let peers = measured.criterion.iter().filter_map(|(name, ns)| {
        let how = name.strip_prefix("translation/")?;
        let how = how.strip_suffix(length)?.strip_suffix('/')?;
        (!["sandbox", "native"].contains(&how)).then_some((how, *ns))
    });
    let mut lines = Vec::new();
    if let Some((who, ns)) = peers.min_by(|(_, one), (_, other)| one.total_cmp(other)) {
        lines.push(line(
            "in the sandbox : the best of others",
            &format!(", {who}"),
            ns,
            Aim::AtMost(1.0),
        ));
    }
    lines.push(line(
        "in the sandbox : the same code without",
        "",
        native,
        Aim::None,
    ));
    Ok(lines)
}

/// What a turn in a live host takes beyond something else.
fn added(measured: &Measured, turn: &str, beside: f64, aim: Aim) -> anyhow::Result<Line> {
    let ns = measured.ns(&format!("turn/{turn}"))?;
    Ok(Line {
        what: format!("added to a turn in a live host, {turn}"),
        ours: format!("{:.2} ms", ns / 1e6),
        beside: format!("{:.2} ms", beside / 1e6),
        figure: (ns - beside) / 1e6,
        unit: "ms",
        aim,
    })
}

/// What a store of a fleet adds to a turn whose codex is no process.
fn fleet(measured: &Measured) -> anyhow::Result<Vec<Line>> {
    let Some(fleet) = &measured.fleet else {
        return Ok(Vec::new());
    };
    let turns = &fleet["whole_turns"];
    let (files, store) = (
        figure(turns, "files_p50_ms")?,
        figure(turns, "fleet_p50_ms")?,
    );
    let restore = figure(turns, "restore_ms")?;
    Ok(vec![
        Line {
            what: "a turn with a fleet's store, more than with files".to_owned(),
            ours: format!("{store:.2} ms"),
            beside: format!("{files:.2} ms"),
            figure: store - files,
            unit: "ms",
            aim: Aim::None,
        },
        Line {
            what: "a restore of 10 MB on another host".to_owned(),
            ours: format!("{restore:.0} ms"),
            beside: String::new(),
            figure: restore,
            unit: "ms",
            aim: Aim::None,
        },
    ])
}

/// Whole programs beside bare codex.
fn programs(measured: &Measured) -> Vec<Line> {
    let mut lines = Vec::new();
    let program = |side, codex, key| measured.peer(side, codex, "program", 1, key);
    if let (Some(ours), Some(bare), Some(added)) = (
        program("ours", "fake", "turn_ms"),
        program("bare", "fake", "turn_ms"),
        program("ours", "fake", "added_ms"),
    ) {
        lines.push(Line {
            what: "`say` on a codex that answers at once, more than that codex".to_owned(),
            ours: format!("{ours:.2} ms"),
            beside: format!("{bare:.2} ms"),
            figure: added,
            unit: "ms",
            aim: Aim::AtMost(3.0),
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
            aim: Aim::None,
        });
    }
    let start = |warm: bool| {
        let of = |row: &&Value| row["side"] == "ours" && row["warm"] == warm;
        measured.starts.iter().find(of)?["turn_ms"].as_f64()
    };
    if let (Some(cold), Some(warm)) = (start(false), start(true)) {
        lines.push(Line {
            what: "the first `say` on a machine, beside the next one".to_owned(),
            ours: format!("{cold:.1} ms"),
            beside: format!("{warm:.1} ms"),
            figure: cold,
            unit: "ms",
            aim: Aim::AtMost(60.0),
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
    let space = figure(&measured.address_space, "peak_kib")? / 1024.0;
    let limited = measured.address_space["limit_kib"].as_f64().is_some();
    Ok(vec![
        Line {
            what: "address space of ten open turns, under `ulimit -v` 2 GiB".to_owned(),
            ours: match limited {
                true => format!("{space:.0} MiB"),
                false => format!("fails; {space:.0} MiB without a limit"),
            },
            beside: String::new(),
            figure: space,
            unit: "MiB",
            aim: Aim::AtMost(2048.0),
        },
        Line {
            what: format!("memory of an open turn, of {turns}"),
            ours: format!("{turn:.0} KiB"),
            beside: String::new(),
            figure: turn,
            unit: "KiB",
            aim: Aim::AtMost(64.0),
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
