#!/usr/bin/env bash
# Fuzzes what reads codex's output, the workspace's files, config.json and the component's arguments.
#
#   scripts/fuzz.sh [SECONDS [TARGET…]]    600 seconds each, all targets, two at a time
#   scripts/fuzz.sh --input FILE TARGET    one input, to see a finding again
#
# The targets are in tests/fuzz/fuzz_targets, and begin with the inputs in tests/fuzz/seeds/TARGET. What they learn
# is kept in target/fuzz/corpus/TARGET. A finding ends its target and is reported at the end, with exit code 1: once
# it is fixed, its input belongs to the seeds. The first build takes about ten minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

at_a_time=2

usage() {
  sed -n '4,5s/^# *//p' "$0" >&2
  exit 2
}

input=
seconds=600
if [ "${1-}" = --input ]; then
  if [ $# -ne 3 ]; then usage; fi
  input=$(realpath -- "$2")
  shift 2
elif [ $# -gt 0 ]; then
  if ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then usage; fi
  seconds=$1
  shift
fi

scripts/tool.sh wasm-target
cargo_fuzz=$(scripts/tool.sh cargo-fuzz)
mapfile -t known < <("$cargo_fuzz" list --fuzz-dir tests/fuzz)
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then targets=("${known[@]}"); fi
for target in "${targets[@]}"; do
  if [[ " ${known[*]} " != *" $target "* ]]; then
    echo "There is no target $target. The targets are: ${known[*]}" >&2
    exit 2
  fi
done

out=${CARGO_TARGET_DIR:-target}/fuzz
mkdir -p "$out"
out=$(cd "$out" && pwd)
host=$(rustc -vV | sed -n 's/^host: //p')
# The sanitizers need a nightly compiler, and there is next to no unsafe code for them to look at.
build=("$cargo_fuzz" build --fuzz-dir tests/fuzz --sanitizer none --target-dir "$out")
if [ ${#targets[@]} -eq 1 ]; then build+=("${targets[0]}"); fi
"${build[@]}"

program() { printf '%s\n' "$out/$host/release/$1"; }

if [ -n "$input" ]; then
  exec "$(program "${targets[0]}")" "$input"
fi

fuzz() { # target
  local corpus=$out/corpus/$1 findings=$out/findings/$1 log=$out/$1.log options=()
  mkdir -p "$corpus" "$findings"
  cp tests/fuzz/seeds/"$1"/* "$corpus"/
  if [ -f "tests/fuzz/dictionaries/$1.dict" ]; then options+=(-dict="tests/fuzz/dictionaries/$1.dict"); fi
  # A turn over 8 KiB takes milliseconds; whatever takes this long has no end.
  exec "$(program "$1")" "$corpus" "${options[@]}" -max_total_time="$seconds" -max_len=8192 -timeout=30 \
    -print_final_stats=1 -artifact_prefix="$findings/" >"$log" 2>&1
}

# The last of these numbers in the log of a target.
last() { # pattern, target
  grep -oE "$1" "$out/$2.log" | tail -n 1 | grep -oE '[0-9]+$' || echo '?'
}

declare -A target_of=()
found=()
stop() {
  if [ ${#target_of[@]} -gt 0 ]; then kill "${!target_of[@]}" 2>/dev/null || true; fi
}
trap stop EXIT

# Waits until one target is over, and reports the result.
reap() {
  local pid target status=0
  wait -n -p pid "${!target_of[@]}" || status=$?
  target=${target_of[$pid]}
  unset "target_of[$pid]"
  printf '%-13s %s executions, %s counters covered, %s inputs kept\n' "$target" "$(last 'number_of_executed_units: +[0-9]+' "$target")" \
    "$(last ' cov: [0-9]+' "$target")" "$(find "$out/corpus/$target" -type f | wc -l)"
  if [ "$status" -ne 0 ]; then
    found+=("$target")
    printf '%-13s ended with exit code %s\n' "$target" "$status"
  fi
}

echo "Fuzzing ${targets[*]}: $seconds seconds each, $at_a_time at a time."
for target in "${targets[@]}"; do
  if [ ${#target_of[@]} -ge "$at_a_time" ]; then reap; fi
  fuzz "$target" &
  target_of[$!]=$target
done
while [ ${#target_of[@]} -gt 0 ]; do reap; done

for target in "${found[@]}"; do
  printf '\n== %s\n' "$target"
  { grep -m 1 -A 3 -E 'panicked at|ERROR: libFuzzer' "$out/$target.log" || tail -n 20 "$out/$target.log"; } | cut -c1-200
  artifact=$(sed -n 's/.*Test unit written to //p' "$out/$target.log" | tail -n 1)
  printf 'log:   %s\ninput: %s\nagain: scripts/fuzz.sh --input %q %s\n' "$out/$target.log" "${artifact:-none}" "${artifact:-FILE}" "$target"
done
if [ ${#found[@]} -gt 0 ]; then exit 1; fi
echo 'Nothing was found.'
