#!/bin/sh
# Lets one command read from GitHub with a token that the command never holds.
#
#   GH_TOKEN=... examples/read-github.sh curl -s https://api.github.com/user
#
# Everything it makes (store, key, policy, audit) is in a folder of its own and removed at the
# end. SIDECAR names another nexus-sidecar than the one in PATH.
set -eu

[ $# -gt 0 ] || { echo "usage: GH_TOKEN=... $0 COMMAND [ARGUMENT...]" >&2; exit 2; }
[ -n "${GH_TOKEN:-}" ] || { echo "$0: put a GitHub token into GH_TOKEN" >&2; exit 2; }
sidecar=${SIDECAR:-nexus-sidecar}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/policy.yaml" <<'POLICY'
version: 1
rules:
  - name: read
    host: api.github.com
    method: [GET, HEAD]
    path: /**
    connection: github
tests:
  - { request: GET https://api.github.com/user, expect: inject github }
  - { request: DELETE https://api.github.com/repos/me/mine, expect: deny }
  - { request: GET https://api.github.com.example.net/user, expect: deny }
POLICY

cat >"$folder/nexus-sidecar.yaml" <<CONFIG
version: 1
sources: { home: { embedded: { data_dir: '$folder/data' } } }
policy: [policy.yaml]
audit: { dir: '$folder/audit' }
CONFIG

"$sidecar" policy test "$folder/policy.yaml" >&2
"$sidecar" connection add github --config "$folder/nexus-sidecar.yaml" \
  --strategy oauth2 --host api.github.com --field access_token=env:GH_TOKEN >&2

# The command's environment is ours: the token leaves it here.
unset GH_TOKEN
status=0
"$sidecar" run --config "$folder/nexus-sidecar.yaml" --log "$folder/run.log" -- "$@" || status=$?
"$sidecar" audit verify --dir "$folder/audit" >&2
exit "$status"
