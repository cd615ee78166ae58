#!/bin/sh
# issuer.sh CMD...: runs the command, and shows whose certificate stands at $REGISTRY.
set -e
"$@"
curl -skv --max-time 60 -o /dev/null "$REGISTRY/" 2>&1 | sed -n 's/^\* *issuer: */issuer: /p'
