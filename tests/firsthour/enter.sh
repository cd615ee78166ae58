#!/bin/sh
# enter.sh ROOT CMD [ARGUMENT...]: runs a command in the root that root.sh made, as its new user,
# with an environment of four variables.
#
# To be called as root of namespaces of its own: unshare --user --map-root-user --mount --net --pid
# --fork. The root is read-only but for the user's home and /tmp: nothing else can be written.
set -eu
root=$1
shift
# What is mounted is seen by this command alone.
if [ "${ENTERED:-}" != "$root" ]; then
  ENTERED=$root exec unshare --mount "$0" "$root" "$@"
fi
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
for device in null zero urandom tty; do mount --bind "/dev/$device" "$root/dev/$device"; done
for folder in home/newuser tmp; do mount --bind "$root/$folder" "$root/$folder"; done
mount -o remount,bind,ro "$root"
exec env -i HOME=/home/newuser PATH=/usr/bin:/bin TERM=dumb LANG=C.UTF-8 \
  unshare --user --map-user=1000 --map-group=1000 --root="$root" --wd=/home/newuser "$@"
