#!/bin/sh
# pip.sh PYTHON INSTALLER...: installs a wheel, with pip or uv.
set -e
python=$1
shift
"$@" --quiet --target "$WORK/site" --index-url "$REGISTRY/simple/" tinypackage
PYTHONPATH="$WORK/site" "$python" -c 'import tinypackage; print(tinypackage.GREETING)'
