#!/usr/bin/env bash
# Runs a command where the kernel starts qemu for each program of another processor, wherever it is started from.
#
#   scripts/in-qemu.sh ARCHITECTURE COMMAND…                such as aarch64
#   scripts/in-qemu.sh --only PROGRAM ARCHITECTURE COMMAND… only for this program and copies of it
#
# With --only the architecture may be this machine's: QEMU_CPU then names the processor to be.
#
# This is registered in a user namespace of its own, which ends with the command (Linux 6.7). On an older kernel, root
# registers it for the machine until the command ends; nobody else can.
#
# Exits as the command does; with 2 for wrong arguments, and with 3, and an error, when this machine lacks something.
set -euo pipefail
self=$(realpath -- "$0")
binfmt=/proc/sys/fs/binfmt_misc

die() { # exit code, what happened
  printf 'error: %s\n' "$2" >&2
  exit "$1"
}

# What runs in the namespace. Without a command, it only tries.
if [ "${1-}" = --inside ]; then
  rule=$2
  shift 2
  mount -t binfmt_misc binfmt_misc "$binfmt"
  printf '%s' "$rule" >"$binfmt/register"
  [ $# -eq 0 ] || exec "$@"
  exit 0
fi

only=''
if [ "${1-}" = --only ]; then
  [ $# -ge 2 ] || die 2 'name the program: see the top of this script'
  only=$2
  shift 2
fi
[ $# -ge 2 ] || die 2 'name the architecture and the command: see the top of this script'
architecture=$1
shift
qemu=$("$(dirname "$self")/tool.sh" qemu "$architecture")

if [ -n "$only" ]; then
  # All of its ELF header. One rule for a whole architecture would be one for qemu too, where it is this machine's.
  magic=$(od -An -v -tx1 -N64 -- "$only" | tr -d '\n' | sed 's/ /\\x/g')
  [ ${#magic} -eq 256 ] || die 2 "$only is no program"
  mask=''
else
  case $architecture in
    # ELF, 64 bits, little endian, of any system; an executable or a shared object; AArch64.
    aarch64)
      magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
      mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
      ;;
    *) die 2 "$architecture is not an architecture that this knows programs of" ;;
  esac
fi
# F: qemu is opened now, as the command may see other folders.
# O: qemu gets the program as a descriptor: the supervisor's is in memory, and its name ends as it is started.
# P: the program gets its first argument as it was given (Linux 5.12).
rule=":plexum-$architecture-$$:M::$magic:$mask:$qemu:POF"

namespace=(unshare --user --map-root-user --mount "$BASH" "$self" --inside "$rule")
if refused=$("${namespace[@]}" 2>&1); then
  # Whoever called is who runs the command.
  if [ "$(id -u)" != 0 ]; then set -- unshare --user --map-user="$(id -u)" --map-group="$(id -g)" "$@"; fi
  exec "${namespace[@]}" "$@"
fi

[ "$(id -u)" = 0 ] ||
  die 3 "qemu cannot be registered in a user namespace ($refused): Linux 6.7 and newer let a user do that, on older ones run this as root"
if [ ! -e "$binfmt/register" ]; then
  mount -t binfmt_misc binfmt_misc "$binfmt" ||
    die 3 "the kernel does not let root register qemu, nor a user namespace ($refused): in a container, give it more rights, or use Linux 6.7 or newer"
fi
# Also after the signals that end this.
trap 'printf %s -1 >"$binfmt/plexum-$architecture-$$"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
printf '%s' "$rule" >"$binfmt/register" || { trap - EXIT; die 3 'the kernel does not take what starts qemu'; }
status=0
"$@" || status=$?
exit "$status"
