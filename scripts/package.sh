#!/usr/bin/env bash
# Makes the packages for the Rust registry. See --help.
set -euo pipefail
caller=$PWD
cd "$(dirname "$0")/.."
name=plexum-openai-provider

usage() {
  cat <<'END'
Usage: scripts/package.sh [OPTIONS]

Makes the packages of the crates that an embedder needs, in target/package-files, and prints their paths:

  plexum-openai-provider-VERSION.crate             the host, as a library and as a program
  plexum-openai-provider-supervisor-VERSION.crate  what it shares with its supervisor, and the supervisor's source

The component travels in the first one, prebuilt: this builds it and puts it into host-shim/prebuilt, along with its
digest. Each package is then built once from nothing but itself, in debug mode.

  --program FILE  take the component from this program of the same commit, instead of building it
  --no-verify     do not build the packages
  --help          this text

What is not committed is packaged too, with a warning. To publish them, see tests/README.md.
Exit codes: 0 done, 2 wrong arguments, 3 a tool is missing, another one that it could not be done.
END
}

misuse() {
  printf 'error: %s; see --help\n' "$*" >&2
  exit 2
}

program='' options=()
while [ $# -gt 0 ]; do
  case $1 in
    --program)
      [ $# -gt 1 ] && [ -n "$2" ] || misuse "$1 needs a value"
      program=$(cd "$caller" && realpath -ms -- "$2")
      shift
      ;;
    --no-verify) options+=("$1") ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) misuse "unknown argument ${1@Q}" ;;
  esac
  shift
done

target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")
if [ -z "$program" ]; then
  scripts/tool.sh wasm-target
  cargo build --locked --package "$name" --bin "$name" >&2
  program=$target_dir/debug/$name
fi

prebuilt=host-shim/prebuilt
mkdir -p "$prebuilt"
"$program" component "$prebuilt/plugin.wasm"
(cd "$prebuilt" && sha256sum plugin.wasm >SHA256SUMS)

if [ -n "$(git status --porcelain)" ]; then
  echo 'warning: what is packaged is not the present commit alone: git status shows changes' >&2
fi
# With --allow-dirty, as the component is in no commit: that it is the commit's own was seen to above.
# A folder of its own: in the clone's, the program of the package would replace the one of the clone.
CARGO_TARGET_DIR=$target_dir/package CARGO_PROFILE_DEV_DEBUG=false \
  cargo package --locked --allow-dirty --package "$name-supervisor" --package "$name" "${options[@]}" >&2
files=$target_dir/package-files
rm -rf "$files"
mkdir -p "$files"
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
for package in "$name-supervisor" "$name"; do
  mv "$target_dir/package/package/$package-$version.crate" "$files"
  printf '%s\n' "$files/$package-$version.crate"
done
