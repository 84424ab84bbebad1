#!/usr/bin/env bash
# Runs all tests, those with the real codex included. What they need is installed under target/
# first, once. What cannot be had here is skipped and named at the end; with CI=true that is a failure.
#
#   scripts/test.sh                    all of them
#   scripts/test.sh --quick            those that need no cargo, npm or network and take a second or two each
#   scripts/test.sh --aarch64          the core of them, with a program for aarch64: where this machine has another
#                                      processor, the kernel starts qemu for it, and for the supervisor
#   scripts/test.sh --no-install       with the tools that are there; tests that need others are skipped
#   scripts/test.sh … --test session   any further arguments go to `cargo test`, or to `cargo nextest run`
#
# The tests run in `cargo nextest` where that is installed, otherwise in `cargo test` (PLEXUM_TEST_RUNNER=cargo or
# =nextest chooses). How long each suite took stands at the end, the slowest first.
set -euo pipefail
cd "$(dirname "$0")/.."

# The quick set: within 90 s on two cores that do nothing else, once everything is built. A suite belongs in it when it
# needs no cargo, npm or venv and no long wait. A slow test of a quick suite is left out by the beginning of its name.
quick_suites=(crash config disk doctor environment fake_codex grant hostile images lines mock_model models program record say serve
  session store streaming terminal transcripts)
quick_without=(a_codex_that_is_silent backpressure:: login:: real_codex:: a_full_disk engine::cache:: schema::)

# The core: what runs the program with a scripted codex. Left out by the beginning of their names are tests that qemu is in
# the way of, and those that compile the component anew, which takes a minute each there; tests/README.md has them all.
aarch64_suites=(audit config crash doctor environment failures ignored_signals images lines record say serve session terminal)
aarch64_without=(
  # Of `audit`, which each compile a component, some of them of their own; the_text_fits_on_a_screen does that as well.
  a_diff_shows one_more_import the_json_is_what_the_schema a_program_that_others_may_change there_is_a_manifest_only
  # Of `config`, `crash`, `doctor`, `environment`, `failures`, `ignored_signals`, `say`.
  a_file_that_this_user_may_not_read an_id_that_takes_the_place codex::a_version_out codex::the_node_script machine:: login::
  real_codex:: another_component_than_the_pinned what_every_user_may_change a_codex_without_a_network under_nohup
  a_terminal_that_closes where_hardly_a_thread
  # Those that take half a minute and more each: they run the program again and again.
  installation::a_workspace_that_cannot a_lost_thread_is_replaced the_sandbox_is_stated a_codex_that_fails_ends
  # Of `serve`.
  node:: backpressure:: many::
)

quick=false
aarch64=false
install=true
while true; do
  case ${1-} in
    --quick) quick=true install=false ;;
    --aarch64) aarch64=true install=false ;;
    --no-install) install=false ;;
    *) break ;;
  esac
  shift
done
locked=()
if [[ " $* " == *' --locked '* ]]; then locked=(--locked); fi

runner=${PLEXUM_TEST_RUNNER-}
if [ -z "$runner" ]; then
  if cargo nextest --version >/dev/null 2>&1; then runner=nextest; else runner=cargo; fi
fi

missing=()
if $install; then
  for tool in wasm-target 'codex 0.135.0' 'codex 0.169.0' cargo-component wkg auditable2cdx jq registry lintian serve-client acp-clients node jco python postgres pgbouncer; do
    # shellcheck disable=SC2086 # a tool and its version are two words
    if ! scripts/tool.sh $tool >/dev/null; then
      if [ "$tool" = wasm-target ]; then exit 1; fi
      missing+=("$tool")
    fi
  done
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
log=$scratch/log
export PLEXUM_TEST_SKIPS=$scratch/skipped
touch "$log" "$PLEXUM_TEST_SKIPS"

status=0
run() { # command…
  local result=0
  "$@" 2>&1 | tee -a "$log" || result=$?
  if [ "$result" -ne 0 ]; then status=$result; fi
}

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
with=()
if $aarch64; then
  # What a release has, without the optimisation, which takes minutes.
  scripts/cargo-musl.sh aarch64 build --package plexum-openai-provider --bin plexum-openai-provider "${locked[@]}"
  export PLEXUM_TEST_PROGRAM=$target/aarch64-unknown-linux-musl/debug/plexum-openai-provider
  if [ "$(uname -m)" != aarch64 ]; then with=(scripts/in-qemu.sh aarch64); fi
  # Whether it runs, and the component's machine code once for all tests: in qemu each of the first ones would take minutes.
  XDG_CACHE_HOME=$target/tmp/cache "${with[@]}" "$PLEXUM_TEST_PROGRAM" cache
fi

# The program once, and not in each test that runs it; with a test beside it, for which cargo picks the features that
# it picks for all of them.
if ! $aarch64; then cargo build --workspace --bin plexum-openai-provider --test program "${locked[@]}"; fi
if ! $aarch64 && [[ " $* " != *' --release '* ]]; then export PLEXUM_TEST_PROGRAM=$target/debug/plexum-openai-provider; fi

# Most tests wait for clocks and other processes half of their time.
if [ "$runner" = nextest ]; then export NEXTEST_TEST_THREADS=${NEXTEST_TEST_THREADS-$((($(nproc) * 3 + 1) / 2))}; fi

chosen=() without=()
if $quick; then
  chosen=(--lib --bins)
  for suite in "${quick_suites[@]}"; do chosen+=(--test "$suite"); done
  without=("${quick_without[@]}")
elif $aarch64; then
  for suite in "${aarch64_suites[@]}"; do chosen+=(--test "$suite"); done
  without=("${aarch64_without[@]}")
fi
if [ "$runner" = nextest ]; then
  profile=()
  if [ "${CI-}" = true ]; then profile=(--profile ci); fi
  if [ ${#chosen[@]} -gt 0 ]; then
    filter=$(printf ' + test(/^%s/)' "${without[@]}")
    chosen+=(-E "not (${filter# + })")
  fi
  run "${with[@]}" cargo nextest run --workspace "${profile[@]}" "${chosen[@]}" "$@"
  # Tests in the documentation are no programs that nextest could run.
  if [ ${#chosen[@]} -eq 0 ] && [[ " $* " != *' --test '* ]]; then run cargo test --workspace --doc "${locked[@]}"; fi
else
  if [ ${#chosen[@]} -gt 0 ]; then
    skips=()
    for name in "${without[@]}"; do skips+=(--skip "$name"); done
    run "${with[@]}" cargo test --workspace --no-fail-fast "${chosen[@]}" "$@" -- "${skips[@]}"
  else
    run cargo test --workspace --no-fail-fast "$@"
  fi
fi

# One line a suite: its seconds, how many tests it has, and its slowest test. What one process runs at a time, cargo
# measures; what nextest runs at the same time is added up.
durations() {
  sed 's/\x1b\[[0-9;]*m//g' "$log" | awk '
    # nextest: "        PASS [   0.012s] ( 1/10) package::suite a::test". Below its summary it repeats what failed.
    /^ +Summary \[/ { done = 1 }
    # A test that failed and is run again: "  TRY 1 FAIL [ … ]", "  TRY 2 PASS [ … ]".
    { sub(/^ +TRY [0-9]+ /, " ") }
    !done && $1 ~ /^(PASS|LEAK|LEAK-FAIL|FAIL|TIMEOUT|SIG[A-Z]+)$/ && /^ *[A-Z-]+ +\[ *[0-9.]+s\]/ {
      line = $0
      sub(/^[^[]*\[ */, "", line)
      seconds = line + 0
      sub(/^[^]]*\] */, "", line)
      sub(/^\([^)]*\) */, "", line)
      split(line, words, " ")
      suite = words[1]
      took[suite] += seconds
      if (!seen[line]++) tests[suite]++
      if (seconds >= most[suite]) { most[suite] = seconds; slowest[suite] = words[2] }
    }
    # cargo test: "     Running suites/turns/streaming.rs (target/debug/deps/streaming-0123)", "   Doc-tests crate".
    $1 == "Running" && $NF ~ /^\(/ {
      current = $NF
      gsub(/^.*\/|-[0-9a-f]+\)$/, "", current)
      if ($0 ~ /unittests/) current = current " (unit tests)"
    }
    $1 == "Doc-tests" { current = $2 " (documentation)" }
    /^test result: / {
      line = $0
      sub(/.*finished in /, "", line)
      took[current] += line + 0
      tests[current] += $4 + $6
    }
    END {
      for (suite in took)
        if (tests[suite] > 0)
          printf "%9.2f %6d  %s%s\n", took[suite], tests[suite], suite, slowest[suite] ? "  (" slowest[suite] " " most[suite] " s)" : ""
    }' | sort -rn
}
printf '\n  seconds  tests  suite\n'
durations

skipped=$(sort -u "$PLEXUM_TEST_SKIPS")
if [ ${#missing[@]} -gt 0 ]; then printf '\nCould not be installed here: %s\n' "$(IFS=,; echo "${missing[*]}")"; fi
if [ -n "$skipped" ]; then printf '\n%s\n' "$skipped"; fi
if [ "${CI-}" = true ] && { [ ${#missing[@]} -gt 0 ] || [ -n "$skipped" ]; }; then
  echo 'With CI=true nothing may be skipped.'
  status=1
fi

# What passed only when it was run again (.config/nextest.toml).
flaky=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | sed -nE 's/^ +FLAKY [0-9/]+ \[[^]]*\] \([^)]*\) (.*)/  \1/p')
if [ -n "$flaky" ]; then printf '\nFailed, and passed when they were run again; they are to be mended:\n%s\n' "$flaky"; fi

# Once more what the runners said last.
printf '\n'
sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E '^ +Summary \[|^test result: ' | awk '
  /Summary/ { print; next }
  { if ($3 == "FAILED.") bad = 1; passed += $4; failed += $6; ignored += $8; sets++ }
  END {
    if (sets) printf "test result: %s. %d passed; %d failed; %d ignored; in %d programs and sets of documentation\n",
      bad ? "FAILED" : "ok", passed, failed, ignored, sets
  }'
if [ "$status" -eq 0 ]; then echo 'All tests passed.'; else echo "The tests failed (exit code $status)."; fi
exit "$status"
