#!/usr/bin/env bash
# Compares the contract in wit/ with that of the last release. Who changes it has to change its version.
#
#   scripts/wit-semver.sh           with the last git tag v*
#   scripts/wit-semver.sh BASE      with another commit, or with a folder that holds the WIT files
#
# Exits with 0 when the version fits the change, with 1 when it does not, with 2 when something cannot be read, and
# with 3 when there is no release to compare with: a shallow clone has no tags (`git fetch --tags --unshallow`).
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

base=${1-}
if [ -z "$base" ] && ! base=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null); then
  say 'There is no tag v* to compare wit/ with: nothing was released yet, or this clone is shallow and has no tags'
  say '(`git fetch --tags --unshallow` brings them). Name a commit or a folder to compare with instead.'
  exit 3
fi

folder=$base
if [ ! -d "$base" ]; then
  if ! git rev-parse --verify --quiet "$base:wit" >/dev/null; then
    say "$base is no folder and no commit with a folder wit/."
    exit 2
  fi
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  git archive "$base:wit" | tar -x -C "$folder"
fi

# With a test beside it cargo picks the features that the tests are built with: with others half of this would be built
# again.
cargo build --quiet --workspace --bin wit-semver --test program >&2 || exit 2
status=0
"${CARGO_TARGET_DIR:-target}/debug/wit-semver" "$folder" wit || status=$?
if [ "$status" -eq 0 ]; then echo "wit/ fits its version, compared with $base."; fi
exit "$status"
