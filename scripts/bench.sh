#!/usr/bin/env bash
# Measures what this costs: beside codex alone, beside the same code without a sandbox, and beside others that drive
# codex, each with what it is compared with in the same run.
#
#   scripts/bench.sh [--quick] [--write-docs]                    beside others
#   scripts/bench.sh [--quick] [--write-docs] --compare COMMIT   beside what it was at that commit, round by round
#
# Prints a table, and writes target/bench/: results.json, table.md, chart.svg; or compare.json and compare.md. With
# --write-docs the tables of tests/bench/RESULTS.md become those. Either takes less than twelve minutes once everything is
# built, which takes twenty the first time. Nothing else may run meanwhile. tests/bench/README.md says what the figures
# are.
set -euo pipefail
cd "$(dirname "$0")/.."
began=$(date +%F)
docs=tests/bench/RESULTS.md

usage() {
  echo 'usage: scripts/bench.sh [--quick] [--write-docs] [--compare COMMIT]' >&2
  exit 2
}

quick=() write_docs=() commit='' arguments=$*
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=(--quick) ;;
    --write-docs) write_docs=("$docs") ;;
    --compare)
      commit=$(git rev-parse --verify --quiet "${2-}^{commit}") || {
        echo "There is no commit \`${2-}\` here: name one that \`git log\` shows." >&2
        exit 2
      }
      shift
      ;;
    *) usage ;;
  esac
  shift
done
if [ ${#quick[@]} != 0 ] && [ ${#write_docs[@]} != 0 ]; then
  echo 'The figures of --quick are too rough for the documents: leave out one of --quick and --write-docs.' >&2
  exit 2
fi

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/bench/tmp"
target=$(cd "$target" && pwd)
bench=$target/bench

scripts/tool.sh wasm-target
codex=$(scripts/tool.sh codex 0.169.0)
old_codex=$(scripts/tool.sh codex 0.135.0)
node=$(scripts/tool.sh node)
fleet=(--bin fleet-load)
if ! { type -P postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres'; } >/dev/null; then
  echo 'PostgreSQL is not installed: the store of a fleet is not measured. scripts/tool.sh postgres installs it.' >&2
  fleet=()
fi

# Says how long the parts take: the whole has a limit.
step() { # what
  echo "== after $SECONDS s: $1" >&2
}

# Builds the programs of a checkout, and puts them into a folder.
workspace_programs() { # checkout, target folder, folder for the programs, options of cargo…
  local checkout=$1 built=$2 programs=$3 program
  shift 3
  # In the condition of an `if`, a failure does not end the script by itself.
  cargo build --release --workspace --bin plexum-openai-provider --bin memory --bin fake-codex --bin mock-model \
    "${fleet[@]}" --manifest-path "$checkout/Cargo.toml" --target-dir "$built" "$@" || return
  mkdir -p "$programs"
  rm -f "$programs/fleet-load"
  for program in plexum-openai-provider memory fake-codex mock-model ${fleet[1]-}; do
    ln -sfn "$built/release/$program" "$programs/$program"
  done
}

host_benchmarks() { # checkout, target folder, folder for the programs, options of cargo…
  local checkout=$1 built=$2 programs=$3 host
  shift 3
  host=$(cargo bench --workspace --bench host --no-run --message-format=json-render-diagnostics \
    --manifest-path "$checkout/Cargo.toml" --target-dir "$built" "$@" |
    sed -n 's/.*"executable":"\([^"]*\/host-[^"]*\)".*/\1/p') || return
  ln -sfn "$host" "$programs/host"
}

live_side() { # checkout, target folder, folder for the programs, options of cargo…
  local checkout=$1 built=$2 programs=$3
  shift 3
  cargo build --release --manifest-path "$checkout/tests/bench/ours/Cargo.toml" --target-dir "$built" "$@" || return
  ln -sfn "$built/release/side-ours" "$programs/side-ours"
}

# All of it first: a compiler beside a measurement spoils it.
after=$bench/programs
workspace_programs . "$target" "$after" --locked
host_benchmarks . "$target" "$after" --locked
cargo build --release --locked --manifest-path tests/bench/peer-rust/Cargo.toml --target-dir "$bench/target"
live_side . "$bench/target" "$after" --locked

machine="$(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(uname -sr), $(rustc --version | cut -d ' ' -f 1,2), codex 0.169.0 and 0.135.0, node $("$node" --version), $began"
command="scripts/bench.sh${arguments:+ $arguments}"

if [ -n "$commit" ]; then
  # shellcheck source=scripts/bench/compare.sh
  source scripts/bench/compare.sh
  exit
fi

modules=$bench/node
if ! cmp -s tests/bench/node/package-lock.json "$modules/installed"; then
  mkdir -p "$modules"
  cp tests/bench/node/package.json tests/bench/node/package-lock.json "$modules"
  # Without the codex that the packages would bring.
  npm ci --omit=optional --ignore-scripts --no-audit --no-fund --prefix "$modules"
  cp tests/bench/node/package-lock.json "$modules/installed"
fi

if [ ${#quick[@]} = 0 ]; then
  criterion=(--warm-up-time=1 --measurement-time=2 --sample-size=40) turns=1000 silent=30 sequence=5000 mib=1024 load=2
else
  criterion=(--quick) turns=100 silent=10 sequence=500 mib=128 load=1
fi
SECONDS=0

step 'benchmarks of criterion'
rm -rf "$target/criterion"
CRITERION_HOME=$target/criterion "$after/host" --bench --noplot "${criterion[@]}" '^(translation|start|turn)/'
# As few times as it can be, as each takes seconds.
CRITERION_HOME=$target/criterion "$after/host" --bench --noplot --quick '^stream/'

step 'memory'
for mode in "open $turns $silent" "sequence $sequence" "stream $mib"; do
  # shellcheck disable=SC2086 # a mode and its numbers are words
  set -- $mode
  "$after/memory" "$1" "$after/fake-codex" "${@:2}" --json="$bench/$1.json"
done
# Where ten turns do not fit into 2 GiB, how much they would need.
space=("$after/memory" address-space "$after/fake-codex" 10 --json="$bench/address-space.json")
(ulimit -v $((2 * 1024 * 1024)) && "${space[@]}") || "${space[@]}"

step 'the store of a fleet'
rm -f "$bench/fleet.json"
if [ ${#fleet[@]} != 0 ]; then
  "$after/fleet-load" "$load" --json="$bench/fleet.json"
fi

step 'beside others'
"$bench/target/release/bench-peers" --scratch "$bench/tmp" --node "$node" --node-modules "$modules/node_modules" \
  --ours "$after/plexum-openai-provider" --ours-live "$after/side-ours" \
  --real-codex "$codex" --old-codex "$old_codex" --mock-model "$after/mock-model" \
  --json "$bench/peers.json" "${quick[@]}"

step 'the report'
"$bench/target/release/bench-report" "$bench" "$target/criterion" "$machine" "$command" "${write_docs[@]}"
step 'the end'
