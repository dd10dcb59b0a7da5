#!/bin/sh
# @COMMENT@
#
# It needs curl, sed and tr, and in the environment BASE_URL, the address of the target (http://127.0.0.1:8365).
# Who signs in is asked of the control plane. Where there is none, or others shall be used: POPRECEIPT_CLIENT_ID,
# POPRECEIPT_CLIENT_SECRET (of another role with _ROLE behind: POPRECEIPT_CLIENT_ID_UNLISTED), POPRECEIPT_TOKEN_URL,
# POPRECEIPT_RESOURCE. Off loopback CONTROL_KEY goes with control calls; CURL_CA_BUNDLE names a TLS target's authority.
set -eu
: "${BASE_URL:?the address of the target, such as http://127.0.0.1:8365}"
BASE_URL=${BASE_URL%/}
CONTROL=$BASE_URL/_control/v1
here=$(dirname -- "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
start=

say() { printf '\n== %s\n' "$*"; }

show() { # FILE: a body, as far as a terminal shows it
  if LC_ALL=C tr -d '\11\12\15\40-\176\200-\377' < "$1" | LC_ALL=C grep -q .; then
    printf '(%s bytes)\n' "$(wc -c < "$1" | tr -d ' ')"
  else
    head -c 2000 "$1"; echo
  fi
}

flat() { tr -d '\r\n'; }

member() { # NAME [N]: the N-th text of this name in the JSON that comes in
  flat | sed -e 's/,[[:space:]]*"/\
"/g' -e 's/[{[][[:space:]]*"/\
"/g' -e 's/},[[:space:]]*{/\
/g' | sed -n 's/^"'"$1"'"[[:space:]]*:[[:space:]]*"\(.*\)"[][:space:]}]*$/\1/p' | sed -n "${2:-1}p" |
    sed -e 's/\\u0026/\&/g' -e 's/\\\//\//g' -e 's/\\"/"/g'
}

guid() { # the last GUID in what comes in
  flat | sed -n 's/.*\([0-9A-Fa-f]\{8\}\(-[0-9A-Fa-f]\{4\}\)\{3\}-[0-9A-Fa-f]\{12\}\).*/\1/p'
}

got() { # NAME VALUE: without it the story cannot go on
  if [ -z "$2" ]; then echo "The state was not reached: the answer gave no $1." >&2; exit 3; fi
  printf '   %s = %s\n' "$1" "$2"
}

control() { # METHOD PATH [BODY]: a control call; its answer lies in $work/told
  set -- "$1" "$2" "${3-}" -sS -g -o "$work/told" -w '%{http_code}' -X "$1"
  method=$1 path=$2 content=$3; shift 3
  if [ -n "${CONTROL_KEY-}" ]; then set -- "$@" -H "x-control-key: $CONTROL_KEY"; fi
  if [ -n "$content" ]; then set -- "$@" -H 'content-type: application/json' --data-binary "$content"
  elif [ "$method" != GET ]; then set -- "$@" -H 'content-length: 0'; fi
  : > "$work/told"
  status=$(curl "$@" "$CONTROL$path") || status=000
  printf '%s %s → %s ' "$method" "$path" "$status"; show "$work/told"
  case $status in 2*) ;; *) echo "The state was not reached: the control call was refused." >&2; exit 3 ;; esac
}

world() { # The world, asked once.
  if [ ! -s "$work/world" ]; then
    set -- -sS -f
    if [ -n "${CONTROL_KEY-}" ]; then set -- "$@" -H "x-control-key: $CONTROL_KEY"; fi
    curl "$@" "$CONTROL/world" | flat > "$work/world"
  fi
  cat "$work/world"
}

client() { # ROLE MEMBER VARIABLE: of a client, from the environment or from the world
  variable=$3
  if [ "$1" != authorised ]; then variable=${3}_$(printf %s "$1" | tr a-z A-Z); fi
  eval "value=\${$variable-}"
  if [ -z "$value" ]; then
    value=$(world | sed 's/.*"'"$1"'"[[:space:]]*:[[:space:]]*{/{/; s/}.*/}/' | member "$2")
  fi
  printf %s "$value"
}

job() { # NAME: the id of one of the world's own jobs
  world | sed 's/},[[:space:]]*{/}\
{/g' | grep '"name"[[:space:]]*:[[:space:]]*"'"$1"'"' | member id
}

quoted() { # percent-encode what comes in
  sed -e 's/%/%25/g' -e 's/ /%20/g' -e 's/+/%2B/g' -e 's/\//%2F/g' -e 's/=/%3D/g' -e 's/&/%26/g' -e 's/:/%3A/g' \
    -e 's/?/%3F/g' -e 's/#/%23/g' -e 's/{/%7B/g' -e 's/}/%7D/g' -e 's/"/%22/g' -e 's/@/%40/g' -e 's/\$/%24/g'
}

upper() { tr a-z A-Z; }

json() { sed -e 's/\\/\\\\/g' -e 's/"/\\"/g'; }

ask_token() { # ROLE [VERSION [GRANT [RESOURCE [SECRET]]]]: the answer of the token endpoint lies in $work/token
  role=${1%%/*}
  secret=${5-}
  if [ -z "$secret" ]; then secret=$(client "$role" client_secret POPRECEIPT_CLIENT_SECRET); fi
  resource=${4-}
  if [ -z "$resource" ]; then resource=${POPRECEIPT_RESOURCE-}; fi
  if [ -z "$resource" ]; then resource=$(world | member resource); fi
  if [ "${2:-2}" = 1 ]; then
    url=${POPRECEIPT_TOKEN_URL_V1-}
    if [ -z "$url" ]; then url=$(world | member token_url_v1); fi
    audience=resource=$resource
  else
    url=${POPRECEIPT_TOKEN_URL-}
    if [ -z "$url" ]; then url=$(world | member token_url); fi
    audience=scope=$resource/.default
  fi
  set -- "${3:-client_credentials}"
  id=$(client "$role" client_id POPRECEIPT_CLIENT_ID)
  set -- -sS -o "$work/token" -w '%{http_code}' --data-urlencode "grant_type=$1" --data-urlencode "client_id=$id"
  set -- "$@" --data-urlencode "client_secret=$secret" --data-urlencode "$audience"
  case " $* " in *"grant_type=password"*)
    set -- "$@" --data-urlencode "username=$(user username)" --data-urlencode "password=$(user password)" ;;
  esac
  curl "$@" "$url"
}

user() { world | sed 's/.*"user"[[:space:]]*:[[:space:]]*{/{/; s/}.*/}/' | member "$1"; }

token() { # ROLE: a token of it
  status=$(ask_token "$1")
  value=$(member access_token < "$work/token")
  if [ -z "$value" ]; then echo "The state was not reached: no token for $1 ($status)." >&2; exit 3; fi
  printf %s "$value"
}

other() { case $1 in A*) printf B ;; *) printf A ;; esac; printf %s "${1#?}"; }

forged() { # TOKEN PART: the token with this part of it changed
  rest=${1#*.}
  if [ "$2" = signature ]; then printf '%s.%s.%s' "${1%%.*}" "${rest%%.*}" "$(other "${rest#*.}")"; return; fi
  payload=$(printf %s "${rest%%.*}" | tr -- '-_' '+/')
  while [ $((${#payload} % 4)) -ne 0 ]; do payload=$payload=; done
  payload=$(printf %s "$payload" | base64 -d | sed 's/"exp"\([[:space:]]*:[[:space:]]*\)1/"exp"\12/' | base64 |
    tr -d '\n=' | tr -- '+/' '-_')
  printf '%s.%s.%s' "${1%%.*}" "$payload" "${rest#*.}"
}

place() { # LOCATION: its path and query
  printf %s "$1" | sed -e 's|^[A-Za-z][A-Za-z0-9+.-]*://[^/]*||' -e 's/#.*//'
}

send() { # METHOD URL [CURL ARGUMENT]...: a request; head and body of its answer lie in $work
  method=$1 url=$2; shift 2
  : > "$work/answer"
  case $method in HEAD) set -- -I "$@" ;; *) set -- -X "$method" "$@" ;; esac
  # What curl would add of its own, and the step does not have, is left out.
  status=$(curl -sS -g --path-as-is -D "$work/head" -o "$work/answer" -w '%{http_code}' -H 'Expect:' "$@" "$url") ||
    status="no whole answer (curl: $?)"
  printf '%s %s → %s ' "$method" "$url" "$status"; show "$work/answer"
}

advance() { # SECONDS: the target's clock is moved, or waited for
  if world | grep -q '"advance-time"'; then control POST /clock "{\"advance_seconds\": $1}"; else
    echo "waiting $1 seconds"; sleep "$1"; fi
}

begin() { # The story begins: instants in settings count from here.
  if [ -z "$start" ]; then
    start=$(curl -sS "$CONTROL/clock" | member now | sed 's/\.[0-9]*Z$/Z/')
  fi
}

later() { # SECONDS: the instant so long after the start
  if at=$(date -u -d "$start" +%s 2>/dev/null); then date -u -d "@$((at + $1))" +%Y-%m-%dT%H:%M:%SZ
  else date -u -r "$(($(date -u -j -f %Y-%m-%dT%H:%M:%SZ "$start" +%s) + $1))" +%Y-%m-%dT%H:%M:%SZ; fi
}
