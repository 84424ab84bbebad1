#!/usr/bin/env bash
# Measures what this costs: beside codex alone, beside the same code without a sandbox, and beside others that drive
# codex, each with what it is compared with in the same run: scripts/bench.sh [--quick]
#
# Prints a table, and writes target/bench/: results.json, table.md, chart.svg. Takes about twenty minutes, and twenty
# more for the first build. Nothing else may run meanwhile. tests/bench/README.md says what the figures are.
set -euo pipefail
cd "$(dirname "$0")/.."
began=$(date +%F)

case ${1-} in
  '') criterion=() peers=() turns=1000 silent=60 sequence=10000 mib=1024 ;;
  --quick) criterion=(--quick) peers=(--quick) turns=100 silent=20 sequence=500 mib=128 ;;
  *)
    echo 'usage: scripts/bench.sh [--quick]' >&2
    exit 2
    ;;
esac

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/bench/tmp"
target=$(cd "$target" && pwd)
bench=$target/bench

scripts/tool.sh wasm-target
codex=$(scripts/tool.sh codex 0.169.0)
old_codex=$(scripts/tool.sh codex 0.135.0)
node=$(scripts/tool.sh node)

modules=$bench/node
if ! cmp -s tests/bench/node/package-lock.json "$modules/installed"; then
  mkdir -p "$modules"
  cp tests/bench/node/package.json tests/bench/node/package-lock.json "$modules"
  # Without the codex that the packages would bring.
  npm ci --omit=optional --ignore-scripts --no-audit --no-fund --prefix "$modules"
  cp tests/bench/node/package-lock.json "$modules/installed"
fi
# All of it first: a compiler beside a measurement spoils it.
cargo build --release --workspace --bins --locked
cargo bench --workspace --bench host --locked --no-run
cargo build --release --locked --manifest-path tests/bench/peer-rust/Cargo.toml --target-dir "$bench/target"
cargo build --release --locked --manifest-path tests/bench/ours/Cargo.toml --target-dir "$bench/target"

rm -rf "$target/criterion"
cargo bench --workspace --bench host --locked -- --noplot "${criterion[@]}"
for mode in "open $turns $silent" "sequence $sequence" "stream $mib"; do
  # shellcheck disable=SC2086 # a mode and its numbers are words
  set -- $mode
  "$target/release/memory" "$1" "$target/release/fake-codex" "${@:2}" --json="$bench/$1.json"
done
"$bench/target/release/bench-peers" --scratch "$bench/tmp" --node "$node" --node-modules "$modules/node_modules" \
  --ours "$target/release/plexum-openai-provider" --ours-live "$bench/target/release/side-ours" \
  --real-codex "$codex" --old-codex "$old_codex" --mock-model "$target/release/mock-model" \
  --json "$bench/peers.json" "${peers[@]}"

machine="$(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(uname -sr), $(rustc --version | cut -d ' ' -f 1,2), codex 0.169.0 and 0.135.0, node $("$node" --version), $began"
command="scripts/bench.sh${peers[*]:+ ${peers[*]}}"
"$bench/target/release/bench-report" "$bench" "$target/criterion" "$machine" "$command"
