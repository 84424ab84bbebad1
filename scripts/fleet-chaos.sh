#!/usr/bin/env bash
# A fleet under random faults: three hosts over one PostgreSQL, and two hundred turns by default, of which at least sixty are
# ended by a fault: a host, its supervisor or both are killed, a host is stopped for longer than its lease, PostgreSQL is
# killed or hangs, a network is cut. Fails if a turn that was told complete is not in the record, whole and once, if a host
# wrote without its lease, if a turn has no end in time, or if anything is left running:
# scripts/fleet-chaos.sh [TURNS [SEED [CODEX_VERSION]]]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/tool.sh postgres >/dev/null
codex=$(scripts/tool.sh codex "${3:-0.169.0}")
scripts/tool.sh wasm-target
# As scripts/test.sh does, and for its reasons.
cargo build --workspace --bin plexum-openai-provider --bin fleet-chaos --locked
programs=$(cd "${CARGO_TARGET_DIR:-target}/debug" && pwd)
PLEXUM_TEST_PROGRAM=$programs/plexum-openai-provider exec "$programs/fleet-chaos" "$codex" "${1:-200}" "${2:-1}"
