#!/usr/bin/env bash
# Shows the provider at work: two turns in a scratch workspace, the second going on where the
# first ended. The codex is the real one; the model is a stand-in on the loopback interface, so this
# needs no account. With --real it is your own codex, your login and your model instead.
set -euo pipefail
cd "$(dirname "$0")/.."

real=false
case ${1-} in
  '') ;;
  --real) real=true ;;
  *)
    echo 'usage: scripts/try.sh [--real]' >&2
    exit 2
    ;;
esac

# Whether a program is a codex that is new enough.
usable() {
  local version
  version=$("$1" --version </dev/null 2>/dev/null | sed -n 's/^codex-cli //p')
  [ -n "$version" ] && [ "$(printf '%s\n' "$version" 0.135.0 | sort -V | head -n 1)" = 0.135.0 ]
}

heading() { printf '\n== %s\n' "$*"; }

heading 'Building the component, its host and the stand-in (a few minutes the first time)'
scripts/tool.sh wasm-target
# Of the workspace's programs only these: the others are for its tests. Of all of it, so that the features of the engine
# are those that the tests have it built with, and it is not built twice.
cargo build --workspace --bin plexum-openai-provider --bin mock-model --locked
programs=$(cd "${CARGO_TARGET_DIR:-target}/debug" && pwd)

scratch=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/try
rm -rf "$scratch"
mkdir -p "$scratch/workspace"

if $real; then
  codex=$(command -v codex) || { echo 'codex was not found on PATH: install it with `npm install -g @openai/codex`, then `codex login`.' >&2; exit 1; }
  usable "$codex" || { echo "$codex is too old: 0.135 or newer is needed." >&2; exit 1; }
  prompts=('Remember the number seven, and answer with one short sentence.' 'Which number did I ask you to remember?')
else
  if ! codex=$(command -v codex) || ! usable "$codex"; then codex=$(scripts/tool.sh codex 0.169.0); fi
  prompts=('Remember the number seven.' 'mock:history')
  heading 'Starting the model: a loopback stand-in that echoes, no account and no cost'
  # It ends when its standard input does, at the latest with this script.
  coproc MODEL { exec "$programs/mock-model" --codex-home "$scratch/codex-home"; }
  read -r ready <&"${MODEL[0]}" || { echo 'The stand-in did not start.' >&2; exit 1; }
  echo "$ready"
  export CODEX_HOME=$scratch/codex-home
  # Nothing of the trial stays among the conversations of this user.
  export XDG_STATE_HOME=$scratch/state
fi
printf '{ "binary": "%s" }\n' "$codex" >"$scratch/config.json"
echo "codex: $codex ($("$codex" --version </dev/null))"

turn() { # number, prompt
  heading "Turn $1: plexum-openai-provider say --json '$2'"
  "$programs/plexum-openai-provider" say --verbose --json --config "$scratch/config.json" --workspace "$scratch/workspace" -- "$2" |
    tee "$scratch/turn-$1.jsonl"
}
turn 1 "${prompts[0]}"
turn 2 "${prompts[1]}"

thread=$(cat "$scratch/workspace/.plexum-codex-session")
for number in 1 2; do
  grep -q "\"thread_id\":\"$thread\"" "$scratch/turn-$number.jsonl" || { echo "Turn $number was not in thread $thread." >&2; exit 1; }
done
heading "Both turns completed, in one thread: $thread"
if ! $real; then echo "The stand-in's second answer lists the messages that it was sent: codex remembered."; fi
