#!/usr/bin/env bash
# Measures this beside others that drive codex, on the same codex in the same run: scripts/bench.sh [--quick]
#
# Prints a table, and writes target/bench/peers.json; tests/bench/README.md says what the figures are. Takes about six
# minutes, and fifteen more for the first build. Nothing else may run meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/bench/tmp"
target=$(cd "$target" && pwd)
bench=$target/bench

scripts/tool.sh wasm-target
codex=$(scripts/tool.sh codex 0.169.0)
node=$(scripts/tool.sh node)

modules=$bench/node
if ! cmp -s tests/bench/node/package-lock.json "$modules/installed"; then
  mkdir -p "$modules"
  cp tests/bench/node/package.json tests/bench/node/package-lock.json "$modules"
  # Without the codex that the packages would bring.
  npm ci --omit=optional --ignore-scripts --no-audit --no-fund --prefix "$modules"
  cp tests/bench/node/package-lock.json "$modules/installed"
fi
cargo build --release --workspace --bins --locked
cargo build --release --locked --manifest-path tests/bench/peer-rust/Cargo.toml --target-dir "$bench/target"
cargo build --release --manifest-path tests/bench/ours/Cargo.toml --target-dir "$bench/target"

printf '%s cores, %s, %s, %s\n' "$(nproc)" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(uname -sr)" "$(rustc --version)"
exec "$bench/target/release/bench-peers" --scratch "$bench/tmp" --node "$node" --node-modules "$modules/node_modules" \
  --ours "$target/release/plexum-openai-provider" --ours-live "$bench/target/release/side-ours" \
  --real-codex "$codex" --mock-model "$target/release/mock-model" --json "$bench/peers.json" "$@"
