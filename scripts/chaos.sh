#!/usr/bin/env bash
# Turns with random faults, two thousand by default, fifty at once, and as many of a codex that stays, twenty
# conversations at once. Fails if one of them hangs, ends in the wrong way or leaves something behind:
# scripts/chaos.sh [TURNS [AT_ONCE [SEED]]]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/tool.sh wasm-target
target=${CARGO_TARGET_DIR:-target}
cargo build --release --workspace --bins --locked
cargo build --release --locked --target wasm32-wasip2 -p plexum-openai-provider-hostile
programs=("$target/release/plexum-openai-provider" "$target/release/fake-codex")
hostile=$target/wasm32-wasip2/release/plexum_openai_provider_hostile.wasm
"$target/release/chaos" exec "${programs[@]}" "$hostile" "${1:-2000}" "${2:-50}" "${3:-1}"
"$target/release/chaos" app-server "${programs[@]}" "${1:-2000}" "${2:-20}" "${3:-1}"
