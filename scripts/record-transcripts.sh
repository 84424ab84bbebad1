#!/usr/bin/env bash
# Records tests/transcripts again: what the real codex prints, case by case.
#
# Needs the real codex binaries: scripts/test.sh installs them under target/tools, or
# PLEXUM_TEST_CODEX names others (paths separated by colons). It takes a few minutes.
#
#   scripts/record-transcripts.sh                  every case with every codex
#   scripts/record-transcripts.sh --only plain     one case
#   scripts/record-transcripts.sh --out DIR        somewhere else, to compare
#
# Afterwards write down what the transcripts translate to, and read the difference:
#
#   BLESS=1 cargo test --workspace --test transcripts
#   git diff tests/transcripts
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The recorder starts the server.
cargo build --quiet --workspace --bin mcp-server --bin record-transcripts
exec "${CARGO_TARGET_DIR:-target}/debug/record-transcripts" "$@"
