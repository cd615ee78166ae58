#!/bin/sh
# Installs a wheel from an index that is behind a tunnel rule, and shows whose certificate it saw.
set -e
"$PYTHON" -m pip install -q --disable-pip-version-check --no-cache-dir --target "$WORK/site" \
  --index-url "$INDEX/simple/" tinywheel
PYTHONPATH="$WORK/site" "$PYTHON" -c 'import tinywheel; print(tinywheel.GREETING)'
curl -sv --max-time 60 -o /dev/null "$INDEX/simple/tinywheel/" 2>&1 | sed -n 's/^\* *issuer: */issuer: /p'
