#!/usr/bin/env bash
# The release: checks licences, builds one static binary and packs it, into target/dist.
# Cold, it compiles cargo-deny and everything else: minutes. Then it costs the last link.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Of a static binary glibc is a part, and its licence and name look-up are provided for.
target=$(rustc -vV | sed -n 's/^host: //p')
case $target in
  *-linux-gnu) ;;
  *) echo "make dist: builds for Linux with glibc on such a machine, and this is $target" >&2; exit 1 ;;
esac

# 1. No dependency with a licence that is not on the list, and none that is banned.
deny=0.20.2 tools=$PWD/target/tools
if [ "$("$tools/bin/cargo-deny" --version 2>/dev/null)" != "cargo-deny $deny" ]; then
  echo "make dist: installing cargo-deny $deny" >&2
  # Unoptimised: it runs for a second, and is compiled in a third of the time.
  CARGO_TARGET_DIR=target/tools-build cargo install --quiet --debug --locked "cargo-deny@$deny" --root "$tools"
fi
"$tools/bin/cargo-deny" --log-level error check licenses bans sources

# 2. One file that runs on any Linux of this processor. The target is named, so that what runs
#    during the build (procedural macros are libraries) is built without these flags. Folders of
#    this machine are not written into it: two machines make one binary.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
export RUSTFLAGS="-C target-feature=+crt-static \
  --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$PWD=/nexus-sidecar"
export "CFLAGS_${target//-/_}=-ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$PWD=/nexus-sidecar"
cargo build --release --locked --target "$target" --bin nexus-sidecar
binary=target/$target/release/nexus-sidecar
if readelf -lW "$binary" | grep -q INTERP; then
  echo "make dist: $binary is not static" >&2
  exit 1
fi
if grep -qaF -e "$cargo_home/" -e "$PWD/" "$binary"; then
  echo "make dist: $binary names folders of this machine" >&2
  exit 1
fi

# 3. The tarball.
dist/pack.sh "$binary" target/dist
