#!/usr/bin/env bash
# pack.sh BINARY DIR: packs a binary with all that belongs to it into
# DIR/nexus-sidecar-VERSION-ARCH-linux.tar.gz, and its SHA-256 beside it.
#
# Unpacked with --strip-components=1 into /usr/local or ~/.local, everything is where man, the
# shells and systemd look for it. The same commit and binary make the same bytes.
set -euo pipefail
binary=$(realpath "$1")
mkdir -p "$2"
into=$(realpath "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C
umask 022

version=$("$binary" --version | cut -d' ' -f2)
name=nexus-sidecar-$version-$(uname -m)-linux
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/$name
share=$root/share doc=$root/share/doc/nexus-sidecar

install -D -m 755 "$binary" "$root/bin/nexus-sidecar"

"$binary" man "$share/man/man1"
mkdir -p "$share/bash-completion/completions" "$share/zsh/site-functions" "$share/fish/vendor_completions.d"
"$binary" completions bash >"$share/bash-completion/completions/nexus-sidecar"
"$binary" completions zsh >"$share/zsh/site-functions/_nexus-sidecar"
"$binary" completions fish >"$share/fish/vendor_completions.d/nexus-sidecar.fish"

mkdir -p "$root/lib/systemd/system" "$root/lib/sysusers.d" "$share/systemd/user"
cp dist/systemd/system/*.service "$root/lib/systemd/system/"
cp dist/systemd/sysusers.conf "$root/lib/sysusers.d/nexus-sidecar.conf"
cp dist/systemd/user/*.service "$share/systemd/user/"

mkdir -p "$doc"
# What is committed, and not what somebody's trial of an example left beside it.
git ls-files -z README.md ARCHITECTURE.md CONTRIBUTING.md SECURITY.md LICENSE tests/clients/README.md examples policies | xargs -0 cp --parents --target-directory="$doc"
cp dist/systemd/nexus-sidecar.yaml "$doc/examples/systemd.yaml"
python3 dist/notices.py >"$doc/THIRD-PARTY-NOTICES.txt"
rust=$(rustc --print sysroot)/share/doc/rust/COPYRIGHT-library.html
[ -e "$rust" ] || { echo "pack.sh: $rust is missing, and the standard library is a part of the binary" >&2; exit 1; }
cp "$rust" "$doc/THIRD-PARTY-NOTICES-rust.html"

# Modes as a fresh checkout has them, whatever umask it was made under.
chmod -R u=rwX,go=rX "$root"
# Files alone: an entry for share/ would change the mode of the ~/.local/share that is there.
(cd "$work" && find "$name" -type f | sort) |
  tar --create --directory "$work" --format=gnu --no-recursion --files-from=- \
    --mtime="@$epoch" --owner=0 --group=0 --numeric-owner |
  gzip -9 --no-name >"$into/$name.tar.gz"
(cd "$into" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
echo "$2/$name.tar.gz"
