#!/usr/bin/env bash
# Runs cargo for a static program, also for another processor, with nothing but Rust and clang.
#
#   scripts/cargo-musl.sh x86_64|aarch64 ARGUMENTS-OF-CARGO…
#
# Rust brings the linker and musl for every target. The crates' C code needs only clang's own headers and those in
# scripts/headers: of a C library for another processor there are none here. For x86_64 it also uses intrinsics, whose
# headers need those of a C library, such as this machine's.
set -euo pipefail
folder=$(realpath -- "$(dirname "$0")")
architecture=${1:?the architecture}
shift
target=$architecture-unknown-linux-musl
variable=${target//-/_}

"$folder/tool.sh" "$architecture-target"
"$folder/tool.sh" clang >/dev/null
flags=CFLAGS_$variable
if [ "$architecture" = aarch64 ]; then export "$flags=${!flags-} -nostdlibinc -isystem $folder/headers"; fi
export "CC_$variable=clang" "CARGO_TARGET_${variable^^}_LINKER=rust-lld"
exec cargo "$@" --target "$target"
