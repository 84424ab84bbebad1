#!/usr/bin/env bash
# Installs, once, what the tests and the try-out need beyond Rust itself, under target/tools.
#
#   scripts/tool.sh                    everything but cargo-fuzz and cargo-auditable
#   scripts/tool.sh wasm-target        the Rust target of the component
#   scripts/tool.sh x86_64-target      the Rust target of the static program, and aarch64-target of that for aarch64
#   scripts/tool.sh codex VERSION      the real codex; prints the path of its native program
#   scripts/tool.sh cargo-component    prints its path
#   scripts/tool.sh wkg                prints its path
#   scripts/tool.sh cargo-fuzz         prints its path
#   scripts/tool.sh node               a Node.js that can suspend WebAssembly; prints its path
#   scripts/tool.sh jco                what host-shim/examples/jco needs to transpile; prints its folder
#   scripts/tool.sh python             a Python with what host-shim/examples/python needs; prints its path
#   scripts/tool.sh postgres           a PostgreSQL to start; prints the folder of its programs
#   scripts/tool.sh pgbouncer          a PgBouncer to start; prints its path
#   scripts/tool.sh cargo-auditable    puts the list of its crates into a program; prints its path
#   scripts/tool.sh auditable2cdx      makes a CycloneDX SBOM of that list; prints its path
#   scripts/tool.sh clang              compiles C for every target; prints its path
#   scripts/tool.sh qemu ARCHITECTURE  runs programs for x86_64 or aarch64; prints its path
#   scripts/tool.sh busybox            all of a system in one static program; prints its path
#   scripts/tool.sh jq                 makes JSON of JSON; prints its path
#   scripts/tool.sh registry           a registry of containers to start; prints its path
#   scripts/tool.sh lintian            the checks of Debian packages; prints its path
#   scripts/tool.sh acp-clients        what tests/suites/acp needs: acpx, and the SDK with the published schema
#   scripts/tool.sh serve-client       what tests/suites/serve needs: a JSON-RPC client and a validator of schemas
#
# Paths go to standard output, everything else to standard error. Exits with 3 when the machine
# lacks what an installation needs (npm, say), with 1 when an installation fails.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=${CARGO_TARGET_DIR:-target}/tools
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)

# The oldest codex that is supported, and the newest that was tested.
codex_versions=(0.135.0 0.169.0)
cargo_component_version=0.21.1
wkg_version=0.16.1
cargo_fuzz_version=0.13.2
cargo_auditable_version=0.7.7
auditable2cdx_version=0.1.0
node_version=26.10.0
serve_client_packages=(json-rpc-2.0@1.8.1 ajv@8.20.0)
acp_packages=(acpx@0.19.1 @agentclientprotocol/sdk@2.4.0)

say() { printf '%s\n' "$*" >&2; }

# Runs a silent command and shows that it is alive.
patiently() { # what, command…
  local what=$1 log began=$SECONDS
  shift
  log=$(mktemp)
  say "$what …"
  "$@" >"$log" 2>&1 </dev/null &
  local pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    # Ends with the command or after ten seconds, whichever comes first.
    timeout 10 tail --pid="$pid" -f /dev/null || true
    if kill -0 "$pid" 2>/dev/null; then say "  still at it after $((SECONDS - began)) s: $(tail -n 1 "$log" | cut -c1-100)"; fi
  done
  if ! wait "$pid"; then
    cat "$log" >&2
    rm -f "$log"
    say "failed: $what"
    return 1
  fi
  rm -f "$log"
}

rust_target() { # target
  command -v cargo >/dev/null || { say 'cargo was not found: install Rust with rustup first.'; exit 3; }
  # Asking for the toolchain makes rustup fetch it, target and all, unless that is switched off.
  local installed
  installed=$(rustc --print sysroot)/lib/rustlib/$1
  if [ ! -d "$installed" ]; then
    command -v rustup >/dev/null || { say "The Rust target $1 is missing, and rustup was not found, which would add it: install rustup."; exit 3; }
    rustup target add "$1" >&2
  fi
}

native_codex() { # folder of an installation
  [ -d "$1/node_modules/@openai" ] || return 0
  find "$1/node_modules/@openai" -path "*/vendor/$(uname -m)-*/bin/codex" -type f -print -quit
}

codex() { # version
  local folder="$tools/codex-$1" program
  program=$(native_codex "$folder")
  if [ -z "$program" ]; then
    command -v npm >/dev/null || { say "npm was not found, and codex $1 needs it: install Node.js."; exit 3; }
    patiently "Installing codex $1 from npm (about 100 MB)" npm install --no-audit --no-fund --prefix "$folder" "@openai/codex@$1"
    program=$(native_codex "$folder")
    [ -n "$program" ] || { say "npm installed codex $1, but not its program for $(uname -m)."; exit 1; }
  fi
  printf '%s\n' "$program"
}

# A program of crates.io: built here, once, unless the one on PATH is of this version.
built() { # program, version, minutes, what it says of its version, arguments with which it says that…
  local name=$1 version=$2 minutes=$3 said=$4 program
  shift 4
  for program in "$tools/bin/$name" "$(type -P "$name" || true)"; do
    if [ -n "$program" ] && [ "$("$program" "$@" 2>/dev/null)" = "$said" ]; then
      printf '%s\n' "$program"
      return
    fi
  done
  # Unoptimised, and without what only a debugger reads: it is built in half the time and runs twice.
  patiently "Building $name $version (about $minutes minutes, once)" \
    env CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 cargo install "$name" --version "$version" --locked --force --debug --root "$tools" --target-dir "$tools/$name-build"
  rm -rf "$tools/$name-build"
  printf '%s\n' "$tools/bin/$name"
}

cargo_component() {
  built cargo-component "$cargo_component_version" 5 "cargo-component-component $cargo_component_version" component --version
}

wkg() {
  built wkg "$wkg_version" 5 "wkg $wkg_version" --version
}

cargo_fuzz() {
  local program=$tools/bin/cargo-fuzz
  if [ "$("$program" --version 2>/dev/null)" != "cargo-fuzz $cargo_fuzz_version" ]; then
    command -v c++ >/dev/null || { say 'There is no C++ compiler, which libFuzzer is built with: install g++ or clang.'; exit 3; }
    patiently "Building cargo-fuzz $cargo_fuzz_version (about a minute, once)" \
      cargo install cargo-fuzz --version "$cargo_fuzz_version" --locked --force --root "$tools" --target-dir "$tools/cargo-fuzz-build"
    rm -rf "$tools/cargo-fuzz-build"
  fi
  printf '%s\n' "$program"
}

# The same for a program that does not say its version: cargo has noted what it installed.
noted() { # program, version
  if ! grep -q "^\"$1 $2 " "$tools/.crates.toml" 2>/dev/null || [ ! -x "$tools/bin/$1" ]; then
    patiently "Building $1 $2 (about a minute, once)" \
      env CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 cargo install "$1" --version "$2" --locked --force --debug --root "$tools" --target-dir "$tools/$1-build"
    rm -rf "$tools/$1-build"
  fi
  printf '%s\n' "$tools/bin/$1"
}

cargo_auditable() {
  noted cargo-auditable "$cargo_auditable_version"
}

auditable2cdx() {
  noted auditable2cdx "$auditable2cdx_version"
}

packages() { # folder, packages of npm…
  local folder=$tools/$1 wanted
  shift
  wanted=$*
  if [ "$(cat "$folder/installed" 2>/dev/null)" != "$wanted" ]; then
    command -v npm >/dev/null || { say "npm was not found, and $wanted needs it: install Node.js."; exit 3; }
    # None of them has to run anything to be installed.
    patiently "Installing $wanted from npm" npm install --no-audit --no-fund --ignore-scripts --prefix "$folder" "$@"
    printf '%s\n' "$wanted" >"$folder/installed"
  fi
  printf '%s\n' "$folder"
}

serve_client() { packages serve-client "${serve_client_packages[@]}"; }

acp_clients() { packages acp-clients "${acp_packages[@]}"; }

suspends_wasm() { # node
  [ "$("$1" -p 'typeof WebAssembly.promising' 2>/dev/null)" = function ]
}

node() {
  local program package
  if program=$(type -P node) && suspends_wasm "$program"; then
    printf '%s\n' "$program"
    return
  fi
  package=node-linux-$(uname -m | sed 's/^x86_64$/x64/; s/^aarch64$/arm64/')
  program=$tools/node/node_modules/$package/bin/node
  if ! suspends_wasm "$program"; then
    command -v npm >/dev/null || { say "npm was not found, and Node.js $node_version is installed with it: install any Node.js first."; exit 3; }
    patiently "Installing Node.js $node_version from npm (about 60 MB)" npm install --no-audit --no-fund --prefix "$tools/node" "$package@$node_version"
    suspends_wasm "$program" || { say "npm installed $package@$node_version, but it does not run here."; exit 1; }
  fi
  printf '%s\n' "$program"
}

jco() {
  local folder=$tools/jco lock=package-lock.json
  if ! cmp -s "host-shim/examples/jco/$lock" "$folder/node_modules/.$lock.installed"; then
    command -v npm >/dev/null || { say 'npm was not found, and jco needs it: install Node.js.'; exit 3; }
    mkdir -p "$folder"
    cp host-shim/examples/jco/package.json "host-shim/examples/jco/$lock" "$folder"
    patiently 'Installing jco from npm (about 30 MB)' npm ci --no-audit --no-fund --prefix "$folder"
    cp "$folder/$lock" "$folder/node_modules/.$lock.installed"
  fi
  printf '%s\n' "$folder"
}

python() {
  local program=$tools/python/bin/python requirements=host-shim/examples/python/requirements.txt
  if ! cmp -s "$requirements" "$tools/python/installed.txt"; then
    command -v python3 >/dev/null || { say 'python3 was not found, and the example in Python needs it: install Python 3.'; exit 3; }
    # Debian has the module venv in a package of its own.
    python3 -m venv "$tools/python" >&2 || { say 'python3 has no module venv: install it (on Debian, python3-venv).'; exit 3; }
    patiently 'Installing wasmtime for Python (about 10 MB)' "$program" -m pip install --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$tools/python/installed.txt"
  fi
  printf '%s\n' "$program"
}

debian_package() { # package
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { say "$1 is not installed, and only root can install it here with apt-get: install it."; exit 3; }
  patiently "Installing $1 from Debian's packages" sh -c "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $1"
}

postgres_programs() {
  local program
  program=$(type -P postgres || true)
  if [ -n "$program" ] && [ -x "$(dirname "$program")/initdb" ]; then
    dirname "$program"
    return
  fi
  # Debian has each version in a folder of its own, none of which is on PATH.
  find /usr/lib/postgresql -path '*/bin/postgres' -printf '%h\n' 2>/dev/null | sort -V | tail -n 1
}

postgres() {
  if [ -z "$(postgres_programs)" ]; then
    debian_package postgresql
  fi
  postgres_programs
}

pgbouncer() {
  local program
  program=$(PATH=$PATH:/usr/sbin type -P pgbouncer || true)
  if [ -z "$program" ]; then
    debian_package pgbouncer
    program=$(PATH=$PATH:/usr/sbin type -P pgbouncer)
  fi
  printf '%s\n' "$program"
}

# A program of Debian's package of that name, or of another one.
debian_program() { # program, package
  if ! type -P "$1" >/dev/null; then debian_package "${2-$1}"; fi
  type -P "$1"
}

# Not installed, as the package would start it: unpacked, for which one need not be root.
registry() {
  local folder=$tools/registry program new
  program=$folder/usr/bin/docker-registry
  if [ ! -x "$program" ]; then
    if program=$(type -P docker-registry); then
      printf '%s\n' "$program"
      return
    fi
    program=$folder/usr/bin/docker-registry
    { command -v apt-get && command -v dpkg-deb; } >/dev/null || { say 'docker-registry is not installed, and there is no apt-get to get it with: install it.'; exit 3; }
    if [ "$(id -u)" = 0 ]; then patiently "Reading the list of Debian's packages" apt-get update; fi
    new=$(mktemp -d "$tools/registry.XXXXXX")
    # As root, apt-get would have another user write there.
    (cd "$new" && patiently "Getting docker-registry from Debian's packages (5 MB)" apt-get -o APT::Sandbox::User=root download docker-registry)
    dpkg-deb -x "$new"/docker-registry_*.deb "$new"
    rm "$new"/docker-registry_*.deb
    rm -rf "$folder"
    mv "$new" "$folder"
  fi
  printf '%s\n' "$program"
}

case ${1-all} in
  wasm-target) rust_target wasm32-wasip2 ;;
  x86_64-target | aarch64-target) rust_target "${1%-target}-unknown-linux-musl" ;;
  codex) codex "${2:?the version of codex}" ;;
  cargo-component) cargo_component ;;
  wkg) wkg ;;
  cargo-fuzz) cargo_fuzz ;;
  cargo-auditable) cargo_auditable ;;
  auditable2cdx) auditable2cdx ;;
  clang) debian_program clang ;;
  qemu) debian_program "qemu-${2:?the architecture}-static" qemu-user-static ;;
  busybox) debian_program busybox busybox-static ;;
  jq) debian_program jq ;;
  registry) registry ;;
  lintian) debian_program lintian ;;
  serve-client) serve_client ;;
  acp-clients) acp_clients ;;
  node) node ;;
  jco) jco ;;
  python) python ;;
  postgres) postgres ;;
  pgbouncer) pgbouncer ;;
  all)
    rust_target wasm32-wasip2
    rust_target aarch64-unknown-linux-musl
    for version in "${codex_versions[@]}"; do codex "$version"; done
    cargo_component
    wkg
    auditable2cdx
    debian_program clang
    debian_program qemu-aarch64-static qemu-user-static
    debian_program busybox busybox-static
    debian_program jq
    registry
    debian_program lintian
    serve_client
    acp_clients
    node
    jco
    python
    postgres
    pgbouncer
    ;;
  *)
    say "unknown tool: $1"
    exit 2
    ;;
esac
