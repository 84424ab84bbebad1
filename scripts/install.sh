#!/usr/bin/env bash
# Installs the provider for Plexum, for one user, or removes it again. See --help.
set -euo pipefail
shopt -s nullglob

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
  --prefix DIR          program, completions and manual pages below DIR instead of ~/.local
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
prefix=${prefix:-$home/.local}

plugin=$home/.plexum/plugins/$name
config=$plugin/config.json
# What was installed, for removal: lines `file <sha256> <path>` and `folder <path>`.
record=$plugin/.installed
installed=$prefix/bin/$name
manuals=$prefix/share/man/man1
bash_completion=$prefix/share/bash-completion/completions/$name
zsh_completion=$prefix/share/zsh/site-functions/_$name
fish_completion=$prefix/share/fish/vendor_completions.d/$name.fish
schema=$repository/host-shim/schemas/config.schema.json
# The files of the WIT packages. They keep their places, and with wkg.toml the one finds the other: what is installed can
# be built against.
wit=()
for file in "$repository"/wit/*/*.wit "$repository"/wit/*/wkg.toml; do wit+=("${file#"$repository"/}"); done

exists() { [ -e "$1" ] || [ -L "$1" ]; }

digest() { # file
  local digest
  read -r digest _ < <(sha256sum <"$1")
  printf '%s' "$digest"
}

# What to undo if this ends early, or to tidy up at the end.
scratch='' temporaries=() made=()
tidy() {
  if [ ${#temporaries[@]} -gt 0 ]; then rm -f -- "${temporaries[@]}"; fi
  local index
  for ((index = ${#made[@]} - 1; index >= 0; index--)); do
    rmdir --ignore-fail-on-non-empty -- "${made[index]}" || true
  done
  if [ -n "$scratch" ]; then rm -rf -- "$scratch"; fi
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# What an earlier installation left: paths and their digests, and folders.
old_paths=() old_digests=() old_folders=()
read_record() {
  [ -f "$record" ] || return 0
  local kind rest
  while read -r kind rest; do
    case $kind in
      file)
        old_digests+=("${rest%% *}")
        old_paths+=("${rest#* }")
        ;;
      folder) old_folders+=("$rest") ;;
      *) die "$record is damaged at ${kind@Q}: remove it and the installed files by hand" ;;
    esac
  done <"$record"
}

as_installed() { # index: whether the file is there as it was installed
  [ -f "${old_paths[$1]}" ] && [ "$(digest "${old_paths[$1]}")" = "${old_digests[$1]}" ]
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
  read_record
  if [ ${#old_paths[@]} -eq 0 ]; then echo "Nothing is installed in $plugin."; fi
  if [ -n "$plexum_config" ]; then
    if $dry_run; then
      echo "would take $name out of \`plugins.allow\` in $plexum_config"
    else
      local path
      for path in "${old_paths[@]}"; do
        if [ -z "$program" ] && [[ $path == */bin/$name ]]; then program=$path; fi
      done
      [ -x "$program" ] || die "no program was found to change $plexum_config with: name one with --program FILE, or remove \"$name\" from \`plugins.allow\` by hand"
      "$program" plexum-allow --remove -- "$plexum_config" || die 'nothing was removed'
    fi
  fi
  local index folder paths=()
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
  for folder in "${!folders[@]}"; do paths+=("$folder"/."$name".??????); done
  if exists "$record"; then paths+=("$record"); fi
  if exists "$config"; then
    if $purge; then paths+=("$config"); else echo "$config stays; --purge removes it."; fi
  fi
  local path
  for path in "${paths[@]}"; do
    if $dry_run; then
      echo "would remove $path"
    else
      rm -f -- "$path" || die "$path cannot be removed: give this user the permission, and run this again"
    fi
  done
  if $dry_run; then return; fi
  for ((index = ${#old_folders[@]} - 1; index >= 0; index--)); do
    if [ -d "${old_folders[index]}" ]; then rmdir --ignore-fail-on-non-empty -- "${old_folders[index]}" || true; fi
  done
  # That one was not empty when its record went.
  if $purge && [ -d "$plugin" ]; then rmdir --ignore-fail-on-non-empty -- "$plugin"; fi
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

stage() { # source, place, mode: writes it beside its place
  local folder=${2%/*} temporary problem
  make_folder "$folder"
  if [ -d "$2" ]; then blocked "$2" 'is a folder, where a file belongs'; fi
  temporary=$(mktemp -- "$folder/.$name.XXXXXX" 2>&1) || blocked "$folder" "cannot be written to (${temporary##*: })"
  temporaries+=("$temporary")
  problem=$({ cp -- "$1" "$temporary" && chmod "$3,go-w" -- "$temporary" && sync -- "$temporary"; } 2>&1) ||
    blocked "$temporary" "cannot be written (${problem##*: })"
}

write_record() { # lines…
  local temporary
  temporary=$(mktemp -- "$plugin/.$name.XXXXXX")
  temporaries+=("$temporary")
  printf '%s\n' "$@" >"$temporary"
  chmod '=rw,go-w' -- "$temporary"
  mv -fT -- "$temporary" "$record"
}

build() {
  command -v cargo >/dev/null || die 'cargo was not found: install Rust from https://rustup.rs, or name a built program with --program FILE'
  (
    cd -- "$repository"
    unset CARGO_BUILD_TARGET
    scripts/tool.sh wasm-target
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
  for shell in bash zsh fish; do "$program" completions "$shell" >"$scratch/$shell"; done
  "$program" man --dir "$scratch/man"

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

# Puts everything beside its place, and then in its place: until the last moment nothing has changed.
put() {
  local index mode
  for index in "${!places[@]}"; do
    mode='=rw'
    if [ "${places[index]}" = "$installed" ]; then mode='=rwx'; fi
    stage "${sources[index]}" "${places[index]}" "$mode"
  done
  local staged=("${temporaries[@]}") lines=() folder
  local new_config=''
  if [ -f "$scratch/config.json" ]; then
    stage "$scratch/config.json" "$config" '=rw'
    new_config=${temporaries[-1]}
  fi
  for folder in "${old_folders[@]}" "${made[@]}"; do lines+=("folder $folder"); done
  for index in "${!places[@]}"; do lines+=("file $(digest "${staged[index]}") ${places[index]}"); done

  # Should this be killed from here on, --uninstall must know the old files and the new ones.
  local old_lines=()
  for index in "${!old_paths[@]}"; do old_lines+=("file ${old_digests[index]} ${old_paths[index]}"); done
  write_record "${lines[@]}" "${old_lines[@]}"
  made=()
  for index in "${!places[@]}"; do
    mv -fT -- "${staged[index]}" "${places[index]}" || die "${places[index]} cannot be replaced, and some files are new and some are old: give this user the permission, and run this again"
  done
  # A file that was written meanwhile stays.
  if [ -n "$new_config" ]; then mv -nT -- "$new_config" "$config" || true; fi
  local kept
  for index in "${!old_paths[@]}"; do
    kept=false
    for folder in "${places[@]}"; do if [ "$folder" = "${old_paths[index]}" ]; then kept=true; fi; done
    if ! $kept && as_installed "$index"; then rm -f -- "${old_paths[index]}"; fi
  done
  write_record "${lines[@]}"
}

show_plan() {
  local plan=("$plugin/plugin.wasm" "$plugin/plugin.json") file place
  if [ -z "$program" ]; then echo "would build the provider in $repository"; fi
  for file in "${wit[@]}"; do plan+=("$plugin/$file"); done
  if [ -f "$schema" ]; then plan+=("$plugin/config.schema.json"); fi
  plan+=("$bash_completion" "$zsh_completion" "$fish_completion" "$manuals/$name*.1" "$installed")
  for place in "${plan[@]}"; do
    if exists "$place"; then echo "would replace $place"; else echo "would write $place"; fi
  done
  if exists "$config"; then echo "would keep $config"; else echo "would write $config"; fi
  echo 'would compile the component into the cache of this user'
  if [ -n "$plexum_config" ]; then echo "would add $name to \`plugins.allow\` in $plexum_config"; fi
}

warn_codex() {
  if [ -z "$codex" ]; then
    warn "codex is not on PATH, so config.json does not name it. Install it (npm install -g @openai/codex), log in (codex login), and set \`binary\` in $config to what \`command -v codex\` prints"
  fi
}

show_next() {
  local command=$name options=''
  echo "Installed $("$installed" --version):"
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
read_record
new=true
if exists "$config"; then new=false; fi
bundle
if [ -n "$plexum_config" ]; then "$program" plexum-allow --dry-run -- "$plexum_config" >/dev/null || die 'nothing was installed'; fi
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
