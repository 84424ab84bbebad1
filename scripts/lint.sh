#!/usr/bin/env bash
# Everything that a change has to pass and that runs no test: formatting, clippy, documentation. Seconds if nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."

# Workspaces of their own, which `--workspace` does not see, and what each is checked with.
declare -A apart=([tests/bench/peer-rust]='' [tests/bench/ours]='' [tests/fuzz]=--no-default-features)

# First what takes a second.
cargo fmt --all --check
# A test builds the last one; to look at it with another tool too, its wasmtime would be compiled twice.
for folder in "${!apart[@]}" tests/next-wasmtime; do
  cargo fmt --check --manifest-path "$folder/Cargo.toml"
done

scripts/tool.sh wasm-target
cargo clippy --workspace --all-targets --locked -- -D warnings
# Some of the component's code is for its own target only.
cargo clippy --package plexum-openai-provider-guest --target wasm32-wasip2 --locked -- -D warnings
for folder in "${!apart[@]}"; do
  # shellcheck disable=SC2086 # Options, or none.
  cargo clippy --all-targets --locked --manifest-path "$folder/Cargo.toml" --target-dir "${CARGO_TARGET_DIR:-target}" ${apart[$folder]} -- -D warnings
done
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked
