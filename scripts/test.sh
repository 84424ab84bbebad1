#!/usr/bin/env bash
# Runs all tests, those with the real codex included. What they need is installed under target/
# first, once. What cannot be had here is skipped and named at the end; with CI=true that is a failure.
# Arguments go to `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for tool in wasm-target 'codex 0.135.0' 'codex 0.169.0' cargo-component serve-client node jco python; do
  # shellcheck disable=SC2086 # a tool and its version are two words
  if ! scripts/tool.sh $tool >/dev/null; then
    if [ "$tool" = wasm-target ]; then exit 1; fi
    missing+=("$tool")
  fi
done

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
cargo test --workspace "$@" 2>&1 | tee "$log" || status=$?

skipped=$(grep -o 'SKIPPED: .*' "$log" || true)
if [ ${#missing[@]} -gt 0 ]; then printf '\nCould not be installed here: %s\n' "$(IFS=,; echo "${missing[*]}")"; fi
if [ -n "$skipped" ]; then printf '\n%s\n' "$skipped"; fi
if [ "${CI-}" = true ] && { [ ${#missing[@]} -gt 0 ] || [ -n "$skipped" ]; }; then
  echo 'With CI=true nothing may be skipped.'
  status=1
fi
if [ "$status" -eq 0 ]; then echo 'All tests passed.'; else echo "The tests failed (exit code $status)."; fi
exit "$status"
