#!/bin/sh
# go.sh GO: downloads a module from a module proxy, and shows a file of it.
set -e
export GOPROXY="$REGISTRY" GOSUMDB=off GOTOOLCHAIN=local GOFLAGS=-modcacherw GOPATH="$WORK/go"
mkdir "$WORK/project"
cd "$WORK/project"
printf 'module errand\n\nrequire go.test/tinypackage v1.0.0\n' > go.mod
"$1" mod download
cat "$GOPATH/pkg/mod/go.test/tinypackage@v1.0.0/greeting.txt"
