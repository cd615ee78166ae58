#!/usr/bin/env bash
# check.sh [DIR]: looks at the tarball in DIR [target/dist] with the tools that will read its parts. A tool
# that is not here is named and left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
from=${1:-target/dist}
tarball=$(echo "$from"/*.tar.gz)
(cd "$from" && sha256sum --check --quiet ./*.sha256)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "check.sh: $*" >&2; exit 1; }
tar xzf "$tarball" --strip-components=1 -C "$work"
say() { printf '  %-4s %s\n' "$@"; }
here() { command -v "$1" >/dev/null || { say left "$2: there is no $1 here"; return 1; }; }

# The same binary and commit make the same tarball.
dist/pack.sh "$work/bin/nexus-sidecar" "$work/again" >/dev/null
cmp "$tarball" "$work/again/${tarball##*/}" || fail "packed twice, other bytes"
say ok "packed twice, the same bytes"

# A licence that is not on the list stops `make dist`: without MIT, dozens are.
grep -v '"MIT"' deny.toml >"$work/deny.toml"
if target/tools/bin/cargo-deny --log-level off check --config "$work/deny.toml" licenses >/dev/null 2>&1; then
  fail "a licence that is not on the list passes"
fi
say ok "a licence that is not on the list is refused"

# The pages that the shipped program's own commands name, and no complaint of the formatter.
if here man "manual pages"; then
  for page in "$work"/share/man/man1/*.1; do
    complaints=$(MANROFFSEQ='' LC_ALL=C.UTF-8 man --warnings --local-file "$page" 2>&1 >/dev/null)
    [ -z "$complaints" ] || fail "$page: $complaints"
  done
  say ok "$(ls "$work/share/man/man1" | wc -l) manual pages"
fi

# Each shell loads its file and completes a command's flag with it.
bash -euc '. "$1"; COMP_WORDS=(nexus-sidecar run --no-pr) COMP_CWORD=2
  $(complete -p nexus-sidecar | sed "s,.*-F \([^ ]*\).*,\1,") nexus-sidecar --no-pr run; [ "${COMPREPLY[*]}" = --no-proxy ]' \
  bash "$work/share/bash-completion/completions/nexus-sidecar" || fail "bash does not complete a flag"
say ok "completions for bash"
if here zsh "completions for zsh"; then
  zsh -fec 'fpath=("$1" $fpath); autoload -Uz compinit; compinit -D; [[ $_comps[nexus-sidecar] = _nexus-sidecar ]]
    autoload +X _nexus-sidecar' zsh "$work/share/zsh/site-functions" || fail "zsh does not load its file"
  say ok "completions for zsh"
fi
if here fish "completions for fish"; then
  HOME=$work fish --no-config -c "source $work/share/fish/vendor_completions.d/nexus-sidecar.fish
    complete -C 'nexus-sidecar run --no-pr'" | grep -q '^--no-proxy' ||
    fail "fish does not complete a flag"
  say ok "completions for fish"
fi

# The units, with the binary where they want it.
if here systemd-analyze "systemd units"; then
  mkdir -p "$work/run" "$work/units"
  for unit in "$work"/lib/systemd/system/*.service "$work"/share/systemd/user/*.service; do
    copy=$work/units/${unit##*/}
    sed "s,^ExecStart=[^ ]*,ExecStart=$work/bin/nexus-sidecar," "$unit" >"$copy"
    case $unit in */user/*) scope=--user ;; *) scope=--system ;; esac
    complaints=$(XDG_RUNTIME_DIR=$work/run systemd-analyze verify "$scope" --man=no "$copy" 2>&1 | grep -F nexus-sidecar || true)
    [ -z "$complaints" ] || fail "$unit: $complaints"
  done
  # In tenths; what is left open is the network, which is its work.
  systemd-analyze security --offline=true --threshold=15 "$work/lib/systemd/system/nexus-sidecar.service" >"$work/security" ||
    fail "the system unit leaves more open than it did: $(tail -1 "$work/security")"
  say ok "systemd units; $(tail -1 "$work/security" | grep -o 'exposure level.*[0-9]')"
fi
