#!/usr/bin/env bash
# Kills hosts at random moments of their turns, ten thousand times by default, and fails if one kill
# loses the thread id: scripts/sigkill.sh [KILLS [SEED]]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/tool.sh wasm-target
cargo build --workspace --bins --locked
programs=$(cd "${CARGO_TARGET_DIR:-target}/debug" && pwd)
exec "$programs/sigkill" "$programs/fake-codex" "${1:-10000}" "${2:-1}"
