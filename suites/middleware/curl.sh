#!/bin/sh
# Middleware as a shell script with curl: one run of a scheduled job. It takes every export that waits, hands in every
# file of the outbox, asks once what became of those that it handed in before, and ends.
#
# It needs curl, a POSIX shell and the tools that every system has, and remembers what it did in files below ./state, so
# that the next run goes on where this one ended. It looks inside no package and knows no entity's fields.

set -u
umask 077
LC_ALL=C
export LC_ALL

base=${POPRECEIPT_BASE_URL%/}
resource=${POPRECEIPT_RESOURCE%/}
lease=${POPRECEIPT_LEASE_SECONDS:-1800}
lease=${lease%.*}
seconds=${POPRECEIPT_SECONDS:-86400}
seconds=${seconds%.*}

attempts=3                        # how often a call is made that fails in a way that may pass
patience=$((lease / 2 + 1))       # seconds that an answer may take
file_patience=$((lease * 3 / 2 + 1)) # and a file
status_patience=$((seconds * 3 / 4)) # how long after its enqueue a message may be without an end
errors_patience=5                 # runs in which a failed message may be without an execution

state=./state
mkdir -p "$state/sending" "$state/waiting" "$state/done" "$state/tries"

say() { printf 'curl.sh: %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# The connector and the token endpoint.

plain_curl() {
    curl --silent --show-error --globoff --connect-timeout 5 ${POPRECEIPT_CA_FILE:+--cacert "$POPRECEIPT_CA_FILE"} \
        --dump-header "$state/headers" --write-out '%{http_code}' "$@"
}

# outcome STATUS-OF-CURL: whether a failed transfer may pass. A certificate that is none of our authority's does not.
outcome() {
    case $1 in
    51 | 60 | 77 | 83 | 90) die "no trustworthy connection to $base (curl: $1)" ;;
    5 | 6 | 7 | 35) code=unreached ;; # nothing was sent
    *) code=lost ;;
    esac
}

# pause ATTEMPT: as long as the answer asked for, in seconds or up to a date; else longer each time.
pause() {
    asked=$(sed -n 's/^[Rr][Ee][Tt][Rr][Yy]-[Aa][Ff][Tt][Ee][Rr]:[[:space:]]*//p' "$state/headers" | tr -d '\r' | tail -n 1)
    case $asked in
    '') wait=$1 ;;
    *[!0-9]*)
        then=$(date -u -d "$asked" +%s 2>/dev/null || date -u -j -f '%a, %d %b %Y %H:%M:%S GMT' "$asked" +%s 2>/dev/null)
        wait=$((${then:-0} - $(date -u +%s) + 1))
        [ "$wait" -gt 0 ] || wait=$1
        ;;
    *) wait=$asked ;;
    esac
    sleep "$wait"
}

# token: a file for curl with the header that carries a token which lives for another minute.
token() {
    [ -s "$state/token" ] && [ "$(cat "$state/expires")" -gt $(($(date +%s) + 60)) ] && return 0
    attempt=1
    while :; do
        : >"$state/headers"
        code=$(printf %s "$POPRECEIPT_CLIENT_SECRET" | plain_curl --max-time "$patience" --output "$state/answer" \
            --data-urlencode grant_type=client_credentials --data-urlencode "client_id=$POPRECEIPT_CLIENT_ID" \
            --data-urlencode client_secret@- --data-urlencode "scope=$resource/.default" "$POPRECEIPT_TOKEN_URL") ||
            outcome $?
        case $code in
        2??)
            printf 'header = "Authorization: Bearer %s"\n' "$(member access_token)" >"$state/token"
            lifetime=$(sed -n 's/.*"expires_in"[[:space:]]*:[[:space:]]*"\{0,1\}\([0-9]*\).*/\1/p' "$state/answer")
            echo $(($(date +%s) + ${lifetime:-300})) >"$state/expires"
            rm -f "$state/answer"
            return 0
            ;;
        400 | 401 | 403 | 404) die "no token: $code $(member error)" ;;
        esac
        [ "$attempt" -lt "$attempts" ] || return 1
        pause "$attempt"
        attempt=$((attempt + 1))
    done
}

# call OUTPUT CURL-ARGUMENT...: a call that may be repeated, until it has an answer. Sets code: a status, or how it failed.
call() {
    output=$1
    shift
    tried=1
    renewed=
    while :; do
        once "$output" "$@"
        case $code in
        2??) return 0 ;;
        401)
            [ -z "$renewed" ] || return 1
            renewed=yes
            rm -f "$state/token"
            ;;
        lost | unreached | 408 | 429 | 5??)
            [ "$tried" -lt "$attempts" ] || return 1
            pause "$tried"
            tried=$((tried + 1))
            ;;
        *) return 1 ;;
        esac
    done
}

# once OUTPUT CURL-ARGUMENT...: a single call with the token.
once() {
    output=$1
    shift
    : >"$state/headers"
    token || {
        code=unreached
        return
    }
    : >"$state/headers"
    rm -f "$output"
    code=$(plain_curl --max-time "$patience" --config "$state/token" --output "$output" "$@") || outcome $?
}

# member NAME: a text member of the JSON in state/answer, its escapes undone as far as a URL or a GUID can have any.
member() {
    tr -d '\r\n' <"$state/answer" | sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"\([^\"]*\)\".*/\1/p" |
        sed 's,\\/,/,g; s/\\u0026/\&/g'
}

guid() { tr 'A-F' 'a-f' | grep -oE '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}' | head -n 1; }

# Exports.

pull() {
    while call "$state/answer" "$base/api/connector/dequeue/$POPRECEIPT_EXPORT_ACTIVITY"; do
        grep -q PopReceipt "$state/answer" 2>/dev/null || return 0 # nothing waits
        mv "$state/answer" "$state/message"
        if ! fetch; then
            say "a file did not come ($code); its message comes again"
            continue
        fi
        call "$state/answer" --header 'Content-Type: application/json' --data-binary "@$state/message" \
            "$base/api/connector/ack/$POPRECEIPT_EXPORT_ACTIVITY" || say "not acknowledged ($code); it comes again"
    done
    [ "$code" = 204 ] || say "no dequeue ($code)"
}

# fetch: the file of state/message, whole, into the inbox. A message that has none is done with.
fetch() {
    ! grep -q '"IsDownLoadFileExist"[[:space:]]*:[[:space:]]*false' "$state/message" || return 0
    cp "$state/message" "$state/answer"
    location=$(member DownloadLocation)
    [ -n "$location" ] || return 0
    # The location may say http, another port or another name: its path and query are asked of the connector itself, so
    # that the token goes nowhere else. A redirect to the blob is followed; curl leaves the token out on another host.
    rest=${location#*://}
    half=$POPRECEIPT_INBOX/.curl.part
    call "$half" --location --max-time "$file_patience" "$base/${rest#*/}" || {
        rm -f "$half"
        return 1
    }
    # By its content, a file that comes a second time takes the place of the first.
    digest=$( (sha256sum "$half" 2>/dev/null || shasum -a 256 "$half") | cut -c 1-64)
    mv "$half" "$POPRECEIPT_INBOX/$digest.${POPRECEIPT_EXPORT_TYPE:-package}"
}

# Imports.

push() {
    query=
    [ "${POPRECEIPT_IMPORT_TYPE:-file}" = package ] || query="?entity=$(encoded "$POPRECEIPT_ENTITY")"
    for file in "$POPRECEIPT_OUTBOX"/*; do
        name=${file##*/}
        [ -f "$file" ] && [ ! -e "$state/waiting/$name" ] && [ ! -e "$state/done/$name" ] || continue
        if [ -e "$state/sending/$name" ]; then
            finish "$name" '' uncertain # the last run ended in the middle of it
            continue
        fi
        hand_in "$file" "$name" || [ "${POPRECEIPT_IN_ORDER:-0}" != 1 ] || return 0
    done
}

# hand_in FILE NAME: false where it has to be tried again before a later one. Where nobody can say whether the file was
# taken, sending it again might make two messages of it: that is left to a person.
hand_in() {
    tried=1
    renewed=
    while :; do
        : >"$state/sending/$2"
        once "$state/answer" --header 'Content-Type: application/octet-stream' \
            --header "x-ms-dyn-externalidentifier: $2" --data-binary "@$1" \
            "$base/api/connector/enqueue/$POPRECEIPT_IMPORT_ACTIVITY$query"
        id=
        case $code in
        2??)
            id=$(guid <"$state/answer")
            if [ -n "$id" ]; then
                echo "$id $(date +%s)" >"$state/waiting/$2"
                rm -f "$state/sending/$2"
            else
                finish "$2" '' uncertain
            fi
            return 0
            ;;
        lost | 502 | 504)
            say "$2: taken or not ($code)"
            finish "$2" '' uncertain
            return 0
            ;;
        unreached | 408 | 429 | 5??)
            rm -f "$state/sending/$2"
            [ "$tried" -lt "$attempts" ] || return 1
            pause "$tried"
            tried=$((tried + 1))
            ;;
        401 | 403)
            rm -f "$state/sending/$2" "$state/token"
            [ -z "$renewed" ] || return 1
            renewed=yes
            ;;
        *)
            say "$2: refused ($code)"
            finish "$2" '' failed "\"refused with $code\""
            return 0
            ;;
        esac
    done
}

# follow: what became of each message that has no end yet, asked once.
follow() {
    for file in "$state"/waiting/*; do
        [ -f "$file" ] || continue
        name=${file##*/}
        read -r id since <"$file"
        if [ -e "$state/tries/$name" ]; then
            explain "$name" "$id" # it has failed, which will not change any more
            continue
        fi
        if call "$state/answer" $json --data "{\"messageId\": \"$id\"}" "$actions.GetMessageStatus"; then
            status=$(member value)
        elif [ "$code" = 404 ] && call "$state/answer" \
            "$base/api/connector/jobstatus/$POPRECEIPT_IMPORT_ACTIVITY?jobId=$id"; then
            status=$(member DataJobState) # before platform update 12 there was nothing else to ask
            [ -n "$status" ] || status=$(sed -n 's/.*"DataJobState"[[:space:]]*:[[:space:]]*\([0-9]*\).*/\1/p' "$state/answer")
        else
            status=
        fi
        case $(printf %s "$status" | tr 'A-Z' 'a-z') in
        processed | 5) finish "$name" "$id" processed ;;
        processedwitherrors | preprocess*error | postprocess*error | postprocessingfailed | 6 | 7 | 8) explain "$name" "$id" ;;
        *) [ $(($(date +%s) - since)) -lt "$status_patience" ] || finish "$name" "$id" uncertain ;;
        esac
    done
}

# explain NAME ID: the errors of a failed message. Its execution may not be known at once, and may never be.
explain() {
    echo >>"$state/tries/$1"
    last=$([ "$(wc -l <"$state/tries/$1")" -lt "$errors_patience" ] || echo yes)
    call "$state/answer" $json --data "{\"_messageId\": \"$2\"}" "$actions.GetExecutionIdByMessageId" || : >"$state/answer"
    execution=$(member value)
    case $execution in
    '' | *00000000-0000-0000-0000-000000000000*)
        [ -z "$last" ] || finish "$1" "$2" failed
        return
        ;;
    esac
    if call "$state/answer" $json --data "{\"executionId\": \"$execution\"}" "$actions.GetExecutionErrors"; then
        finish "$1" "$2" failed "$(errors)"
    elif [ -n "$last" ]; then
        finish "$1" "$2" failed
    fi
}

# errors: the error texts of state/answer as the members of a JSON list. They come as a list, or as a text that holds
# one, in which a message may even have quotes that nobody escaped: a message ends where its record does.
errors() {
    tr -d '\r\n' <"$state/answer" | sed 's/\\\(["\\]\)/\1/g' | awk '
        {
            parts = split($0, part, /"ErrorMessage"[ \t]*:[ \t]*"/)
            for (n = 2; n <= parts; n++) {
                text = part[n]
                if (match(text, /"[ \t]*[}]/)) text = substr(text, 1, RSTART - 1)
                gsub(/\\[rnt]/, " ", text)
                gsub(/\\/, "", text)
                gsub(/"/, "\\\"", text)
                printf "%s\"%s\"", (n > 2 ? ", " : ""), text
            }
        }'
}

# finish NAME ID OUTCOME [ERRORS]: say what became of a file, once.
finish() {
    id_told=null
    [ -z "$2" ] || id_told="\"$2\""
    printf '{"file": "%s", "messageId": %s, "outcome": "%s", "errors": [%s]}\n' \
        "$(printf %s "$1" | sed 's/\\/\\\\/g; s/"/\\"/g')" "$id_told" "$3" "${4:-}" >>"${POPRECEIPT_REPORT:-/dev/null}"
    : >"$state/done/$1"
    rm -f "$state/waiting/$1" "$state/sending/$1"
}

# encoded TEXT: every byte of it percent-encoded.
encoded() { printf %s "$1" | od -An -v -tx1 | tr -d '\n' | tr ' ' '%'; }

actions=$base/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities
json='--header Content-Type:application/json --header Accept:application/json'

[ -z "${POPRECEIPT_IMPORT_ACTIVITY:-}" ] || push
[ -z "${POPRECEIPT_EXPORT_ACTIVITY:-}" ] || pull
[ -z "${POPRECEIPT_IMPORT_ACTIVITY:-}" ] || follow
exit 0
