# The agent of `nexus-sidecar demo`: POSIX sh and curl, and no credential anywhere.
#
# It is told four URLs (TICKETS, STORAGE, CHAT, ELSEWHERE) and the proxy variables that `run`
# sets for every child. It writes one line per thing it did, fields separated by tabs:
#   call NAME METHOD URL STATUS X-NEXUS-ERROR      and      answer TEXT, env TEXT
set -u
command -v curl > /dev/null || exit 127

# -q: whatever ~/.curlrc says is not part of this demonstration.
call() {
    name=$1 method=$2 url=$3
    shift 3
    : > head
    : > body
    status=$(curl -q --silent --max-time 10 --request "$method" --output body --dump-header head \
        --write-out '%{http_code} %{http_connect}' "$@" "$url") || :
    # A refused CONNECT has no status of its own: the proxy's is the one to show.
    case $status in
        '000 '*) status=${status#000 } ;;
        *) status=${status% *} ;;
    esac
    code=$(tr -d '\r' < head | sed -n 's/^[Xx]-[Nn]exus-[Ee]rror: *//p' | sed -n 1p)
    printf 'call\t%s\t%s\t%s\t%s\t%s\n' "$name" "$method" "$url" "$status" "$code"
    printf 'answer\t%s\n' "$(cat head body | tr '\r\n' '  ')"
}

# Around the sidecar: the same request without it, so that the services show that they check.
direct() {
    authority=${3#https://}
    authority=${authority%%/*}
    call "$@" --noproxy '*' --resolve "$authority:127.0.0.1"
}

report=reports/open.txt
message='{"channel":"#ops","text":"The report on open tickets is ready."}'

direct direct-tickets GET "$TICKETS/rest/api/3/search"
direct direct-storage PUT "$STORAGE/$report" --data-binary 'x'
direct direct-chat POST "$CHAT/api/chat.postMessage" --header 'content-type: application/json' --data "$message"

call read-tickets GET "$TICKETS/rest/api/3/search"
tr '{' '\n' < body | sed -n 's/.*"summary":"\([^"]*\)".*/- \1/p' > report
call store-report PUT "$STORAGE/$report" --header 'content-type: text/plain' --data-binary @report
call fetch-report GET "$STORAGE/$report"
cmp -s report body && [ -s report ] && printf 'same\treport\n'
call post-message POST "$CHAT/api/chat.postMessage" --header 'content-type: application/json' --data "$message"

call delete-ticket DELETE "$TICKETS/rest/api/3/issue/OPS-7"
call other-host GET "$ELSEWHERE/collect"
call read-chat GET "$CHAT/api/conversations.history"

env | while IFS= read -r line; do printf 'env\t%s\n' "$line"; done
