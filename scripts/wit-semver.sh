#!/usr/bin/env bash
# Compares each package in wit/ with that of the last release. Who changes one has to change its version.
#
#   scripts/wit-semver.sh           with the last git tag v*
#   scripts/wit-semver.sh BASE      with another commit, or with a folder that is laid out as wit/ is
#
# What is `@unstable` is not compared. A package that BASE has no folder for is new, and nothing is asked of it: so it is
# with commits from before each package had a folder of its own.
#
# Exits with 0 when every version fits the change, with 1 when one does not, with 2 when something cannot be read, and
# with 3 when there is nothing to compare with: no release, a shallow clone without tags (`git fetch --tags
# --unshallow`), or a BASE that has none of the packages.
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
if [ "$status" -eq 0 ]; then echo "Each package in wit/ fits its version, compared with $base."; fi
if [ "$status" -eq 3 ]; then say "$base has none of the packages in wit/: there is nothing to compare them with."; fi
exit "$status"
