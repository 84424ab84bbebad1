#!/usr/bin/env bash
# Installs what is in an archive of scripts/release.sh where there is nothing but that archive and busybox: no libraries,
# no network, no other file of this machine. Then uses it, and removes it again. The codex that it starts is a script.
#
#   scripts/try-release.sh ARCHIVE…              one line for each step, with its seconds, and with bytes where it has some
#   scripts/try-release.sh --cpu MODEL ARCHIVE…  on this processor of qemu's, such as Nehalem, which has no AVX
#
# An archive for another processor runs in qemu, which the kernel starts for every program of that processor, the
# supervisor too (scripts/in-qemu.sh). With --cpu only the program itself runs in qemu; what it starts runs on the real
# processor.
#
# Exits with 0 when everything worked, with 1 when something did not, with 2 for wrong arguments, and with 3 when this
# machine lacks something.
set -euo pipefail
cd "$(dirname "$0")/.."
name=plexum-openai-provider

say() { printf '%s\n' "$*" >&2; }

# What runs as the init of the new namespaces; then, in the bare folder, busybox's shell goes on.
if [ "${1-}" = --inside ]; then
  mount --bind /dev/null "$2/dev/null"
  mount -t proc proc "$2/proc"
  exec chroot "$2" /bin/busybox sh /try
fi

cpu=''
if [ "${1-}" = --cpu ]; then
  cpu=${2:?the model of the processor}
  shift 2
fi
if [ $# -eq 0 ]; then
  say 'Which archive? See the top of this script.'
  exit 2
fi

busybox=$(scripts/tool.sh busybox)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

for archive; do
  [ -f "$archive" ] || { say "There is no file $archive."; exit 2; }
  root=$scratch/$(basename "$archive" .tar.gz)
  mkdir -p "$root"/{bin,dev,proc,tmp,unpacked,workspace,home/.codex,home/.cache,home/.local/state}
  touch "$root/dev/null"
  echo '{}' >"$root/home/.codex/auth.json"
  cp -- "$busybox" "$root/bin/busybox"
  # Each of its commands by the command's name, as in a system that is made of it.
  for command in $("$busybox" --list); do ln -s busybox "$root/bin/$command" 2>/dev/null || true; done
  cp -- "$archive" "$root/archive.tar.gz"

  in_qemu=()
  if [ -n "$cpu" ]; then
    tar -xzf "$archive" -C "$scratch" --wildcards --strip-components 2 "*/bin/$name"
    in_qemu=(env QEMU_CPU="$cpu" scripts/in-qemu.sh --only "$scratch/$name" x86_64)
  elif [[ $archive == *aarch64* && $(uname -m) != aarch64 ]]; then
    in_qemu=(scripts/in-qemu.sh aarch64)
  fi

  cat >"$root/bin/codex" <<'END'
#!/bin/sh
case "$*" in
  --version) echo 'codex-cli 0.169.0' ;;
  'login status') echo 'Logged in using ChatGPT' ;;
  exec\ *)
    for prompt; do :; done
    echo '{"type":"thread.started","thread_id":"01a20000-0000-7000-8000-000000000001"}'
    echo '{"type":"turn.started"}'
    echo '{"type":"item.completed","item":{"id":"item_0","type":"agent_message","text":"echo: '"$prompt"'"}}'
    echo '{"type":"turn.completed","usage":{"input_tokens":3,"cached_input_tokens":0,"output_tokens":2,"reasoning_output_tokens":0}}'
    ;;
  *)
    echo "codex: $*" >&2
    exit 2
    ;;
esac
END
  cat >"$root/try" <<END
set -eu
name=$name
END
  cat >>"$root/try" <<'END'
export PATH=/bin HOME=/home
now() { read -r up idle </proc/uptime; echo "$up"; }
# Runs something and tells how long it took, and its first line.
timed() { # what, command…
  what=$1
  shift
  began=$(now)
  if "$@" >/tmp/out 2>/tmp/err; then result=ok; else result="failed ($?)"; failed=yes; fi
  printf '%6s s  %-10s  %s: %s\n' "$(echo "$began $(now)" | awk '{ printf "%.2f", $2 - $1 }')" "$result" "$what" "$(head -n 1 /tmp/out)"
  if [ "$result" != ok ]; then cat /tmp/out /tmp/err; fi
}
failed=no
wrong() { # what is wrong
  echo "failed: $*"
  failed=yes
}
weigh() { # folder: the bytes of all files in it
  find "$1" -type f -exec stat -c %s {} + | awk '{ bytes += $1 } END { printf "%15s bytes in %d files\n", bytes, NR }'
}
# All but the conversations, which are the user's: uninstalling leaves them.
home() { find /home -path /home/.local/state -prune -o -print | sort; }
home >/tmp/before

timed unpack tar -xzf /archive.tar.gz -C /unpacked
folder=$(echo /unpacked/$name-*)
weigh /unpacked
timed install "$folder/install.sh"
weigh /home
export PATH=/home/.local/bin:/bin
cmp "$folder/plugin.wasm" /home/.plexum/plugins/$name/plugin.wasm || wrong 'another component is installed than the one in the archive'
timed version $name --version
timed audit $name audit
timed doctor $name doctor
cd /workspace
timed 'say, the first' $name say hello
timed 'say, the second' $name say again
[ "$(cat /tmp/out)" = 'echo: again' ] || wrong "say printed: $(cat /tmp/out)"
timed uninstall "$folder/install.sh" --uninstall --purge
home >/tmp/after
if left=$(diff /tmp/before /tmp/after); then
  echo '          nothing is left but the conversations'
else
  wrong 'this is left (+) or gone (-):'
  echo "$left"
fi
[ "$failed" = no ]
END
  chmod 755 "$root/bin/codex"
  printf '%s: %s bytes%s\n' "$(basename "$archive")" "$(stat -c %s "$archive")" "${in_qemu:+, in qemu}${cpu:+ as a $cpu}"
  "${in_qemu[@]}" unshare --user --map-root-user --mount --net --pid --fork --mount-proc "$BASH" scripts/try-release.sh --inside "$root"
done
