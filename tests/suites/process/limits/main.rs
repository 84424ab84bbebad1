//! Every limit that a machine, a service or a sandbox may set, under no turn, one turn and many at once: each turn has one
//! end, which names the limit and its remedy, nothing is left, and turns work again when the limit is gone.
//!
//! The table is in `matrix.rs`. `cargo nextest run --test limits --no-capture` shows what each cell gave.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy does not know a test's helpers as tests"
)]

mod cell;
mod limit;
mod matrix;
mod program;
mod site;

use plexum_openai_provider_tests::tool;

use cell::check;
use matrix::{MATRIX, Row};

/// Checks the rows whose names begin like this.
fn rows_of(group: &str) {
    let rows = MATRIX.iter().filter(|row| row.name.starts_with(group));
    let checked: Vec<Vec<String>> = rows.map(checked).collect();
    assert!(!checked.is_empty(), "no row begins with {group:?}");
    let wrong = checked.concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn checked(row: &Row) -> Vec<String> {
    check(row).unwrap_or_else(|lacking| {
        tool::lacks(row.name, &lacking);
        Vec::new()
    })
}

#[test]
fn address_space() {
    rows_of("ulimit -v");
}

#[test]
fn open_files() {
    rows_of("ulimit -n");
}

#[test]
fn processes() {
    rows_of("ulimit -u");
}

#[test]
fn sizes_of_files() {
    rows_of("ulimit -f");
}

#[test]
fn stacks() {
    rows_of("ulimit -s");
}

#[test]
fn forbidden_calls() {
    rows_of("no call");
}

#[test]
fn proc() {
    rows_of("/proc");
}

#[test]
fn full_disks() {
    rows_of("full disk");
}
