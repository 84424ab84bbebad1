#!/usr/bin/env bash
# What turns cost in memory: a thousand open at once on a codex that is silent for a minute, then ten thousand one after
# the other, then one in which codex prints a GiB. Fails if one does not complete, or if memory grows:
# scripts/memory.sh [OPEN [SECONDS [SEQUENCE [MIB]]]]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/tool.sh wasm-target
target=${CARGO_TARGET_DIR:-target}
cargo build --release --workspace --bins --locked
"$target/release/memory" open "$target/release/fake-codex" "${1:-1000}" "${2:-60}"
"$target/release/memory" sequence "$target/release/fake-codex" "${3:-10000}"
"$target/release/memory" stream "$target/release/fake-codex" "${4:-1024}"
