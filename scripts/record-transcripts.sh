#!/usr/bin/env bash
# Records tests/transcripts anew: what the real codex prints, case by case.
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
#   BLESS=1 cargo test -p plexum-openai-provider-tests --test transcripts
#   git diff tests/transcripts
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The recorder starts this one, so cargo does not know that it is needed.
cargo build --quiet -p plexum-openai-provider-tests --bin mcp-server
cargo run --quiet -p plexum-openai-provider-tests --bin record-transcripts -- "$@"
