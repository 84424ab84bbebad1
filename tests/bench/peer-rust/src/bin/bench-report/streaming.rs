//! Text as it is written: a codex that stays beside a direct client, beside `codex exec`, and beside others.

use std::fmt::Write as _;

use crate::line::{Aim, Line, TIMES};
use crate::measured::Measured;

const OURS: &str = "ours";
/// The same for a client of the Agent Client Protocol.
const ACP: &str = "ours-acp";
/// The version of a codex that answers at once.
const FAKE: &str = "fake";
/// Those that pass text on as it is written, with a codex that stays.
const STAYING: &[&str] = &["codex-acp", "ai-sdk"];
const OTHERS: &[&str] = &["codex-acp", "ai-sdk", "codex-sdk"];

/// A figure that is compared with the best of others: what, at which work, in how many folders, and its key.
type Compared = (&'static str, &'static str, u64, &'static str);

const BESIDE_OTHERS: [Compared; 16] = [
    ("start to the first text", "start", 1, "first_ms"),
    ("start to the end", "start", 1, "end_ms"),
    ("instant, first text", "instant", 1, "first_ms"),
    ("instant, end", "instant", 1, "end_ms"),
    ("instant, CPU of all", "instant", 1, "cpu_all_ms"),
    ("slow, first text", "slow", 1, "first_ms"),
    ("slow, end", "slow", 1, "end_ms"),
    ("slow, CPU of all", "slow", 1, "cpu_all_ms"),
    ("memory of all in a turn", "instant", 1, "pss_busy_kib"),
    ("one more folder, first text", "start", 10, "first_ms"),
    ("10 folders, first text", "instant", 10, "first_ms"),
    ("10 folders, end", "instant", 10, "end_ms"),
    ("10 folders, CPU of all", "instant", 10, "cpu_all_ms"),
    ("50 at once, first text", "together", 50, "first_ms"),
    ("50 at once, a turn", "together", 50, "end_ms"),
    ("50 at once, CPU of all", "together", 50, "cpu_all_ms"),
];

/// The adapter of a codex that does not stay passes one piece on, and nothing is held between its turns.
const BESIDE_STAYING: [Compared; 5] = [
    (
        "instant, CPU of the adapter",
        "instant",
        1,
        "cpu_adapter_ms",
    ),
    ("slow, CPU of the adapter", "slow", 1, "cpu_adapter_ms"),
    ("memory of the adapter", "instant", 1, "pss_adapter_kib"),
    ("memory of all between turns", "instant", 1, "pss_all_kib"),
    (
        "10 folders, memory of all between turns",
        "instant",
        10,
        "pss_all_kib",
    ),
];

/// A column of a table: its heading, the work, and the keys of what its cells have.
type Column = (&'static str, &'static str, &'static [&'static str]);

const TIMES_OF_TURN: &[&str] = &["first_ms", "end_ms"];
const ADDED: &[&str] = &["first_added_ms", "end_added_ms"];
const CPU: &[&str] = &["cpu_adapter_ms", "cpu_all_ms"];
const BETWEEN_TURNS: &[&str] = &["pss_adapter_kib", "pss_all_kib"];

const COLUMNS: [Column; 12] = [
    ("start: first · end", "start", TIMES_OF_TURN),
    ("instant: first · end", "instant", TIMES_OF_TURN),
    ("beside `direct`", "instant", ADDED),
    ("slow: first · end", "slow", TIMES_OF_TURN),
    ("beside `direct`", "slow", ADDED),
    ("pieces · p99 of gaps", "slow", &["pieces", "gap_p99_ms"]),
    ("CPU, instant: adapter · all", "instant", CPU),
    ("CPU, slow: adapter · all", "slow", CPU),
    ("at once: first · a turn", "together", TIMES_OF_TURN),
    ("CPU, at once: adapter · all", "together", CPU),
    ("MiB between turns: adapter · all", "instant", BETWEEN_TURNS),
    ("MiB in a turn: all", "instant", &["pss_busy_kib"]),
];

/// The lines for the first table.
pub fn lines(measured: &Measured) -> Vec<Line> {
    let sides = measured.streaming_sides();
    let ours = sides.iter().filter(|(side, _)| *side == OURS);
    let versions: Vec<&str> = ours.map(|(_, codex)| *codex).collect();
    let mut lines: Vec<Line> = versions
        .iter()
        .flat_map(|codex| beside_codex(measured, codex))
        .collect();
    // The others run on the first version only.
    if let Some(codex) = versions.first() {
        let others = BESIDE_OTHERS.iter().map(|compared| (compared, OTHERS));
        let staying = BESIDE_STAYING.iter().map(|compared| (compared, STAYING));
        let compared = others.chain(staying);
        lines.extend(compared.filter_map(|(compared, others)| {
            beside_others(measured, codex, OURS, *compared, others)
        }));
        // In the same language.
        let compared = BESIDE_OTHERS.iter().chain(&BESIDE_STAYING);
        lines.extend(
            compared.filter_map(|compared| {
                beside_others(measured, codex, ACP, *compared, &["codex-acp"])
            }),
        );
    }
    lines
}

/// Ours beside the direct client and beside `exec`.
fn beside_codex(measured: &Measured, codex: &str) -> Vec<Line> {
    let of = |side, work, key| measured.streamed(side, codex, work, 1, key);
    let ms = |figure: Option<f64>| figure.map_or(String::new(), |ms| format!("{ms:.1} ms"));
    let mut lines = Vec::new();
    let mut line = |what: &str, work, key, (beside, shown), unit, aim| {
        // The aims are those beside the real one.
        let aim = if codex == FAKE { Aim::None } else { aim };
        if let Some(figure) = of(OURS, work, key) {
            lines.push(Line {
                what: format!("streaming, {what} (codex {codex})"),
                ours: ms(of(OURS, work, shown)),
                beside: ms(of(beside, work, shown)),
                figure,
                unit,
                aim,
            });
        }
    };
    let (first, end) = (("ours-exec", "first_ms"), ("ours-exec", "end_ms"));
    let most = Aim::AtMost;
    line(
        "slow, first text : exec",
        "slow",
        "first_to_exec",
        first,
        TIMES,
        most(0.08),
    );
    line(
        "instant, turn : exec",
        "instant",
        "end_to_exec",
        end,
        TIMES,
        most(0.5),
    );
    let (first, end) = (("direct", "first_ms"), ("direct", "end_ms"));
    for work in ["instant", "slow"] {
        let what = |what: &str| format!("{work}, {what}, more than direct");
        line(
            &what("first text"),
            work,
            "first_added_ms",
            first,
            "ms",
            most(3.0),
        );
        line(&what("end"), work, "end_added_ms", end, "ms", most(5.0));
    }
    let gaps = ("direct", "gap_p99_ms");
    line(
        "slow, p99 of the gaps",
        "slow",
        "gap_p99_ms",
        gaps,
        "ms",
        most(29.0),
    );
    line(
        "slow, pieces of 50",
        "slow",
        "pieces",
        ("", ""),
        "",
        Aim::AtLeast(50.0),
    );
    lines
}

/// Ours, which is this side, beside the best of the others.
fn beside_others(
    measured: &Measured,
    codex: &str,
    name: &str,
    (what, work, folders, key): Compared,
    others: &[&str],
) -> Option<Line> {
    let of = |side| measured.streamed(side, codex, work, folders, key);
    let ours = of(name)?;
    let others = others.iter().filter_map(|side| Some((side, of(side)?)));
    let (side, best) = others.min_by(|(_, one), (_, other)| one.total_cmp(other))?;
    let unit = if key.ends_with("_kib") { "MiB" } else { "ms" };
    let what = match name {
        ACP => format!("acp, {what} : codex-acp"),
        _ => format!("streaming, {what} : best of the others"),
    };
    Some(Line {
        what,
        ours: format!("{} {unit}", shown(key, ours)),
        beside: format!("{} {unit}, {side}", shown(key, best)),
        figure: ours / best,
        unit: TIMES,
        aim: Aim::AtMost(1.0),
    })
}

fn shown(key: &str, figure: f64) -> String {
    match key {
        "pieces" => format!("{figure:.0}"),
        _ if key.ends_with("_kib") => format!("{:.0}", figure / 1024.0),
        _ => format!("{figure:.1}"),
    }
}

/// The tables, in Markdown; empty where nobody was measured.
pub fn tables(measured: &Measured) -> String {
    let mut tables = String::new();
    for (folders, caption) in [
        (
            1,
            "Text as it is written. In milliseconds, and the PSS of processes",
        ),
        (
            10,
            "The same with ten folders, of which the first is not one more",
        ),
        (50, "The same with fifty turns at once, in as many folders"),
    ] {
        let cells = |side, codex, (_, work, keys): &Column| {
            let figures = keys.iter().map(|key| {
                let figure = measured.streamed(side, codex, work, folders, key);
                figure.map_or("–".to_owned(), |figure| shown(key, figure))
            });
            let figures: Vec<String> = figures.collect();
            match figures.iter().all(|figure| figure == "–") {
                true => String::new(),
                false => figures.join(" · "),
            }
        };
        let sides = measured.streaming_sides();
        let columns: Vec<&Column> = COLUMNS
            .iter()
            .filter(|column| {
                sides
                    .iter()
                    .any(|(side, codex)| !cells(side, codex, column).is_empty())
            })
            .collect();
        if columns.is_empty() {
            continue;
        }
        let _ = write!(tables, "\n{caption}:\n\n| side | codex |");
        for (heading, ..) in &columns {
            let _ = write!(tables, " {heading} |");
        }
        let _ = write!(
            tables,
            "\n| --- | --- |{}\n",
            " --: |".repeat(columns.len())
        );
        for (side, codex) in sides {
            let row: Vec<String> = columns
                .iter()
                .map(|column| cells(side, codex, column))
                .collect();
            if row.iter().any(|cell| !cell.is_empty()) {
                let _ = writeln!(tables, "| {side} | {codex} | {} |", row.join(" | "));
            }
        }
    }
    tables
}
