#!/bin/sh
# npm.sh NODE INSTALLER...: installs a package, with npm or pnpm.
set -e
node=$1
shift
mkdir "$WORK/project"
cd "$WORK/project"
echo '{"private": true}' > package.json
"$@" --registry "$REGISTRY/" tinypackage
"$node" -p 'require("tinypackage")'
