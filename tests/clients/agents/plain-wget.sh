#!/bin/sh
# The errand of a plain HTTP client, by wget.
ask() {
  name=$1
  shift
  wget --timeout=60 --tries=1 --content-on-error --no-verbose -S -O "$WORK/body" "$@" 2> "$WORK/head"
  code=$(sed -n 's|^ *HTTP/[0-9.]* \([0-9]*\).*|\1|p' "$WORK/head" | tail -n 1)
  echo "$name: $code $(sed -n 's/^ *[Xx]-[Nn]exus-[Ee]rror: *//p' "$WORK/head" | tr -d '\r')"
  cat "$WORK/head" "$WORK/body"
}
ask bare "$API/items?x=1"
ask placeholder --header='Authorization: Bearer placeholder' "$API/items?x=1"
head -c 1048576 /dev/zero > "$WORK/upload"
ask post --post-file="$WORK/upload" "$API/items"
ask denied "$API/admin"
# A host that no rule names is refused at CONNECT; wget says the reason, not the number.
if wget --timeout=60 --tries=1 --no-verbose -O /dev/null https://unnamed.test/ 2> "$WORK/head"; then
  echo "unnamed: 200"
elif grep -q Forbidden "$WORK/head"; then
  echo "unnamed: 403"
else
  cat "$WORK/head"
fi
