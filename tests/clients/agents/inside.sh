#!/bin/sh
# inside.sh OUT CMD...: what the agent's side can see, put beside OUT; then the client itself.
# `environ` and `cmdline` are this process's own, inherited as any client would inherit them.
out=$1
shift
cat /proc/$$/environ > "$out.environ"
tr '\0' '\n' < /proc/$$/cmdline > "$out.cmdline"
# The sidecar is our parent and runs as the same user: its memory has to be closed to us.
for secret in environ mem maps fd; do
  if [ -d "/proc/$PPID/$secret" ]; then ls "/proc/$PPID/$secret" > /dev/null 2>&1; else head -c 1 "/proc/$PPID/$secret" > /dev/null 2>&1; fi \
    && echo "readable: /proc/PARENT/$secret"
done > "$out.parent"
exec "$@" > "$out.stdout" 2> "$out.stderr"
