#!/usr/bin/env bash
# Two commands at once in one cache: builds of the same services, of others, and prunes. Every build has the digests of one
# with an empty cache, and no command fails. The last line has the figures; exit 1 at the first thing that is wrong.
#
#   tests/campaigns/pairs.sh [PAIRS [SEED]]      default: 100 pairs, seed 1
#
# IMGPACK_BIN names another binary.
set -euo pipefail
cd "$(dirname "$0")/../.."
imgpack=$(realpath "${IMGPACK_BIN:-target/release/imgpack}")
pairs=${1:-100} seed=${2:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
RANDOM=$seed
ws=$work/ws
mkdir -p "$ws"/{shared,own,go}
cat >"$ws/imgpack.yaml" <<'END'
apiVersion: imgpack/v1
registry: registry.example/campaign
defaults: { platforms: [linux/amd64] }
services:
  one: { files: { /srv/shared: shared, /srv/own: own } }
  two: { base: scratch, files: { /srv/shared: shared } }
  web: { source: go, base: scratch, build: { go: {} } }
END
printf 'module example.com/web\n\ngo 1.22\n' >"$ws/go/go.mod"

# There are as many worlds as there are contents, and each is built once with an empty cache.
world() {
  head -c 500000 <(yes "shared $1") >"$ws/shared/file"
  head -c 70000 <(yes "own $1") >"$ws/own/file"
  printf 'package main\n\nfunc main() { println(%d) }\n' "$1" >"$ws/go/main.go"
}
worlds=4
for ((w = 0; w < worlds; w++)); do
  world $w
  for services in one two web 'one two'; do
    # shellcheck disable=SC2086
    (cd "$ws" && IMGPACK_CACHE=$work/empty "$imgpack" build --quiet $services) >"$work/right $w $services"
  done
  rm -rf "$work/empty"
done

export IMGPACK_CACHE=$work/cache
fail() {
  echo "tests/campaigns/pairs.sh: seed $seed, pair $n: $1" >&2
  exit 1
}
run() { # number, command
  local number=$1
  shift
  (cd "$ws" && exec "$imgpack" "$@" >"$work/said$number" 2>"$work/err$number")
}
choose() {
  case $((RANDOM % 8)) in
    0 | 1) echo one ;;
    2) echo two ;;
    3 | 4) echo 'one two' ;;
    5) echo web ;;
    6) echo prune --all ;;
    7) echo prune --max-size 100kB ;;
  esac
}

prunes=0 builds=0 SECONDS=0
for ((n = 1; n <= pairs; n++)); do
  w=$((RANDOM % worlds))
  world $w
  chosen=("$(choose)" "$(choose)")
  pids=()
  for number in 0 1; do
    case ${chosen[number]} in
      # shellcheck disable=SC2086
      prune*) run $number cache ${chosen[number]} & ;;
      # shellcheck disable=SC2086
      *) run $number build --quiet ${chosen[number]} & ;;
    esac
    pids+=($!)
  done
  for number in 0 1; do
    wait "${pids[number]}" || fail "${chosen[number]} failed: $(cat "$work/err$number")"
    case ${chosen[number]} in
      prune*) prunes=$((prunes + 1)) ;;
      *)
        builds=$((builds + 1))
        cmp -s "$work/said$number" "$work/right $w ${chosen[number]}" || fail "${chosen[number]} has other digests: $(cat "$work/said$number")"
        ;;
    esac
  done
done
"$imgpack" cache verify --quiet >"$work/findings" || fail "verify: $(cat "$work/findings")"
echo "$pairs pairs (seed $seed): $builds builds with the digests of an empty cache, $prunes prunes at the same time," \
  "0 failed, verify clean; $SECONDS s"
