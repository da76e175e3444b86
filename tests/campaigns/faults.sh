#!/usr/bin/env bash
# Pushes through a proxy that breaks requests as real registries and networks do. Every push either succeeds, and then
# the registry has the whole image, its digest as printed, or it ends with exit 4 and a message that names registry,
# repository, request and cause, and no tag names what is not whole. What is there is then read through the same proxy, as
# a base of another image, by a cache that knows nothing: it becomes the image that it is without faults, or the same kind
# of failure. The last lines have the figures; exit 1 at the first thing that is not as it should be.
#
#   tests/campaigns/faults.sh [PUSHES [SEED]]      default: 8 pushes at each of 1 %, 5 % and 20 %, seed 1
#
# IMGPACK_BIN names another binary, FAULTS kinds of faults (`reset-body,lost`) instead of all, CHANCES other rates (`0.6`).
# Wants docker-registry, crane, and the faulty-proxy that tests/install builds.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$PWD/target/tools/bin:$PATH
imgpack=$(realpath "${IMGPACK_BIN:-target/release/imgpack}")
pushes=${1:-8} seed=${2:-1}
work=$(mktemp -d)
started=()
finish() {
  kill "${started[@]}" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
RANDOM=$seed
export IMGPACK_CACHE=$work/cache
ws=$work/ws
mkdir -p "$ws/files"

listens() { # log: the HOST:PORT that a server says in it
  local said=
  for _ in $(seq 200); do
    said=$(grep -o 'listening on 127\.0\.0\.1:[0-9]*' "$1" | head -n 1 | cut -d ' ' -f 3)
    if [ -n "$said" ]; then
      echo "$said"
      return
    fi
    read -rt 0.05 <> <(:) || true
  done
  echo "tests/campaigns/faults.sh: not started: $(cat "$1")" >&2
  return 1
}

cat >"$work/registry.yml" <<END
version: 0.1
log: { level: info }
storage: { filesystem: { rootdirectory: '$work/registry' } }
http: { addr: '127.0.0.1:0' }
END
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
started+=($!)
registry=$(listens "$work/registry.log")
faulty-proxy -upstream "$registry" >"$work/proxy.log" &
started+=($!)
proxy=$(listens "$work/proxy.log")

cat >"$ws/imgpack.yaml" <<END
apiVersion: imgpack/v1
registry: $proxy/acme
defaults: { base: static, platforms: [linux/amd64, linux/arm64], tags: [v1, latest] }
services:
  web:
    files:
      - { from: files/large, to: /srv/large, class: deps }
      - { from: files/small, to: /srv/small, class: app }
      - { from: files/config, to: /etc/web, class: config }
  app: { base: "$proxy/acme/web:v1", files: { /app: files/config } }
END

fail() {
  echo "tests/campaigns/faults.sh: seed $seed, $chance, push $n: $1" >&2
  curl -s "http://$proxy/__stats" >&2
  trap 'kill "${started[@]}"' EXIT # what is left can be looked at
  echo "left in $work" >&2
  exit 1
}

noise() { head -c "$1" /dev/urandom; }
digest() { crane digest "$registry/acme/web:$1" 2>/dev/null || echo none; }
begin() { curl -s -X POST "http://$proxy/__set?p=$1&seed=$RANDOM&faults=${FAULTS:-}"; }
explained() { # a failure names registry, repository, request and cause
  said=$(cat "$work/err")
  [[ $said == "error: "* && $said == *"$proxy"* && $said == *"acme/web"* ]] || fail "not named: $said"
  [[ $said =~ (HEAD|GET|POST|PATCH|PUT)\ http://$proxy/v2/acme/web/ ]] || fail "no request is named: $said"
  [[ $said =~ because:|"was answered" ]] || fail "no cause is named: $said"
}
app() { # builds what has the pushed image as its base, with an empty cache
  rm -rf "$work/reader"
  (cd "$ws" && IMGPACK_CACHE=$work/reader timeout 120 "$imgpack" build app --quiet 2>"$work/err")
}
whole() { # digest
  crane validate --remote "$registry/acme/web@$1" >"$work/validated" 2>&1 || fail "crane validate: $(cat "$work/validated")"
}
number() { curl -s "http://$proxy/__stats" | python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }

for chance in ${CHANCES:-0.01 0.05 0.20}; do
  good=0 bad=0 half=0 read=0 unread=0 sent=0 needed=0 broken=0 requests=0
  SECONDS=0
  for ((n = 1; n <= pushes; n++)); do
    noise $((RANDOM * 200 + 1000000)) >"$ws/files/large"
    noise $((RANDOM * 10)) >"$ws/files/small"
    noise 100 >"$ws/files/config"
    printed=$(cd "$ws" && "$imgpack" build web --quiet 2>"$work/err") || fail "a build failed: $(cat "$work/err")"
    wanted=sha256:${printed##*sha256:}
    before=$(digest v1)/$(digest latest)
    begin "$chance"
    code=0
    printed=$(cd "$ws" && timeout 120 "$imgpack" build web --push --quiet 2>"$work/err") || code=$?
    sent=$((sent + $(number "['total']['received']")))
    broken=$((broken + $(number "['broken']"))) requests=$((requests + $(number "['total']['requests']")))
    # Without faults it would be these files, which do not compress, and a few small documents.
    needed=$((needed + $(cat "$ws"/files/* | wc -c)))
    after=$(digest v1)/$(digest latest)
    case $code in
      0)
        [ "sha256:${printed##*sha256:}" = "$wanted" ] || fail "printed $printed, built $wanted"
        [ "$after" = "$wanted/$wanted" ] || fail "tags: $after instead of $wanted"
        whole "$wanted"
        good=$((good + 1))
        ;;
      4)
        explained
        if [ "$after" != "$before" ]; then
          # Tags are the last step, each a request of its own: only there one may have moved, and to what is whole.
          [[ $said =~ PUT\ http://$proxy/v2/acme/web/manifests/(v1|latest) ]] || fail "a tag moved: $before, $after: $said"
          for now in ${after/\// }; do
            [[ " ${before/\// } $wanted " == *" $now "* ]] || fail "a tag names something else: $after"
          done
          whole "$wanted"
          half=$((half + 1))
        fi
        bad=$((bad + 1))
        ;;
      *) fail "exit $code: $(cat "$work/err")" ;;
    esac
    [ "$(digest v1)" != none ] || continue
    begin 0
    wanted=$(app) || fail "a build without faults failed: $(cat "$work/err")"
    begin "$chance"
    code=0
    printed=$(app) || code=$?
    case $code in
      0)
        [ "$printed" = "$wanted" ] || fail "read as a base: $printed instead of $wanted"
        read=$((read + 1))
        ;;
      4)
        explained
        unread=$((unread + 1))
        ;;
      *) fail "reading: exit $code: $(cat "$work/err")" ;;
    esac
  done
  echo "$chance of requests broken (seed $seed): $good of $pushes pushes whole, $bad ended with exit 4 and a cause, $half of them" \
    "with a tag moved to the whole image; $broken of $requests requests broken; sent $sent bytes where $needed were needed," \
    "$(python3 -c "print(f'{$sent / $needed:.2f}')") times; read as a base $read times, $unread not, with a cause; 0 wrong; $SECONDS s"
done
