#!/bin/sh
# Installs the provider for Plexum, for one user, or removes it again. See --help.
#
# It finds a program, or builds one; the program does the rest (its command `setup`). The same script is in the clone and in
# the archives of a release, where there is no cargo and perhaps no bash.
set -eu

name=plexum-openai-provider
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
repository=${here%/scripts}

usage() {
  cat <<'EOF'
Usage: install.sh [OPTIONS]

Installs the provider for this user. In a clone it is built first, which takes some minutes the first time:

  ~/.plexum/plugins/plexum-openai-provider/   component, manifest, WIT, schema, and config.json if there is none
  ~/.local/bin/plexum-openai-provider         the program
  ~/.local/share/…                            completions for bash, zsh and fish, manual pages
  ~/.cache/plexum-openai-provider/            the component's machine code

Run it again to upgrade. A config.json that is there is never changed.

  --plexum-config FILE  also add the plugin to `plugins.allow` in FILE, the configuration of Plexum;
                        with --uninstall, take it out
  --prefix DIR          program, completions and manual pages below DIR instead of ~/.local; an upgrade
                        leaves them where they are, unless this says otherwise
  --home DIR            the home folder, instead of $HOME
  --from FILE           install what is in this archive of a release; its digest has to be in the file
                        SHA256SUMS beside it
  --program FILE        install this program instead of building one
  --component FILE      install this component instead of the one in the program
  --dry-run             only say what would be done; builds nothing
  --uninstall           remove what was installed, wherever that was; config.json stays
  --purge               with --uninstall: remove config.json too
  --help                this text

Exit codes: 0 done, 1 it could not be done, 2 wrong arguments.
EOF
}

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

misuse() {
  printf 'error: %s; see --help\n' "$*" >&2
  exit 2
}

# What the program needs to hear goes to the end of the arguments.
line_feed='
'
home='' prefix='' program='' archive='' dry_run=false uninstall=false purge=false
left=$#
while [ "$left" -gt 0 ]; do
  argument=$1
  shift
  left=$((left - 1))
  case $argument in
    --home | --prefix | --program | --from | --component | --plexum-config)
      option=$argument
      [ "$left" -gt 0 ] && [ -n "$1" ] || misuse "$option needs a value"
      value=$1
      shift
      left=$((left - 1))
      ;;
    --home=?* | --prefix=?* | --program=?* | --from=?* | --component=?* | --plexum-config=?*)
      option=${argument%%=*}
      value=${argument#*=}
      ;;
    --home= | --prefix= | --program= | --from= | --component= | --plexum-config=) misuse "${argument%=} needs a value" ;;
    --dry-run | --uninstall | --purge)
      option=$argument
      case $option in
        --dry-run) dry_run=true ;;
        --uninstall) uninstall=true ;;
        --purge) purge=true ;;
      esac
      set -- "$@" "$option"
      continue
      ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) misuse "unknown argument '$argument'" ;;
  esac
  case $value in
    *"$line_feed"*) misuse 'a path with a line feed cannot be used' ;;
  esac
  case $option in
    --program) program=$value ;;
    --from) archive=$value ;;
    --home) home=$value ;;
    --prefix) prefix=$value ;;
  esac
  case $option in
    --program | --from) ;;
    *) set -- "$@" "$option=$value" ;;
  esac
done
if $purge && ! $uninstall; then misuse '--purge goes with --uninstall'; fi
if [ -n "$program" ] && [ -n "$archive" ]; then misuse '--program and --from exclude each other'; fi

is_program() { [ -f "$1" ] && [ -x "$1" ]; }

# An earlier version has no such command.
can_set_up() { is_program "$1" && "$1" setup --help >/dev/null 2>&1; }

# Unpacks the archive into a temporary folder, and names the program in it.
scratch=''
unpack() {
  [ -f "$archive" ] || die "$archive is not a file: see --from"
  file=${archive##*/}
  case $archive in
    */*) sums=${archive%/*}/SHA256SUMS ;;
    *) sums=SHA256SUMS ;;
  esac
  [ -f "$sums" ] || die "$sums is missing, which says what the digest of $file has to be: get it from where $file is from"
  wanted=$(while read -r digest listed; do
    if [ "${listed#\*}" = "$file" ]; then printf '%s' "$digest"; fi
  done <"$sums")
  [ -n "$wanted" ] || die "$file is not listed in $sums: get both from the same place"
  found=$(sha256sum <"$archive")
  [ "${found%% *}" = "$wanted" ] || die "$archive is damaged, or is another one: its digest is ${found%% *}, and $sums says $wanted. Get it again"
  scratch=$(mktemp -d) || die 'a temporary folder could not be created: free some space, or set TMPDIR'
  trap 'rm -rf -- "$scratch"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  tar -xzf "$archive" -C "$scratch" || die "$archive cannot be unpacked, and nothing was installed"
  for program in "$scratch"/*/bin/"$name"; do break; done
  is_program "$program" || die "$archive holds no $name, and nothing was installed"
}

# Before minutes of building: whether there is a point in it.
check_folder() {
  folder=$1
  until [ -e "$folder" ] || [ -L "$folder" ]; do folder=$(dirname -- "$folder"); done
  [ -d "$folder" ] || blocked 'is not a folder'
  { [ -w "$folder" ] && [ -x "$folder" ]; } || blocked 'cannot be written to by this user'
}
blocked() {
  die "$folder $1. Nothing was installed. Give this user the permission, or choose other folders: --home DIR for the plugin, --prefix DIR for the program"
}

build() {
  case ${home:-${HOME-}} in
    '') die 'HOME is not set: name the home folder with --home DIR' ;;
    /*) ;;
    *) [ -n "$home" ] || die "HOME is not an absolute path ('$HOME'): set it right, or name the home folder with --home DIR" ;;
  esac
  check_folder "${home:-$HOME}/.plexum/plugins/$name"
  # An upgrade goes to where the program is, which `setup` knows.
  if [ -n "$prefix" ] || [ ! -f "${home:-$HOME}/.plexum/plugins/$name/.installed" ]; then
    for folder in bin share/man/man1 share/bash-completion/completions share/zsh/site-functions share/fish/vendor_completions.d; do
      check_folder "${prefix:-${home:-$HOME}/.local}/$folder"
    done
  fi
  command -v cargo >/dev/null || die 'cargo was not found: install Rust from https://rustup.rs, name a built program with --program FILE, or an archive of a release with --from FILE'
  # Chained: `set -e` has no effect on the left of a `||`.
  (
    cd -- "$repository" &&
      unset CARGO_BUILD_TARGET &&
      scripts/tool.sh wasm-target &&
      cargo build --release --locked --package "$name" --bin "$name"
  ) || die 'the provider could not be built, and nothing was installed'
  program=$built
}

built=${CARGO_TARGET_DIR:-target}/release/$name
case $built in
  /*) ;;
  *) built=$repository/$built ;;
esac

# The program that an installation has put somewhere, and that can take it out again.
find_installed() {
  record=${home:-${HOME-}}/.plexum/plugins/$name/.installed
  if [ -f "$record" ]; then
    while read -r kind rest; do
      case $kind:$rest in
        file:*/bin/"$name") if can_set_up "${rest#* }"; then program=${rest#* }; return; fi ;;
      esac
    done <"$record"
  fi
  for program in "${home:-${HOME-}}/.local/bin/$name" "$(command -v "$name" || true)" "$built"; do
    if can_set_up "$program"; then return; fi
  done
  [ -f "$record" ] || { program=''; return; }
  die "no program was found that could remove what is installed: name one with --program FILE, or an archive of a release with --from FILE"
}

if [ -n "$program" ]; then
  is_program "$program" || die "$program is not a program: see --program"
elif [ -n "$archive" ]; then
  unpack
elif is_program "$here/bin/$name"; then
  program=$here/bin/$name
elif $uninstall; then
  find_installed
  if [ -z "$program" ]; then
    plugin=${home:-${HOME-}}/.plexum/plugins/$name
    echo "Nothing is installed in $plugin."
    # What an earlier removal has left.
    if $purge && { [ -f "$plugin/config.json" ] || [ -L "$plugin/config.json" ]; }; then
      if $dry_run; then
        echo "would remove $plugin/config.json"
      else
        rm -f -- "$plugin/config.json" || die "$plugin/config.json cannot be removed: give this user the permission, and run this again"
        rmdir -- "$plugin" 2>/dev/null || true
      fi
    fi
    exit 0
  fi
elif $dry_run; then
  echo "would build the provider in $repository"
  program=$built
  if ! can_set_up "$program"; then
    echo 'would then install what --help lists; once it is built, this tells each file'
    exit 0
  fi
else
  build
fi
case $program in
  */*) ;;
  *) program=./$program ;;
esac

if ! $uninstall; then set -- --program "$program" "$@"; fi
if [ -n "$scratch" ]; then
  status=0
  "$program" setup "$@" || status=$?
  exit "$status"
fi
exec "$program" setup "$@"
