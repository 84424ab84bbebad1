#!/usr/bin/env bash
# Installs the provider for Plexum, for one user, or removes it again. See --help.
if [ -z "${BASH_VERSION-}" ]; then
  echo 'error: this script needs bash, and was started by another shell: run ./scripts/install.sh, or bash scripts/install.sh' >&2
  exit 2
fi
# `sh` may be bash itself, which then lacks some of its own features.
set +o posix
set -euo pipefail
shopt -s nullglob inherit_errexit

name=plexum-openai-provider
repository=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  cat <<'EOF'
Usage: scripts/install.sh [OPTIONS]

Builds the provider, which takes some minutes the first time, and installs it for this user:

  ~/.plexum/plugins/plexum-openai-provider/   component, manifest, WIT, and config.json if there is none
  ~/.local/bin/plexum-openai-provider         the program
  ~/.local/share/…                            completions for bash, zsh and fish, manual pages
  ~/.cache/plexum-openai-provider/            the component's machine code

Run it again to upgrade. A config.json that is there is never changed.

  --plexum-config FILE  also add the plugin to `plugins.allow` in FILE, the configuration of Plexum;
                        with --uninstall, take it out
  --prefix DIR          program, completions and manual pages below DIR instead of ~/.local; an upgrade
                        leaves them where they are, unless this says otherwise
  --home DIR            the home folder, instead of $HOME
  --program FILE        install this program instead of building one
  --component FILE      install this component instead of the one in the program
  --dry-run             only say what would be done; builds nothing, runs nothing
  --uninstall           remove what was installed, wherever that was; config.json stays
  --purge               with --uninstall: remove config.json too
  --help                this text

Exit codes: 0 done, 1 it could not be done, 2 wrong arguments.
EOF
}

warn() { printf 'warning: %s\n' "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

misuse() {
  printf 'error: %s; see --help\n' "$*" >&2
  exit 2
}

blocked() { # path, what is wrong
  die "$1 $2. Nothing was installed. Give this user the permission, or choose other folders: --home DIR for the plugin, --prefix DIR for the program"
}

absolute() { # path
  case $1 in
    *$'\n'*) misuse "a path with a line feed cannot be used: ${1@Q}" ;;
    /*) printf '%s' "$1" ;;
    *) printf '%s/%s' "$PWD" "$1" ;;
  esac
}

home='' prefix='' program='' component='' plexum_config='' dry_run=false uninstall=false purge=false
while [ $# -gt 0 ]; do
  option=$1
  shift
  if [[ $option == --*=* ]]; then
    set -- "${option#*=}" "$@"
    option=${option%%=*}
  fi
  case $option in
    --home | --prefix | --program | --component | --plexum-config)
      [ $# -gt 0 ] && [ -n "$1" ] || misuse "$option needs a value"
      value=$(absolute "$1")
      shift
      ;;&
    --home) home=$(realpath -ms -- "$value") ;;
    --prefix) prefix=$(realpath -ms -- "$value") ;;
    --program) program=$value ;;
    --component) component=$value ;;
    --plexum-config) plexum_config=$value ;;
    --dry-run) dry_run=true ;;
    --uninstall) uninstall=true ;;
    --purge) purge=true ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) misuse "unknown argument ${option@Q}" ;;
  esac
done
if $purge && ! $uninstall; then misuse '--purge goes with --uninstall'; fi
# The one in which the program will look for its configuration.
own_home=''
case ${HOME-} in
  /*) own_home=$(realpath -ms -- "$(absolute "$HOME")") ;;
  '') [ -n "$home" ] || die 'HOME is not set: name the home folder with --home DIR' ;;
  *) [ -n "$home" ] || die "HOME is not an absolute path (${HOME@Q}): set it right, or name the home folder with --home DIR" ;;
esac
home=${home:-$own_home}

plugin_below_home=/.plexum/plugins/$name
plugin=$home$plugin_below_home
config=$plugin/config.json
# What was installed, for removal: lines `file <sha256> <path>` and `folder <path>`.
record=$plugin/.installed
schema=$repository/host-shim/schemas/config.schema.json
# The files of the WIT packages. They keep their places, and with wkg.toml the one finds the other: what is installed can
# be built against.
wit=()
for file in "$repository"/wit/*/*.wit "$repository"/wit/*/wkg.toml; do wit+=("${file#"$repository"/}"); done

exists() { [ -e "$1" ] || [ -L "$1" ]; }

digest() { # file
  local digest
  digest=$(sha256sum <"$1") || return 1
  printf '%s' "${digest%% *}"
}

remove_folder() { # folder: if it is empty, and no link to one
  if [ -d "$1" ] && [ ! -L "$1" ]; then rmdir --ignore-fail-on-non-empty -- "$1" || true; fi
}

# What to undo if this ends early, or to tidy up at the end.
scratch='' temporaries=() made=() lock='' saved_record='' new_record=false
tidy() {
  if [ -n "$saved_record" ]; then mv -fT -- "$saved_record" "$record" || true; fi
  if $new_record; then rm -f -- "$record"; fi
  if [ ${#temporaries[@]} -gt 0 ]; then rm -f -- "${temporaries[@]}"; fi
  if [ -n "$lock" ]; then rm -f -- "$lock"; fi
  local index
  for ((index = ${#made[@]} - 1; index >= 0; index--)); do remove_folder "${made[index]}"; done
  if [ -n "$scratch" ]; then rm -rf -- "$scratch"; fi
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# One installation or removal at a time.
#
# Each has a file of its own, named for its process, and then looks for those of others. What a killed one left is
# known by its process, which is gone. Of two that begin at the same moment, the later process gives up at once, and the
# earlier one waits for that.
lock_prefix=$plugin/.$name.lock
started() { # process: when it was started, if it is alive
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  # Its name, in parentheses, may hold anything.
  local -a fields
  read -ra fields <<<"${stat##*) }"
  [ "${fields[0]}" != Z ] && printf '%s' "${fields[19]}"
}
take_lock() { # what is not done if another one is at work
  local own_start own other process start attempt busy never
  own_start=$(started $$) || own_start=0
  own=$lock_prefix.$own_start.$$
  { : >"$own"; } 2>/dev/null || die "$plugin cannot be written to by this user. $1: give this user the permission, and run this again"
  lock=$own
  for attempt in {1..20}; do
    busy=''
    for other in "$lock_prefix".*.*; do
      process=${other##*.} start=${other%.*}
      start=${start##*.}
      if [ "$other" = "$own" ] || ! [[ $start.$process =~ ^[0-9]+\.[0-9]+$ ]]; then continue; fi
      if [ "$(started "$process" || true)" = "$start" ]; then
        busy=$process
        if ((10#$start < 10#$own_start || (10#$start == 10#$own_start && process < $$))); then attempt=20; fi
      else
        rm -f -- "$other"
      fi
    done
    if [ -z "$busy" ]; then return; fi
    if [ "$attempt" = 20 ]; then break; fi
    # A tenth of a second: nothing is ever written there.
    exec {never}<> <(:)
    read -rt 0.1 -u "$never" || true
    exec {never}>&-
  done
  die "another installation or removal is at work on $plugin (process $busy). $1: wait until it has ended, then run this again"
}

# What an earlier installation left: paths and their digests, and folders.
old_paths=() old_digests=() old_folders=() old_prefix=''
# What the record names and another installation owns: that one's folder, by path.
declare -A foreign=()
read_record() {
  old_paths=() old_digests=() old_folders=() old_prefix=''
  [ -f "$record" ] || return 0
  local line rest then=''
  while IFS= read -r line || [ -n "$line" ]; do
    rest=${line#* }
    if [[ $line =~ ^file\ [0-9a-f]{64}\ / ]]; then
      old_digests+=("${rest%% *}")
      old_paths+=("${rest#* }")
      if [[ $line == *"$plugin_below_home/plugin.wasm" && -z $then ]]; then
        then=${rest#* }
        then=${then%"$plugin_below_home/plugin.wasm"}
      fi
    elif [[ $line == 'folder /'* ]]; then
      old_folders+=("$rest")
    else
      die "$record is damaged at ${line@Q}: remove it and the installed files by hand"
    fi
  done <"$record"
  if [ -n "$then" ] && [ "$then" != "$home" ]; then relocate "$then"; fi
  local path
  for path in "${old_paths[@]}"; do
    # In an upgrade that was killed, the new places come first.
    if [[ $path == */bin/$name && -z $old_prefix ]]; then old_prefix=${path%"/bin/$name"}; fi
  done
}

# The home has been moved, copied, or is spelled in another way since its record was written. What was below it then is
# below it now. What was elsewhere belongs to the other home, if that is still there and not this one.
relocate() { # the home as it was
  local then=$1 other=false index paths=() digests=() folders=() path
  if [ -d "$then$plugin_below_home" ] && ! [ "$then$plugin_below_home" -ef "$plugin" ]; then other=true; fi
  for index in "${!old_paths[@]}"; do
    path=${old_paths[index]}
    if [[ $path == "$then"/* ]]; then
      path=$home${path#"$then"}
    elif $other; then
      foreign[$path]="$then$plugin_below_home"
      continue
    fi
    paths+=("$path") digests+=("${old_digests[index]}")
  done
  for path in "${old_folders[@]}"; do
    if [[ $path == "$then"/* ]]; then folders+=("$home${path#"$then"}"); elif ! $other; then folders+=("$path"); fi
  done
  old_paths=("${paths[@]}") old_digests=("${digests[@]}") old_folders=("${folders[@]}")
}

# Where things belong, once it is known where they were.
choose_places() {
  prefix=${prefix:-${old_prefix:-$home/.local}}
  installed=$prefix/bin/$name
  manuals=$prefix/share/man/man1
  bash_completion=$prefix/share/bash-completion/completions/$name
  zsh_completion=$prefix/share/zsh/site-functions/_$name
  fish_completion=$prefix/share/fish/vendor_completions.d/$name.fish
}

as_installed() { # index: whether the file is there as it was installed
  [ -f "${old_paths[$1]}" ] && [ "$(digest "${old_paths[$1]}" 2>/dev/null || true)" = "${old_digests[$1]}" ]
}

# Fills the user's cache of machine code, or clears it.
machine_code() { # program, [--clear]
  (
    # Another user's home has its own.
    if [ "$home" != "$own_home" ]; then unset XDG_CACHE_HOME; fi
    HOME=$home exec "$1" cache "${@:2}" >/dev/null
  )
}

remove() {
  if ! $dry_run && [ -w "$plugin" ] && [ -d "$plugin" ]; then take_lock 'Nothing was removed'; fi
  read_record
  if [ ${#old_paths[@]} -eq 0 ]; then echo "Nothing is installed in $plugin."; fi
  local index folder path paths=()
  for path in "${!foreign[@]}"; do warn "$path stays: it belongs to the installation in ${foreign[$path]}, from which this one was copied"; done
  if [ -n "$plexum_config" ]; then
    for path in "${old_paths[@]}"; do
      if [ -z "$program" ] && [[ $path == */bin/$name ]] && [ -x "$path" ]; then program=$path; fi
    done
    { [ -f "$program" ] && [ -x "$program" ]; } || die "no program was found to change $plexum_config with: name one with --program FILE, or remove \"$name\" from \`plugins.allow\` by hand"
    if $dry_run; then
      echo "would take $name out of \`plugins.allow\` in $plexum_config"
    else
      "$program" plexum-allow --remove -- "$plexum_config" || die 'nothing was removed'
    fi
  fi
  for index in "${!old_paths[@]}"; do
    if [[ ${old_paths[index]} == */bin/$name ]] && as_installed "$index"; then
      if $dry_run; then
        echo 'would remove the machine code that is kept in the cache'
      else
        machine_code "${old_paths[index]}" --clear || warn 'the machine code in the cache could not be removed'
      fi
    fi
  done
  local -A folders=(["$plugin"]=1)
  for index in "${!old_paths[@]}"; do
    folders[${old_paths[index]%/*}]=1
    if as_installed "$index"; then
      paths+=("${old_paths[index]}")
    elif exists "${old_paths[index]}"; then
      warn "${old_paths[index]} was changed since installation, and stays"
    fi
  done
  # Left over from an installation that was killed.
  for folder in "${!folders[@]}"; do paths+=("$folder"/."$name".new-??????); done
  if exists "$config"; then
    if $purge; then paths+=("$config"); else echo "$config stays; --purge removes it."; fi
  fi
  # The record comes last: should this be killed, it can be run again.
  if exists "$record"; then paths+=("$record"); fi
  for path in "${paths[@]}"; do
    if $dry_run; then
      echo "would remove $path"
    else
      rm -f -- "$path" || die "$path cannot be removed: give this user the permission, and run this again"
    fi
  done
  # That one was not empty when its record went, and may be no folder of ours.
  if $purge && ! [[ " ${old_folders[*]@Q} " == *" ${plugin@Q} "* ]]; then old_folders+=("$plugin"); fi
  if $dry_run; then
    for folder in "${old_folders[@]}"; do
      if [ -d "$folder" ] && [ ! -L "$folder" ]; then echo "would remove the folder $folder, if nothing else is in it"; fi
    done
    return
  fi
  if [ -n "$lock" ]; then rm -f -- "$lock"; fi
  for ((index = ${#old_folders[@]} - 1; index >= 0; index--)); do remove_folder "${old_folders[index]}"; done
  remove_unborn
  if [ -L "$plugin" ]; then echo "$plugin is a link, which was not made here, and stays."; fi
  if [ ${#old_paths[@]} -gt 0 ]; then
    echo "$name is removed."
    if [ -z "$plexum_config" ]; then
      echo "Take \"$name\" out of \`plugins.allow\` in the configuration of Plexum, and run: systemctl --user restart plexum"
    fi
  fi
}

check_folder() { # folder: whether it can be made, or written to
  local folder=$1
  until exists "$folder"; do
    folder=${folder%/*}
    folder=${folder:-/}
  done
  [ -d "$folder" ] || blocked "$folder" 'is not a folder'
  { [ -w "$folder" ] && [ -x "$folder" ]; } || blocked "$folder" 'cannot be written to by this user'
}

make_folder() { # folder
  local folder=$1 missing=() problem
  until [ -d "$folder" ]; do
    missing=("$folder" "${missing[@]}")
    folder=${folder%/*}
    folder=${folder:-/}
  done
  for folder in "${missing[@]}"; do
    problem=$(mkdir -- "$folder" 2>&1) || blocked "$folder" "cannot be made (${problem##*: })"
    made+=("$folder")
  done
}

missing_above() { # path: the folders above it that are not there, the outermost first, in `missing`
  local folder=${1%/*}
  missing=()
  until [ -d "${folder:-/}" ]; do
    missing=("$folder" "${missing[@]}")
    folder=${folder%/*}
  done
}

# Makes the plugin's folder with a record in it that says which folders are new. A kill leaves both or neither: at most
# a hidden folder above, which `remove_unborn` knows.
make_plugin_folder() {
  local missing unborn inner
  missing_above "$record"
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  unborn=$(mktemp -d -- "${missing[0]%/*}/.$name.unborn-XXXXXX" 2>&1) || blocked "${missing[0]%/*}" "cannot be written to (${unborn##*: })"
  inner=$unborn${plugin#"${missing[0]}"}
  # As mkdir would: mktemp keeps others out.
  { chmod '=rwx' -- "$unborn" && mkdir -p -- "$inner" && printf 'folder %s\n' "${missing[@]}" >"$inner/.installed" &&
    mv -nT -- "$unborn" "${missing[0]}"; } || true
  if [ ! -d "$unborn" ]; then
    made+=("${missing[@]}") new_record=true
  else
    # Another one was faster, or it cannot be done at all.
    clear_unborn "$unborn" "$inner"
    [ -d "$plugin" ] || blocked "$plugin" 'cannot be made'
  fi
}

clear_unborn() { # folder, the plugin's folder in it
  rm -f -- "$2/.installed"
  local folder=$2
  while remove_folder "$folder" && [ "$folder" != "$1" ]; do folder=${folder%/*}; done
}

# Removes what a kill left of `make_plugin_folder`.
remove_unborn() {
  local folder=$plugin unborn
  while [ "$folder" != "$home" ]; do
    for unborn in "${folder%/*}/.$name".unborn-??????; do clear_unborn "$unborn" "$unborn${plugin#"$folder"}"; done
    folder=${folder%/*}
  done
}

stage() { # source, place, mode: writes it beside its place
  local folder=${2%/*} temporary problem
  make_folder "$folder"
  if [ -d "$2" ]; then blocked "$2" 'is a folder, where a file belongs'; fi
  temporary=$(mktemp -- "$folder/.$name.new-XXXXXX" 2>&1) || blocked "$folder" "cannot be written to (${temporary##*: })"
  temporaries+=("$temporary")
  problem=$({ cp -- "$1" "$temporary" && chmod "$3,go-w" -- "$temporary" && sync -- "$temporary"; } 2>&1) ||
    blocked "$temporary" "cannot be written (${problem##*: })"
}

write_record() { # lines…
  local temporary
  temporary=$(mktemp -- "$plugin/.$name.new-XXXXXX" 2>&1) || { warn "$temporary"; return 1; }
  temporaries+=("$temporary")
  printf '%s\n' "$@" >"$temporary" && chmod '=rw,go-w' -- "$temporary" && sync -- "$temporary" && mv -fT -- "$temporary" "$record"
}

build() {
  command -v cargo >/dev/null || die 'cargo was not found: install Rust from https://rustup.rs, or name a built program with --program FILE'
  # Chained: `set -e` has no effect on the left of a `||`.
  (
    cd -- "$repository" &&
      unset CARGO_BUILD_TARGET &&
      scripts/tool.sh wasm-target &&
      cargo build --release --locked --package "$name" --bin "$name"
  ) || die 'the provider could not be built, and nothing was installed'
  local target=${CARGO_TARGET_DIR:-target}
  if [[ $target != /* ]]; then target=$repository/$target; fi
  program=$target/release/$name
}

# Makes what is installed, in a folder of its own, and lists it.
sources=() places=()
bundle() {
  scratch=$(mktemp -d) || die 'a temporary folder could not be created: free some space, or set TMPDIR'
  scratch=$(absolute "$scratch")
  local wasm=$component
  if [ -z "$wasm" ]; then
    wasm=$scratch/plugin.wasm
    "$program" component -- "$wasm" || die "$program cannot be run here, and nothing was installed"
  fi
  "$program" manifest -- "$wasm" >"$scratch/plugin.json" || die 'this component cannot be installed; nothing was installed'
  local shell
  for shell in bash zsh fish; do
    "$program" completions "$shell" >"$scratch/$shell" || die "$program prints no completions for $shell; nothing was installed"
  done
  "$program" man --dir "$scratch/man" || die "$program writes no manual pages; nothing was installed"

  add() { sources+=("$1") places+=("$2"); }
  local file
  add "$wasm" "$plugin/plugin.wasm"
  add "$scratch/plugin.json" "$plugin/plugin.json"
  for file in "${wit[@]}"; do add "$repository/$file" "$plugin/$file"; done
  if [ -f "$schema" ]; then add "$schema" "$plugin/config.schema.json"; fi
  add "$scratch/bash" "$bash_completion"
  add "$scratch/zsh" "$zsh_completion"
  add "$scratch/fish" "$fish_completion"
  for file in "$scratch"/man/*; do add "$file" "$manuals/${file##*/}"; done
  add "$program" "$installed"

  if ! exists "$config"; then
    local arguments=()
    if [ -f "$schema" ]; then arguments+=(--schema ./config.schema.json); fi
    if [ -n "$codex" ]; then arguments+=(--binary "$codex"); fi
    "$program" new-config "${arguments[@]}" >"$scratch/config.json" || die 'nothing was installed'
  fi
}

# Which of the old files, by index, have no place any more. Two names may be one file, so the files are compared.
left_over() { # places…
  local index
  for index in "${!old_paths[@]}"; do
    if exists "${old_paths[index]}" && ! is_one_of "${old_paths[index]}" "$@"; then echo "$index"; fi
  done
}

is_one_of() { # path, paths…
  local path=$1 other
  for other in "${@:2}"; do
    if [ "$other" = "$path" ] || [ "$other" -ef "$path" ]; then return 0; fi
  done
  return 1
}

# Puts everything beside its place, and then in its place: until the last moment nothing has changed.
put() {
  local index mode folder lines=() old_lines=() sums=() missing
  local -A listed=()
  for index in "${!places[@]}"; do missing_above "${places[index]}"; for folder in "${missing[@]}"; do listed[$folder]=new; done; done
  for folder in "${old_folders[@]}"; do
    if [ "${listed[$folder]-}" != old ]; then lines+=("folder $folder"); fi
    listed[$folder]=old
  done
  for index in "${!places[@]}"; do
    missing_above "${places[index]}"
    for folder in "${missing[@]}"; do
      if [ "${listed[$folder]}" = new ]; then lines+=("folder $folder") listed[$folder]=old; fi
    done
  done
  for index in "${!places[@]}"; do
    sums+=("$(digest "${sources[index]}")") || blocked "${sources[index]}" 'cannot be read'
    lines+=("file ${sums[index]} ${places[index]}")
  done
  for index in "${!old_paths[@]}"; do old_lines+=("file ${old_digests[index]} ${old_paths[index]}"); done

  # From here on, a kill leaves something behind. --uninstall must know the old files and the new ones.
  if [ -f "$record" ] && ! $new_record; then
    saved_record=$(mktemp -- "$plugin/.$name.new-XXXXXX" 2>&1) || blocked "$plugin" "cannot be written to (${saved_record##*: })"
    cp -p -- "$record" "$saved_record" || blocked "$saved_record" 'cannot be written'
  else
    new_record=true
  fi
  write_record "${lines[@]}" "${old_lines[@]}" || blocked "$record" 'cannot be written'
  local earlier=${#temporaries[@]}
  for index in "${!places[@]}"; do
    mode='=rw'
    if [ "${places[index]}" = "$installed" ]; then mode='=rwx'; fi
    stage "${sources[index]}" "${places[index]}" "$mode"
    [ "$(digest "${temporaries[-1]}")" = "${sums[index]}" ] || blocked "${sources[index]}" 'was changed while it was copied'
  done
  local staged=("${temporaries[@]:earlier}") new_config=''
  if [ -f "$scratch/config.json" ]; then
    stage "$scratch/config.json" "$config" '=rw'
    new_config=${temporaries[-1]}
  fi
  local leftovers
  mapfile -t leftovers < <(left_over "${places[@]}")

  made=() new_record=false
  if [ -n "$saved_record" ]; then temporaries+=("$saved_record") saved_record=''; fi
  for index in "${!places[@]}"; do
    mv -fT -- "${staged[index]}" "${places[index]}" || die "${places[index]} cannot be replaced, and some files are new and some are old: give this user the permission, and run this again"
  done
  # A file that was written meanwhile stays.
  if [ -n "$new_config" ]; then mv -nT -- "$new_config" "$config" || true; fi
  for index in "${leftovers[@]}"; do
    # Once more, now that everything is in its place.
    if is_one_of "${old_paths[index]}" "${places[@]}"; then continue; fi
    if as_installed "$index"; then
      rm -f -- "${old_paths[index]}" && echo "removed ${old_paths[index]}, which has no place in this version or under this prefix"
    else
      warn "${old_paths[index]} was changed since installation, and stays"
    fi
  done
  for index in "${!places[@]}"; do
    [ "$(digest "${places[index]}" || true)" = "${sums[index]}" ] || die "${places[index]} is not there as it was installed: another program has changed it meanwhile; run this again"
  done
  write_record "${lines[@]}" || die "everything is installed, but $record cannot be written: run this again before you uninstall"
}

show_plan() {
  local plan=("$plugin/plugin.wasm" "$plugin/plugin.json") file place index missing
  if [ -z "$program" ]; then echo "would build the provider in $repository"; fi
  for file in "${wit[@]}"; do plan+=("$plugin/$file"); done
  if [ -f "$schema" ]; then plan+=("$plugin/config.schema.json"); fi
  plan+=("$bash_completion" "$zsh_completion" "$fish_completion" "$manuals/$name*.1" "$installed")
  local -A told=()
  for place in "${plan[@]}"; do
    missing_above "$place"
    for file in "${missing[@]}"; do
      if [ -z "${told[$file]-}" ]; then echo "would make the folder $file"; fi
      told[$file]=1
    done
  done
  for place in "${plan[@]}"; do
    if [ "$place" = "$manuals/$name*.1" ]; then
      # Which pages there are, only the program knows, and nothing is run.
      local old=("$manuals/$name"*.1)
      if [ ${#old[@]} -gt 0 ]; then echo "would replace $place, and remove the pages that this version has no more"; else echo "would write $place"; fi
      plan+=("${old[@]}")
    elif exists "$place"; then
      echo "would replace $place"
    else
      echo "would write $place"
    fi
  done
  for index in $(left_over "${plan[@]}"); do
    if as_installed "$index"; then
      echo "would remove ${old_paths[index]}"
    else
      warn "${old_paths[index]} was changed since installation, and would stay"
    fi
  done
  if exists "$config"; then echo "would keep $config"; else echo "would write $config"; fi
  echo "would list what was installed in $record"
  echo 'would compile the component into the cache of this user'
  if [ -n "$plexum_config" ]; then echo "would add $name to \`plugins.allow\` in $plexum_config"; fi
}

warn_codex() {
  if [ -z "$codex" ]; then
    warn "codex is not on PATH, so config.json does not name it. Install it (npm install -g @openai/codex), log in (codex login), and set \`binary\` in $config to what \`command -v codex\` prints"
  fi
}

show_next() {
  local command=$name options='' version
  version=$("$installed" --version) || die "$installed is installed, and cannot be run"
  echo "Installed $version:"
  echo "  plugin   $plugin"
  echo "  program  $installed"
  echo "  config   $config"
  case :${PATH-}: in
    *":$prefix/bin:"*) ;;
    *)
      command=${installed@Q}
      warn "$prefix/bin is not on PATH: add it in the profile of your shell, or call the program by its path"
      ;;
  esac
  if [ "$home" != "$own_home" ]; then options=" --config ${config@Q}"; fi
  echo 'Next:'
  if [ -z "$plexum_config" ]; then
    echo "  .plugins.allow += [\"$name\"]   in the configuration of Plexum, or let --plexum-config FILE do it"
  fi
  echo '  plexum agent-add --model codex my-agent'
  echo '  systemctl --user restart plexum'
  echo '  plexum say …'
  echo "To check the installation: $command doctor$options"
}

if $uninstall; then
  remove
  exit 0
fi

# An absolute path, as `command -v` gives one unless PATH has a relative entry or the shell a function.
codex=$(type -P codex || true)
if [ -n "$codex" ]; then codex=$(absolute "$codex"); fi
read_record
choose_places
for folder in "$plugin/wit/provider" "$plugin/wit/codex" "${installed%/*}" "$manuals" "${bash_completion%/*}" "${zsh_completion%/*}" "${fish_completion%/*}" "$plugin"; do
  check_folder "$folder"
done
if [ -n "$program" ] && ! { [ -f "$program" ] && [ -x "$program" ]; }; then die "$program is not a program: see --program"; fi
if [ -n "$component" ] && [ ! -f "$component" ]; then die "$component is not a file: see --component"; fi
if $dry_run; then
  show_plan
  if ! exists "$config"; then warn_codex; fi
  exit 0
fi
if [ -z "$program" ]; then build; fi
new=true
if exists "$config"; then new=false; fi
bundle
if [ -n "$plexum_config" ]; then "$program" plexum-allow --dry-run -- "$plexum_config" >/dev/null || die 'nothing was installed'; fi
make_plugin_folder
take_lock 'Nothing was installed'
# Another one may have come and gone since.
read_record
put
# So that no start has to compile the component, the first neither.
machine_code "$installed" || warn "the component's machine code is not kept, so that every start compiles it, which takes a tenth of a second"
if [ -n "$plexum_config" ]; then "$program" plexum-allow -- "$plexum_config" || die "everything else is installed; add \"$name\" to \`plugins.allow\` by hand"; fi
if $new; then
  warn_codex
elif ! problem=$("$installed" audit --config "$config" -- "$plugin/plugin.wasm" 2>&1 >/dev/null); then
  problem=${problem:-its \`component_sha256\` names another}
  warn "your config.json was kept, and it does not let the new component run: ${problem#error: }"
fi
show_next
