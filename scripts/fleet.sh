#!/usr/bin/env bash
# Shows a conversation that goes from machine to machine: three hosts, each with a codex home, a workspace and a state of
# its own, over one PostgreSQL. The first host hands over to the second, is killed in the middle of a tool when it has the
# conversation again, and the third goes on. The codex is the real one; the model is a stand-in on the loopback interface,
# and the PostgreSQL is one of this script's own, so this needs no account and touches no database of yours.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -gt 0 ]; then
  echo 'usage: scripts/fleet.sh' >&2
  exit 2
fi

heading() { printf '\n== %s\n' "$*"; }

postgres=$(scripts/tool.sh postgres)

heading 'Building the component, its host and the stand-in (a few minutes the first time)'
scripts/tool.sh wasm-target
# As scripts/try.sh does, and for its reasons.
cargo build --workspace --bin plexum-openai-provider --bin mock-model --locked
programs=$(cd "${CARGO_TARGET_DIR:-target}/debug" && pwd)
codex=$(scripts/tool.sh codex 0.169.0)

# PostgreSQL refuses to run as root, so another user has to be able to enter its folder.
scratch=$(mktemp -d)
as_database=()
if [ "$(id -u)" = 0 ]; then
  chmod 711 "$scratch"
  as_database=(setpriv --reuid nobody --regid nogroup --clear-groups)
fi
database=''
stop() {
  # The way to end it at once: its files go too.
  if [ -n "$database" ]; then
    kill -QUIT "$database" 2>/dev/null || true
    wait "$database" 2>/dev/null || true
  fi
  rm -rf "$scratch"
}
trap stop EXIT

heading 'Starting a PostgreSQL and a model, on the loopback interface'
install -d -m 700 "$scratch/database"
if [ "$(id -u)" = 0 ]; then chown nobody:nogroup "$scratch/database"; fi
"${as_database[@]}" "$postgres/initdb" --pgdata "$scratch/database/data" --username plexum --auth trust --no-sync >/dev/null
# Its socket is the way in; no port is opened.
"${as_database[@]}" "$postgres/postgres" -D "$scratch/database/data" -k "$scratch/database" -c listen_addresses='' -c log_min_messages=fatal &
database=$!
export PGHOST=$scratch/database PGUSER=plexum PGDATABASE=postgres
chmod 711 "$scratch/database"
# Its last line says how it is; no client program is needed for that.
until grep -q '^ready' "$scratch/database/data/postmaster.pid" 2>/dev/null; do
  kill -0 "$database" 2>/dev/null || { echo 'PostgreSQL did not start.' >&2; exit 1; }
  timeout 0.1 tail --pid="$database" -f /dev/null || true
done
# It ends when its standard input does, at the latest with this script.
coproc MODEL { exec "$programs/mock-model" --codex-home "$scratch/model-home"; }
read -r ready <&"${MODEL[0]}" || { echo 'The stand-in did not start.' >&2; exit 1; }
echo "$ready"

# host NAME COMMAND…: runs the program as that host would.
host() {
  local name=$1 home=$scratch/$1
  shift
  CODEX_HOME=$home/codex XDG_STATE_HOME=$home/state "$programs/plexum-openai-provider" "$@"
}

for name in a b c; do
  mkdir -p "$scratch/$name/workspace"
  cp -r "$scratch/model-home" "$scratch/$name/codex"
  printf '{ "binary": "%s", "sessions": { "postgres": { "host": "%s", "lease_seconds": 8 } } }\n' "$codex" "$name" >"$scratch/$name/config.json"
done

heading 'Making the tables: plexum-openai-provider fleet init'
host a fleet init --config "$scratch/a/config.json"

turn() { # host, prompt
  heading "Host $1: say --session scribe '$2'"
  host "$1" say --json --config "$scratch/$1/config.json" --workspace "$scratch/$1/workspace" --session scribe -- "$2"
}
turn a 'Remember the number seven.' | tee "$scratch/first"
turn b 'Remember the number eight, too.' | tee "$scratch/second"

heading 'Host a again, which is killed while a tool runs: it and all that it has started'
tool='touch begun; sleep 1000'
CODEX_HOME=$scratch/a/codex XDG_STATE_HOME=$scratch/a/state "$programs/plexum-openai-provider" \
  say --json --config "$scratch/a/config.json" --workspace "$scratch/a/workspace" --session scribe -- "mock:shell=$tool" >"$scratch/killed" &
killed=$!
until [ -e "$scratch/a/workspace/begun" ]; do
  kill -0 "$killed" 2>/dev/null || { cat "$scratch/killed" >&2; exit 1; }
  timeout 0.2 tail --pid="$killed" -f /dev/null || true
done
kill -KILL "$killed"
wait "$killed" 2>/dev/null || true
host b session list --config "$scratch/b/config.json"

heading 'Host c, which has to wait until the lease of host a ends'
began=$SECONDS
turn c 'mock:history' | tee "$scratch/last"
echo "It took $((SECONDS - began)) s."

thread=$(sed -n 's/.*"thread_id":"\([^"]*\)".*/\1/p' "$scratch/first" | head -n 1)
for file in first second last; do
  grep -q "\"thread_id\":\"$thread\"" "$scratch/$file" || { echo "A turn was not in the thread $thread." >&2; exit 1; }
done
for said in 'number seven' 'number eight' "mock:shell=$tool"; do
  grep -q "$said" "$scratch/last" || { echo "The last host does not know of: $said" >&2; exit 1; }
done
heading "One thread on three hosts: $thread"
echo "The stand-in's last answer lists what it was told: all of it, with what the killed host had begun."
