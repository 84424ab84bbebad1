# The part of scripts/bench.sh that builds another commit and measures both, round by round. Its variables are that script's.
# shellcheck shell=bash disable=SC2154

# The commit has a clone and a folder of built files of its own, which stay for the next time: two checkouts that share one
# have cargo take what was built of the other.
folder=$bench/compare/${commit:0:12}
source=$folder/source
programs=$folder/before

if [ ! -d "$source/.git" ]; then
  rm -rf "$folder"
  mkdir -p "$folder"
  git clone --quiet --shared --no-checkout . "$source"
  git -C "$source" checkout --quiet --detach "$commit"
  # The crates of others are the same and built already. What is of the project is not.
  mkdir -p "$folder/target" "$folder/bench-target"
  cp -a --reflink=auto "$target/release" "$folder/target"
  cargo clean --quiet --release --workspace --manifest-path "$source/Cargo.toml" --target-dir "$folder/target"
  cp -a --reflink=auto "$bench/target/release" "$folder/bench-target"
  cargo clean --quiet --release --manifest-path "$source/tests/bench/ours/Cargo.toml" --target-dir "$folder/bench-target" \
    -p side-ours -p bench-peers -p plexum-openai-provider -p plexum-openai-provider-supervisor
fi

# The files of now, whether they are committed or not.
files() { # paths…
  git ls-files --cached --others --exclude-standard -- "$@" | while IFS= read -r path; do
    if [ -e "$path" ]; then printf '%s\n' "$path"; fi
  done
}

# Builds a part of the older version with the newer tools that measure it. Where they do not fit, with its own.
older() { # what builds it, its target folder, paths of the tools…
  local build=$1 built=$2 digest path
  shift 2
  digest=$(files "$@" | xargs sha256sum | sha256sum)
  if [ "$(cat "$folder/own-$build" 2>/dev/null)" != "$digest" ]; then
    # Only what differs is touched: the rest need not be built again.
    files "$@" | while IFS= read -r path; do
      if ! cmp -s "$path" "$source/$path"; then
        mkdir -p "$(dirname "$source/$path")"
        cp "$path" "$source/$path"
      fi
    done
    if "$build" "$source" "$built" "$programs" 2>"$folder/$build.log"; then return; fi
    tail -n 20 "$folder/$build.log" >&2
    echo "The newer tools do not fit the older version ($build): it is measured with its own." >&2
    printf '%s\n' "$digest" >"$folder/own-$build"
  fi
  git -C "$source" checkout --quiet "$commit" -- "$@"
  git -C "$source" clean --quiet -fd -- "$@"
  "$build" "$source" "$built" "$programs"
}

older workspace_programs "$folder/target" tests/tools/memory.rs tests/tools/fleet-load tests/support/census.rs
older host_benchmarks "$folder/target" host-shim/benches
older live_side "$folder/bench-target" tests/bench/ours/src tests/bench/ours/Cargo.toml tests/bench/peer-rust

if [ ${#quick[@]} = 0 ]; then amount=(--seconds 120 --streaming 12); else amount=(--quick); fi
SECONDS=0
step 'turns'
"$bench/target/release/bench-peers" --scratch "$bench/tmp" \
  --ours "$after/plexum-openai-provider" --ours-live "$after/side-ours" \
  --before "$programs/plexum-openai-provider" --before-live "$programs/side-ours" \
  --real-codex "$codex" --mock-model "$after/mock-model" --json "$bench/compare/peers.json" "${amount[@]}"
step 'everything else'
"$bench/target/release/bench-compare" "${quick[@]}" "$programs" "$after" "$bench/compare/tmp" "$bench/compare/peers.json" \
  "$bench/compare.json" "$bench/compare.md" "\`$command\` ($(git -C "$source" log -1 --format='%h: %s' "$commit")), $machine" "${write_docs[@]}"
step 'the end'
