#!/usr/bin/env bash
# root.sh ROOT [PROGRAM...]: makes an empty root for a new user in the folder ROOT: a shell, the
# everyday programs, curl, PROGRAM, and their libraries; no Rust, no Python, no setting.
#
# Of a PROGRAM given as a path only the libraries are taken. enter.sh goes in.
set -euo pipefail
root=$1
shift
programs="sh awk basename cat chmod cmp cp cut date diff dirname env find gzip grep head id kill ln ls mkdir mktemp
  mv od printf ps pwd readlink realpath rm rmdir sed seq sha256sum sleep sort stat tail tar tee test timeout touch tr
  tty uname uniq wc whoami xargs curl"

mkdir -p "$root"/usr/{bin,lib,lib64} "$root"/{dev,etc/ssl/certs,home/newuser,proc,tmp}
for link in bin lib lib64; do ln -sfn "usr/$link" "$root/$link"; done

libraries() {
  # The loader's own answer: `=> PATH (0x…)`, and the loader itself as a bare path.
  { ldd "$1" 2>/dev/null || true; } | { grep -oE '/[^ ]+' || true; } | sort -u | while read -r file; do
    mkdir -p "$root$(dirname "$file")"
    cp -Ln "$file" "$root$file"
  done
}

for program in $programs "$@"; do
  case $program in
    */*) libraries "$program" ;;
    *)
      file=$(command -v "$program") || { echo "root.sh: there is no $program here" >&2; exit 1; }
      case $file in
        /*) cp -L "$file" "$root/usr/bin/$program"; libraries "$file" ;;
        # A shell's own command: the root's shell has it too.
        *) ;;
      esac ;;
  esac
done

echo 'newuser:x:1000:1000::/home/newuser:/bin/sh' >"$root/etc/passwd"
echo 'newuser:x:1000:' >"$root/etc/group"
echo '127.0.0.1 localhost' >"$root/etc/hosts"
echo 'nameserver 127.0.0.1' >"$root/etc/resolv.conf"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
for device in null zero urandom tty; do : >"$root/dev/$device"; done
