#!/bin/sh
# The errand of a plain HTTP client, by curl. $API is the service, $WORK a folder of our own.
ask() {
  name=$1
  shift
  code=$(curl -sS --max-time 60 -D "$WORK/head" -o "$WORK/body" -w '%{http_code}' "$@") || exit 1
  echo "$name: $code $(sed -n 's/^[Xx]-[Nn]exus-[Ee]rror: *//p' "$WORK/head" | tr -d '\r')"
  cat "$WORK/head" "$WORK/body"
}
ask bare "$API/items?x=1"
ask placeholder -H 'Authorization: Bearer placeholder' "$API/items?x=1"
head -c 1048576 /dev/zero > "$WORK/upload"
ask post --data-binary "@$WORK/upload" "$API/items"
ask denied "$API/admin"
# A host that no rule names is refused at CONNECT, which curl reports as such.
curl -sS --max-time 60 -o /dev/null -w 'unnamed: %{http_connect}\n' https://unnamed.test/
exit 0
