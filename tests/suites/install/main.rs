//! `scripts/install.sh`, as an operator runs it: in a scratch home, with nothing but coreutils on PATH.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy does not know a test's helpers as tests"
)]

mod again;
mod archive;
mod blocked;
mod fresh;
mod home;
mod interrupted;
mod plexum_config;
mod removal;
mod repository;
mod two_names;
mod upgrade;
