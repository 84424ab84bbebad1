#!/usr/bin/env bash
# Runs the program of an archive of scripts/release.sh where there is nothing but that archive and busybox: no libraries,
# no network, no other file of this machine. The codex that it starts is a script.
#
#   scripts/try-release.sh ARCHIVE…              one line for each thing that was done, with its seconds
#   scripts/try-release.sh --cpu MODEL ARCHIVE…  on this processor of qemu's, such as Nehalem, which has no AVX
#
# An archive for another processor runs in qemu, which the kernel starts for every program of that processor, the
# supervisor too: that is registered in a user namespace of its own (Linux 6.7). With --cpu only the program itself runs
# in qemu; what it starts runs on the real processor.
#
# Exits with 0 when everything worked, with 1 when something did not, with 2 for wrong arguments, and with 3 when this
# machine lacks something.
set -euo pipefail
cd "$(dirname "$0")/.."
name=plexum-openai-provider

say() { printf '%s\n' "$*" >&2; }

cpu=''
if [ "${1-}" = --cpu ]; then
  cpu=${2:?the model of the processor}
  shift 2
fi
if [ $# -eq 0 ]; then
  say 'Which archive? See the top of this script.'
  exit 2
fi

# What runs as the init of the new namespaces; then again, in the bare folder, with busybox's shell.
inside() { # root, qemu or nothing
  if [ -n "$2" ]; then
    mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc 2>/dev/null || {
      say 'The kernel does not let a user namespace register qemu: Linux 6.7 and newer do.'
      exit 3
    }
    # ELF, 64 bits, little endian, of any system; an executable or a shared object; AArch64. F: qemu is opened now, as the
    # bare folder has none.
    printf '%s' ':aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'"$2"':F' \
      >/proc/sys/fs/binfmt_misc/register
  fi
  mount --bind /dev/null "$1/dev/null"
  mount -t proc proc "$1/proc"
  exec chroot "$1" /bin/busybox sh /try
}
if [ "$1" = --inside ]; then inside "$2" "$3"; fi

busybox=$(scripts/tool.sh busybox)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

for archive; do
  [ -f "$archive" ] || { say "There is no file $archive."; exit 2; }
  root=$scratch/$(basename "$archive" .tar.gz)
  mkdir -p "$root"/{bin,dev,proc,tmp,home,workspace}
  touch "$root/dev/null"
  cp -- "$busybox" "$root/bin/busybox"
  ln -s busybox "$root/bin/sh"
  cp -- "$archive" "$root/archive.tar.gz"

  qemu='' under=''
  if [ -n "$cpu" ]; then
    cp -- "$(scripts/tool.sh qemu x86_64)" "$root/bin/qemu"
    under="/bin/qemu -cpu $cpu"
  elif [[ $archive == *aarch64* && $(uname -m) != aarch64 ]]; then
    qemu=$(scripts/tool.sh qemu aarch64)
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
export PATH=/bin HOME=/home
/bin/busybox mkdir -p /home/.codex
echo '{}' >/home/.codex/auth.json
now() { read -r up idle </proc/uptime; echo "\$up"; }
# Runs something and tells how long it took.
timed() { # what, command…
  what=\$1
  shift
  began=\$(now)
  if "\$@" >/tmp/out 2>/tmp/err; then result=ok; else result="failed (\$?)"; failed=yes; fi
  printf '%6s s  %-9s %s: %s\n' "\$(echo "\$began \$(now)" | busybox awk '{ printf "%.2f", \$2 - \$1 }')" "\$result" "\$what" "\$(busybox head -n 1 /tmp/out)"
  if [ "\$result" != ok ]; then busybox cat /tmp/out /tmp/err; fi
}
failed=no
timed unpack busybox tar -xzf /archive.tar.gz -C /home
folder=\$(echo /home/$name-*)
program="\$folder/bin/$name"
run() { $under "\$program" "\$@"; }
timed version run --version
timed component run component /tmp/plugin.wasm
timed 'the component is that of the archive' busybox cmp /tmp/plugin.wasm "\$folder/plugin.wasm"
run new-config --binary /bin/codex >/tmp/config.json
timed audit run audit --config /tmp/config.json
timed doctor run doctor --config /tmp/config.json
cd /workspace
timed 'say, the first' run say --config /tmp/config.json hello
timed 'say, the second' run say --config /tmp/config.json again
if [ "\$(busybox cat /tmp/out)" != 'echo: again' ]; then echo "say printed: \$(busybox cat /tmp/out)"; failed=yes; fi
[ "\$failed" = no ]
END
  chmod 755 "$root/bin/codex"
  printf '%s: %s bytes%s%s\n' "$(basename "$archive")" "$(stat -c %s "$archive")" "${qemu:+, in qemu}" "${cpu:+, on a $cpu of qemu}"
  unshare --user --map-root-user --mount --net --pid --fork --mount-proc "$BASH" scripts/try-release.sh --inside "$root" "$qemu"
done
