#!/bin/sh
# Makes what compose.yaml needs, in this folder: the agent's password, the store with a GitHub token
# (asked for, or one line of standard input), the certificates and the variables of the agent.
# The image is built from the checkout that this file is in. COMPOSE names another compose than docker's, such as podman-compose.
set -eu
cd "$(dirname "$0")/.."
compose=${COMPOSE:-docker compose}

umask 077
mkdir -p compose/state
# Certificates alone: the agent's container may run as any user.
mkdir -p -m 755 compose/trust
[ -s compose/agent.password ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >compose/agent.password
# A bind mount keeps its owner: the sidecar runs as the user whose files these are.
echo "NEXUS_USER=$(id -u):$(id -g)" >.env
: >>compose/agent.env

setup="$compose --profile setup run --rm"
[ -t 0 ] || setup="$setup -T"
$compose build sidecar
[ -e compose/state/store.db ] || $setup setup connection add github
$compose --profile setup run --rm -T setup ca export --dir /trust
$compose --profile setup run --rm -T setup env --format dotenv --proxy http://sidecar:14101 --ca-dir /trust >compose/agent.env
echo "ready: $compose up" >&2
