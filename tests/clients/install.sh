#!/usr/bin/env bash
# Installs what tests/clients and the tests of the PostgreSQL store need, into target/ where it can, by apt where it must. Each part is
# skipped when it is already there, so that a second run costs a second.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=tests/clients tools=target/tools clients=target/clients
mkdir -p "$clients"

# The system's Python, not one of the caller's: the unprivileged user has to reach it too.
python=/usr/bin/python3

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need curl curl
need wget wget
need javac default-jdk-headless
need git git
need openssl openssl
need gh gh
need ruby ruby
need perl perl
need npm npm
need go golang-go
need cc gcc
need strace strace
[ -x "$python" ] || missing+=(python3)
"$python" -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
perl -MIO::Socket::SSL -e1 2>/dev/null || missing+=(libio-socket-ssl-perl)
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "missing: install with  apt-get install ${missing[*]}" >&2
    exit 1
  fi
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
fi

retry() { "$@" || { sleep 5; "$@"; } || { sleep 15; "$@"; }; }

if ! cmp -s "$here/requirements.txt" "$clients/venv/requirements.txt"; then
  rm -rf "$clients/venv"
  "$python" -m venv "$clients/venv"
  retry "$clients/venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$clients/venv/requirements.txt"
fi

# JavaScript runtimes come as npm packages that hold the binary: no download of their own.
if ! cmp -s "$here/packages/package-lock.json" "$clients/npm/installed.json"; then
  rm -rf "$clients/npm"
  mkdir -p "$clients/npm"
  cp "$here/packages/package.json" "$here/packages/package-lock.json" "$clients/npm/"
  retry npm ci --loglevel=error --no-audit --no-fund --prefix "$clients/npm"
  cp "$here/packages/package-lock.json" "$clients/npm/installed.json"
fi

mkdir -p "$clients/go"
(cd "$here/go" && CGO_ENABLED=0 retry go build -o "../../../$clients/go/" ./...)

# An S3 server that verifies signatures. 0.14.1 is the newest that this Rust compiles.
if [ ! -x "$tools/bin/s3s-fs" ]; then
  CARGO_TARGET_DIR=target/tools-build retry \
    cargo install --quiet --debug --locked s3s-fs@0.14.1 --features binary --root "$tools"
fi
