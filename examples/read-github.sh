#!/bin/sh
# Lets one command read from GitHub with a token that the command never holds.
#
#   GH_TOKEN=... examples/read-github.sh curl -s https://api.github.com/user
#
# Everything it makes (store, key, audit, log) is in a folder of its own and removed at the end.
# SIDECAR names another nexus-sidecar than the one in PATH.
set -eu

[ $# -gt 0 ] || { echo "usage: GH_TOKEN=... $0 COMMAND [ARGUMENT...]" >&2; exit 2; }
[ -n "${GH_TOKEN:-}" ] || { echo "$0: put a GitHub token into GH_TOKEN" >&2; exit 2; }
sidecar=${SIDECAR:-nexus-sidecar}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/nexus-sidecar.yaml" <<CONFIG
version: 1
sources: { home: { embedded: { data_dir: '$folder/data' } } }
audit: { dir: '$folder/audit' }
CONFIG

# printf is the shell's own: no process has the token in its arguments.
printf %s "$GH_TOKEN" | "$sidecar" connection add github --config "$folder/nexus-sidecar.yaml" >&2

# What the command is given holds no GH_TOKEN of ours, nor does this shell from here on.
unset GH_TOKEN
status=0
"$sidecar" run --config "$folder/nexus-sidecar.yaml" --use github/read@1 --log "$folder/run.log" -- "$@" || status=$?
"$sidecar" audit verify --dir "$folder/audit" >&2
exit "$status"
