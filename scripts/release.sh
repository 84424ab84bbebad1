#!/usr/bin/env bash
# Makes the files of a release. See --help.
set -euo pipefail
caller=$PWD
cd "$(dirname "$0")/.."
repository=$PWD
name=plexum-openai-provider

usage() {
  cat <<'END'
Usage: scripts/release.sh [OPTIONS]

Builds the program for each target, static and with everything in it, and writes to target/release-files:

  plexum-openai-provider-VERSION-TARGET.tar.gz   program, component, completions, manual pages, texts, installer
  plexum-openai-provider-VERSION-TARGET.cdx.json what the program is made of (CycloneDX)
  plexum-openai-provider_VERSION-1_ARCH.deb      the same as a Debian package, with --deb
  plugin.wasm, plugin.wasm.cdx.json              the component alone, and what it is made of
  plexum-….wasm                                  the packages of wit/, as wkg builds them
  SHA256SUMS                                     the digests of all of these

The same commit gives the same bytes, in whichever folder, with the same Rust and the same clang. The program of this
machine is built in any case: it says what is in the archives.

  --target T      a target of Rust; may be repeated; default x86_64- and aarch64-unknown-linux-musl
  --out DIR       write there instead; what is there already is removed
  --deb           Debian packages too
  --twice         build all once more, in a clone of this commit in another folder, and compare the files; the
                  second ones are removed if they are equal
  --program FILE  pack FILE, which runs here, instead of building one. For the tests: where it has no list of its
                  crates, there is none of the program's
  --help          this text

Needs Rust through rustup, clang (for the C of one crate, for each target), jq, readelf, and for --deb dpkg-deb.
Exit codes: 0 done, 1 it could not be done (--twice: the files differ), 2 wrong arguments, 3 a program is missing.
END
}

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 1
}

misuse() {
  say "error: $*; see --help"
  exit 2
}

targets=() out='' deb=false twice=false program=''
while [ $# -gt 0 ]; do
  option=$1
  shift
  case $option in
    --target | --out | --program)
      [ $# -gt 0 ] && [ -n "$1" ] || misuse "$option needs a value"
      value=$1
      shift
      ;;&
    --target) targets+=("$value") ;;
    --out) out=$(cd "$caller" && realpath -ms -- "$value") ;;
    --program) program=$(cd "$caller" && realpath -ms -- "$value") ;;
    --deb) deb=true ;;
    --twice) twice=true ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) misuse "unknown argument ${option@Q}" ;;
  esac
done

architecture() { # target
  case $1 in
    x86_64-unknown-linux-musl) printf 'Advanced Micro Devices X86-64 amd64' ;;
    aarch64-unknown-linux-musl) printf 'AArch64 arm64' ;;
    *) misuse "$1 is no target that releases are made for" ;;
  esac
}

if [ ${#targets[@]} -eq 0 ]; then targets=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl); fi
for target in "${targets[@]}"; do architecture "$target" >/dev/null; done
if [ -n "$program" ] && [ ${#targets[@]} -ne 1 ]; then misuse '--program goes with one --target'; fi
if [ -n "$program" ] && $twice; then misuse '--twice builds, and --program does not'; fi

need() { # program, Debian's package
  command -v "$1" >/dev/null || {
    say "error: $1 was not found: install it (on Debian, apt-get install $2)"
    exit 3
  }
}
need jq jq
need readelf binutils
if [ -z "$program" ]; then
  need cargo rustup
  need clang clang
fi
if $deb; then need dpkg-deb dpkg; fi

target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")
out=${out:-$target_dir/release-files}
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
commit=$(git rev-parse HEAD)
# What stands for the time of the build in every file.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
# Neither the order of names nor a text of git or tar may depend on the caller.
export LC_ALL=C TZ=UTC
umask 022
if [ -n "$(git status --porcelain)" ]; then say "warning: what is built is not commit $commit alone: git status shows changes"; fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

static() { # file, target: an executable for the target that needs nothing of the system
  local machine
  machine=$(architecture "$2")
  machine=${machine% *}
  readelf -h "$1" | grep "Machine: *$machine\$" >/dev/null || die "$1 is not a program for $2"
  if readelf -lW "$1" | grep INTERP >/dev/null || readelf -dW "$1" | grep NEEDED >/dev/null; then die "$1 is not static"; fi
}

# Lists the remappings that keep this machine's folders out of what is built; build.rs does the same for what it builds.
remapped() { # prefix of each
  local folder sysroot hash
  for folder in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do printf '%s%s\n' "$1" "${folder%/}=/cargo"; done
  # The last one that fits counts, and the target's folder may be in the other.
  printf '%s%s\n' "$1" "$repository=/source" "$1" "$target_dir=/target"
  sysroot=$(rustc --print sysroot)
  hash=$(rustc -vV | sed -n 's/^commit-hash: //p')
  printf '%s%s\n' "$1" "$sysroot/lib/rustlib/src/rust=/rustc/$hash"
}

build() { # target; prints the path of the program, and the folder with what it embeds
  local target=$1 flags cflags
  # The folder of the registry has to be there for its remapping.
  cargo fetch --locked --target "$target" >&2
  # Relocations take 400 KB otherwise. musl reads this form.
  flags=$({ remapped --remap-path-prefix= && echo -Clink-arg=--pack-dyn-relocs=relr; } | paste -sd $'\x1f')
  cflags=$(remapped -ffile-prefix-map= | paste -sd ' ')
  env "CFLAGS_${target//-/_}=$cflags" CARGO_ENCODED_RUSTFLAGS="$flags" CARGO_INCREMENTAL=0 CARGO_TARGET_DIR="$target_dir" \
    PATH="$(dirname "$cargo_auditable"):$PATH" scripts/cargo-musl.sh "${target%%-*}" auditable build --release --locked \
    --package "$name" --bin "$name" --message-format json-render-diagnostics >"$scratch/messages" ||
    die "the program could not be built for $target"
  jq -r --arg name "$name" 'select(.reason == "compiler-artifact" and .target.name == $name and .executable) | .executable' "$scratch/messages"
  jq -r --arg package "host-shim#$name@$version" 'select(.reason == "build-script-executed" and (.package_id | endswith($package))) | .out_dir' "$scratch/messages"
}

# An SBOM from what `cargo auditable` put into a file, with what the registry and the crates say of themselves. Of two
# files it makes one, about the first.
bill() { # files…
  local file index=0 bills=()
  for file; do
    "$auditable2cdx" "$file" >"$scratch/bill-$index" || die "$file has no list of its crates"
    bills+=("$scratch/bill-$index")
    index=$((index + 1))
  done
  jq -s --slurpfile crates "$scratch/crates" '
    # A package has one name, in whichever file it is listed.
    def named: (.purl // "" | split("&")[0]) as $purl | . + {"bom-ref": $purl, purl: $purl};
    def known: ($crates[0][.name + "@" + .version] // {}) as $crate
      | . + (if $crate.license then {licenses: [{expression: $crate.license}]} else {} end)
      + (if $crate.checksum then {hashes: [{alg: "SHA-256", content: $crate.checksum}]} else {} end);
    def only_helps: any(.properties[]?; .value == "build");
    [.[] | ([.metadata.component, .components[]] | map({key: .["bom-ref"], value: named}) | from_entries) as $names | {
      root: (.metadata.component | named),
      components: (.components | map(named)),
      dependencies: (.dependencies | map({ref: $names[.ref].purl, dependsOn: [.dependsOn[]? | $names[.].purl]}))
    }] as $bills
    | $bills[0].root as $root
    | {
      bomFormat: "CycloneDX", specVersion: "1.5", version: 1,
      metadata: {timestamp: (env.SOURCE_DATE_EPOCH | tonumber | todate), component: ($root | known)},
      components: ([$bills[].components[], ($bills[1:][].root)] | map(select(.purl != $root.purl))
        # What is in one of the files is in the program, even if it helped to build the other.
        | group_by(.purl) | map((map(select(only_helps | not))[0] // .[0]) | known)),
      dependencies: ([$bills[].dependencies[], {ref: $root.purl, dependsOn: [$bills[1:][].root.purl]}]
        | group_by(.ref) | map({ref: .[0].ref, dependsOn: ([.[].dependsOn[]] | unique)}))
    }' "${bills[@]}"
}

# The texts of the licences of all that is linked into the program, each text once: they ask to be passed on.
licenses() { # bill
  local crate folder file digest lacking=()
  declare -A texts=() owners=()
  while read -r crate; do
    folder=$(jq -r --arg crate "$crate" '.[$crate].folder' "$scratch/crates")
    digest=''
    for file in "$folder"/{LICENSE,LICENCE,COPYING,COPYRIGHT,NOTICE,UNLICENSE}*; do
      [ -f "$file" ] || continue
      digest=$(sha256sum <"$file")
      texts[$digest]=$file
      owners[$digest]="${owners[$digest]-} $crate"
    done
    [ -n "$digest" ] || lacking+=("$crate ($(jq -r --arg crate "$crate" '.[$crate].license' "$scratch/crates"))")
  done < <(jq -r --arg name "$name" '.components[] | select(any(.properties[]?; .value == "build") or (.name | startswith($name)) | not)
    | "\(.name)@\(.version)"' "$1" | sort)
  printf '%s\n' 'What is linked into the program, and under which licences.' '' \
    "The standard library of Rust: see rust-library.html." '' \
    'musl: Copyright (c) 2005-2020 Rich Felker, et al.' "$(sed -n '/^Permission/,$p' host-shim/LICENSE-MIT)"
  if [ ${#lacking[@]} -gt 0 ]; then
    printf '\nThese packages state their licence and have no text of it:\n'
    printf '  %s\n' "${lacking[@]}"
  fi
  for digest in "${!owners[@]}"; do printf '%s\t%s\n' "${owners[$digest]}" "$digest"; done | sort |
    while IFS=$'\t' read -r crate digest; do
      printf '\n%s\n' '--------------------------------------------------------------------------------'
      fold -sw 80 <<<"${crate# }"
      printf '\n'
      cat "${texts[$digest]}"
    done
}

pack() { # folder, archive: the same bytes for the same files, whoever packs them
  tar --create --directory "$(dirname "$1")" --sort=name --format=ustar --owner=0 --group=0 --numeric-owner \
    --mtime="@$SOURCE_DATE_EPOCH" --mode='u=rwX,go=rX' "$(basename "$1")" | gzip -9n >"$2"
}

put() { # mode, file, place
  install -D -m "$1" -- "$2" "$3"
}

archive() { # target, program
  local label=$name-$version-$1 file
  local top=$scratch/$label
  put 755 "$2" "$top/bin/$name"
  put 755 scripts/install.sh "$top/install.sh"
  put 644 "$common/plugin.wasm" "$top/plugin.wasm"
  cp -r "$common/plugin.json" "$common/completions" "$common/man" "$top"
  cp -r "$scratch/licenses" "$top/licenses"
  if [ -f "$out/$label.cdx.json" ]; then put 644 "$out/$label.cdx.json" "$top/$name.cdx.json"; fi
  for file in host-shim/schemas/*.json; do put 644 "$file" "$top/schemas/${file##*/}"; done
  for file in host-shim/docs/*.md; do put 644 "$file" "$top/docs/${file##*/}"; done
  for file in wit/README.md wit/*/*.wit wit/*/wkg.toml; do put 644 "$file" "$top/$file"; done
  for file in README.md CHANGELOG.md host-shim/LICENSE-MIT host-shim/LICENSE-APACHE; do put 644 "$file" "$top/${file##*/}"; done
  pack "$top" "$out/$label.tar.gz"
}

debian() { # target, program
  local kind label=$name-$version-$1 root=$scratch/deb-$1 file size
  kind=$(architecture "$1")
  kind=${kind##* }
  local doc=$root/usr/share/doc/$name
  put 755 "$2" "$root/usr/bin/$name"
  put 644 "$common/plugin.wasm" "$root/usr/lib/$name/plugin.wasm"
  put 644 "$common/plugin.json" "$root/usr/lib/$name/plugin.json"
  for file in host-shim/schemas/*.json; do put 644 "$file" "$root/usr/lib/$name/schemas/${file##*/}"; done
  for file in wit/*/*.wit wit/*/wkg.toml; do put 644 "$file" "$root/usr/lib/$name/$file"; done
  put 644 "$common/completions/$name.bash" "$root/usr/share/bash-completion/completions/$name"
  put 644 "$common/completions/_$name" "$root/usr/share/zsh/vendor-completions/_$name"
  put 644 "$common/completions/$name.fish" "$root/usr/share/fish/vendor_completions.d/$name.fish"
  mkdir -p "$root/usr/share/man/man1" "$doc"
  for file in "$common"/man/*.1; do gzip -9nc "$file" >"$root/usr/share/man/man1/${file##*/}.gz"; done
  gzip -9nc CHANGELOG.md >"$doc/changelog.gz"
  for file in README.md host-shim/docs/*.md; do gzip -9nc "$file" >"$doc/${file##*/}.gz"; done
  for file in "$scratch"/licenses/*; do gzip -9nc "$file" >"$doc/${file##*/}.gz"; done
  if [ -f "$out/$label.cdx.json" ]; then gzip -9nc "$out/$label.cdx.json" >"$doc/$name.cdx.json.gz"; fi
  gzip -9n >"$doc/changelog.Debian.gz" <<END
$name ($version-1) unstable; urgency=medium

  * The files of release $version, as a package.

 -- $maintainer  $(date -uRd "@$SOURCE_DATE_EPOCH")
END
  cat >"$doc/copyright" <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: $name

Files: *
Copyright: (c) $(date -ud "@$SOURCE_DATE_EPOCH" +%Y) the $name authors
License: Expat or Apache-2.0
Comment: the licences of what is linked into the program are in third-party.txt.gz
 and rust-library.html.gz, beside this file.

License: Expat
$(sed -n '/^Permission/,$p' host-shim/LICENSE-MIT | sed 's/^$/./; s/^/ /')

License: Apache-2.0
 On Debian systems, the text of the Apache License 2.0 is in
 /usr/share/common-licenses/Apache-2.0.
END
  mkdir -p "$root/usr/share/lintian/overrides"
  cat >"$root/usr/share/lintian/overrides/$name" <<END
# One file for every distribution and any age of it.
$name: statically-linked-binary [usr/bin/$name]
$name: shared-library-lacks-prerequisites [usr/bin/$name]
END
  find "$root" -type f -exec chmod u=rw,go=r {} +
  chmod 755 "$root/usr/bin/$name"
  find "$root" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
  size=$(find "$root" -type f -printf '%s\n' | awk '{ kib += int(($1 + 1023) / 1024) } END { print kib }')
  mkdir "$root/DEBIAN"
  cat >"$root/DEBIAN/control" <<END
Package: $name
Version: $version-1
Architecture: $kind
Maintainer: $maintainer
Installed-Size: $size
Section: utils
Priority: optional
Recommends: ca-certificates
Description: Plexum provider that runs the codex program of this machine
 Gives an agent of the Plexum runtime OpenAI's Codex. What decides what to
 ask codex is a WebAssembly component without WASI, and a small native host
 lets it start codex with the arguments that the configuration allows.
 .
 The program codex itself is not in this package.
END
  (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
  # It takes the times of what is younger from SOURCE_DATE_EPOCH.
  dpkg-deb --root-owner-group -Zxz -z9 --build "$root" "$out/${name}_$version-1_$kind.deb" >&2
}

compared() { # folder, folder
  diff <(cd "$1" && find . -type f -exec sha256sum {} + | sort -k2) <(cd "$2" && find . -type f -exec sha256sum {} + | sort -k2)
}

if $twice; then
  [ -z "$(git status --porcelain)" ] || die 'commit the changes first: the second build is of a clone'
  options=()
  for target in "${targets[@]}"; do options+=(--target "$target"); done
  if $deb; then options+=(--deb); fi
  scripts/release.sh "${options[@]}" --out "$out"
  # Another folder, deeper, other places of cargo's and the target's files; and later, as a build takes minutes.
  elsewhere=$target_dir/elsewhere/and/deeper
  rm -rf "$target_dir/elsewhere"
  mkdir -p "$elsewhere"
  git clone --quiet --no-hardlinks "$repository" "$elsewhere/clone"
  git -C "$elsewhere/clone" checkout --quiet --detach "$commit"
  ln -s "$(realpath "${CARGO_HOME:-$HOME/.cargo}")" "$elsewhere/cargo"
  env CARGO_HOME="$elsewhere/cargo" CARGO_TARGET_DIR="$elsewhere/build" PLEXUM_RELEASE_TOOLS="$target_dir/tools/bin" \
    "$elsewhere/clone/scripts/release.sh" "${options[@]}" --out "$elsewhere/files"
  if compared "$out" "$elsewhere/files" >&2; then
    say "Both builds gave the same $(find "$out" -type f | wc -l) files."
    rm -rf "$target_dir/elsewhere"
    exit 0
  fi
  die "the files of the two builds differ: compare $out with $elsewhere/files"
fi

tool() { # of scripts/tool.sh
  local found=${PLEXUM_RELEASE_TOOLS:+$PLEXUM_RELEASE_TOOLS/$1}
  if [ -n "$found" ] && [ -x "$found" ]; then printf '%s\n' "$found"; else scripts/tool.sh "$1"; fi
}
if [ -z "$program" ]; then cargo_auditable=$(tool cargo-auditable); fi
auditable2cdx=$(tool auditable2cdx)
wkg=$(tool wkg)
maintainer="${DEBFULLNAME:-the $name authors} <${DEBEMAIL:-$name@example.org}>"

rm -rf "$out"
mkdir -p "$out"

# By name and version: the folder and the licence of each crate as it states it, and the checksum that Cargo.lock has of it.
awk '/^name = / { name = $3 } /^version = / { version = $3 } /^checksum = / { print name, version, $3 }' Cargo.lock | tr -d '"' |
  jq -Rn '[inputs | split(" ") | {key: "\(.[0])@\(.[1])", value: .[2]}] | from_entries' >"$scratch/checksums"
cargo metadata --locked --format-version 1 |
  jq --slurpfile checksums "$scratch/checksums" '[.packages[] | "\(.name)@\(.version)" as $key
    | {key: $key, value: {folder: (.manifest_path | sub("/Cargo.toml$"; "")), license: (.license | if . then gsub("/"; " OR ") else . end), checksum: $checksums[0][$key]}}] | from_entries' >"$scratch/crates"

# The program of this machine says what is in each archive, so that one for another machine need not run here.
native=$(uname -m)-unknown-linux-musl
declare -A programs embedded
if [ -n "$program" ]; then
  programs[${targets[0]}]=$program
  runs=$program
else
  for target in "$native" "${targets[@]}"; do
    if [ -n "${programs[$target]-}" ]; then continue; fi
    say "Building the program for $target …"
    build "$target" >"$scratch/built"
    { read -r "programs[$target]" && read -r "embedded[$target]"; } <"$scratch/built" || die "cargo does not say what it built for $target"
    static "${programs[$target]}" "$target"
    static "${embedded[$target]}/supervisor.elf" "$target"
  done
  runs=${programs[$native]}
fi

common=$scratch/common
mkdir -p "$common/completions"
"$runs" component "$common/plugin.wasm"
"$runs" manifest "$common/plugin.wasm" >"$common/plugin.json"
"$runs" completions bash >"$common/completions/$name.bash"
"$runs" completions zsh >"$common/completions/_$name"
"$runs" completions fish >"$common/completions/$name.fish"
"$runs" man --dir "$common/man"

put 644 "$common/plugin.wasm" "$out/plugin.wasm"
bill "$common/plugin.wasm" >"$out/plugin.wasm.cdx.json"
cp -r wit "$scratch/wit"
for package in "$scratch"/wit/*/; do
  (cd "$package" && "$wkg" build --wit-dir . >&2) || die "wkg does not build ${package#"$scratch"/}"
done
for file in "$scratch"/wit/*/*.wasm; do put 644 "$file" "$out/${file##*/}"; done

for target in "${targets[@]}"; do
  if [ -z "$program" ]; then
    cmp -s "$common/plugin.wasm" "${embedded[$target]}/plugin.wasm" || die "the program for $target has another component than the one for $native"
  fi
  if [ -z "$program" ] || readelf -SW "$program" 2>/dev/null | grep '\.dep-v0' >/dev/null; then
    bill "${programs[$target]}" "$common/plugin.wasm" >"$out/$name-$version-$target.cdx.json"
  fi
  bill=$out/$name-$version-$target.cdx.json
  mkdir -p "$scratch/licenses"
  licenses "$([ -f "$bill" ] && printf %s "$bill" || printf %s "$out/plugin.wasm.cdx.json")" >"$scratch/licenses/third-party.txt"
  put 644 "$(rustc --print sysroot)/share/doc/rust/COPYRIGHT-library.html" "$scratch/licenses/rust-library.html"
  archive "$target" "${programs[$target]}"
  if $deb; then debian "$target" "${programs[$target]}"; fi
done

(cd "$out" && find . -type f -printf '%P\0' | sort -z | xargs -0 sha256sum >"$scratch/sums" && mv "$scratch/sums" SHA256SUMS)
chmod 644 "$out/SHA256SUMS"
say "The files of $version, of commit $commit, are in $out."
