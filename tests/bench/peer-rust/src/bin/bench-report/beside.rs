//! The other tables: everybody who drives codex, on the same codex.

use std::fmt::Write as _;

use crate::measured::Measured;

/// The tables, one a codex, in Markdown; empty where nobody was measured.
pub fn tables(measured: &Measured) -> String {
    let mut tables = String::new();
    // With the real codex, what helpers take drowns in the noise of codex; see tests/bench/README.md.
    for (codex, caption, cpu_key, cpu) in [
        (
            "fake",
            "On a codex that answers at once",
            "cpu_ms",
            "the processor's time of the wrapper and its helpers",
        ),
        (
            "real",
            "On the real codex, of a model that answers at once",
            "cpu_own_ms",
            "the processor's time of the wrapper without helpers",
        ),
    ] {
        let settings = measured.settings(codex);
        if settings.is_empty() {
            continue;
        }
        let _ = write!(
            tables,
            "\n{caption}. In milliseconds: the first event, the turn, {cpu}; and the most memory of its process.\n\n|"
        );
        for (mode, concurrency) in &settings {
            let place = match *mode {
                "live" => "in a live process",
                _ => "as a whole program",
            };
            let _ = write!(tables, " | {place}, {concurrency} at a time");
        }
        let _ = write!(tables, " |\n| --- |{}\n", " --: |".repeat(settings.len()));
        for side in measured.sides() {
            let cells = settings.iter().map(|(mode, concurrency)| {
                let of = |key| measured.peer(side, codex, mode, *concurrency, key);
                let (first, turn, cpu) = (of("first_event_ms")?, of("turn_ms")?, of(cpu_key)?);
                let memory = of("peak_rss_kib")
                    .map_or(String::new(), |kib| format!(" · {:.0} MiB", kib / 1024.0));
                Some(format!("{first:.1} · {turn:.2} · {cpu:.1}{memory}"))
            });
            let cells: Vec<Option<String>> = cells.collect();
            // Not everybody drives each codex.
            if cells.iter().all(Option::is_none) {
                continue;
            }
            let cells: Vec<String> = cells.into_iter().map(Option::unwrap_or_default).collect();
            let _ = write!(tables, "| {side} | {} |", cells.join(" | "));
            tables.push('\n');
        }
    }
    tables
}
