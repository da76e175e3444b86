#!/usr/bin/env bash
# Kills builds at random points, and the toolchains that they started, and holds what comes after against builds with an
# empty cache. The last line has the figures; exit 1 at the first thing that is not as it should be.
#
#   tests/campaigns/kills.sh [BUILDS [SEED]]      default: 300 killed builds, seed 1
#
# A service of files, one of Go and, less often, one of Rust. IMGPACK_BIN names another binary.
set -euo pipefail
cd "$(dirname "$0")/../.."
imgpack=$(realpath "${IMGPACK_BIN:-target/release/imgpack}")
builds=${1:-300} seed=${2:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
RANDOM=$seed
export IMGPACK_CACHE=$work/cache
ws=$work/ws
mkdir -p "$ws"/{files,buildspecs,go/part,rust/src}

cat >"$ws/imgpack.yaml" <<'END'
apiVersion: imgpack/v1
registry: registry.example/campaign
defaults: { base: scratch, platforms: [linux/amd64] }
services:
  files: { files: { /srv: files } }
  web: { source: go, build: { go: {} } }
  core: { source: rust, build: { rust: {} } }
END
cat >"$ws/go/go.mod" <<'END'
module example.com/web

go 1.22
END
cp rust-toolchain.toml "$ws/rust/"
cat >"$ws/rust/Cargo.toml" <<'END'
[package]
name = "core"
version = "1.0.0"
edition = "2024"
END
printf 'version = 4\n\n[[package]]\nname = "core"\nversion = "1.0.0"\n' >"$ws/rust/Cargo.lock"
# The list of a directory, which cargo is not told of: what vanishes has to be noticed all the same.
cat >"$ws/rust/build.rs" <<'END'
fn main() {
    let mut names: Vec<_> = std::fs::read_dir("names").unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rustc-env=NAMES={names:?}");
}
END
mkdir "$ws/rust/names"
: >"$ws/rust/names/always"
echo always >"$ws/files/always"

# What the services hold after so many edits. A content comes again now and then, as with branches.
edit() {
  local number=$((RANDOM % 12))
  case $((RANDOM % 5)) in
    0) head -c $((RANDOM * 40 + 1)) /dev/zero | tr '\0' "$((number % 10))" >"$ws/files/$((RANDOM % 4))" ;;
    1) head -c 300000 <(yes "$number $RANDOM") >"$ws/files/large" ;;
    2) rm -f "$ws/files/$((RANDOM % 4))" "$ws/rust/names/$((RANDOM % 3))" ;;
    3) : >"$ws/rust/names/$((RANDOM % 3))" ;;
  esac
  printf 'package part\n\nconst Number = %d\n' "$number" >"$ws/go/part/part.go"
  printf 'package main\n\nimport (\n\t"fmt"\n\n\t"example.com/web/part"\n)\n\nfunc main() { fmt.Println(part.Number) }\n' >"$ws/go/main.go"
  printf 'fn main() {\n    println!("{} {}", %d, env!("NAMES"));\n}\n' "$number" >"$ws/rust/src/main.rs"
}

fail() {
  echo "tests/campaigns/kills.sh: seed $seed, build $n: $1" >&2
  find "$IMGPACK_CACHE/v1" -maxdepth 2 >&2
  trap - EXIT # what is left can be looked at
  echo "left in $work" >&2
  exit 1
}

# What of a killed build is still at work: its environment names this cache.
toolchains() {
  local process
  for process in /proc/[0-9]*; do
    { grep -qz "$IMGPACK_CACHE" "$process/environ" && echo "${process#/proc/}"; } 2>/dev/null || true
  done
}

choose() { # the services of a build
  case $((RANDOM % 10)) in
    0 | 1 | 2 | 3 | 4) echo files ;;
    5 | 6 | 7) echo web ;;
    8) echo core ;;
    9) echo 'files web' ;;
  esac
}

killed=0 survived=0 toolchains_killed=0 pruned=0 compared=0 verified=0 undisturbed=0
# How many system calls a build of each kind makes is not known: a kill waits for a random number of files that the build
# makes in the cache, or for a random time.
progress() { find "$IMGPACK_CACHE/v1" -newer "$work/begin" 2>/dev/null | wc -l; }

compare() { # the same with an empty cache
  local here there
  here=$(cd "$ws" && "$imgpack" build --quiet "$@" 2>"$work/err") || fail "a build failed: $(cat "$work/err")"
  undisturbed=$((undisturbed + 1))
  if [ $((RANDOM % ${COMPARE_EVERY:-3})) = 0 ]; then
    there=$(cd "$ws" && IMGPACK_CACHE=$work/empty "$imgpack" build --quiet "$@" 2>"$work/err") || fail "a build with an empty cache failed: $(cat "$work/err")"
    rm -rf "$work/empty"
    [ "$here" = "$there" ] || fail "not the digests of an empty cache: $here, $there"
    compared=$((compared + 1))
  fi
}

verify() {
  "$imgpack" cache verify --quiet >"$work/findings" || fail "verify: $(cat "$work/findings")"
  verified=$((verified + 1))
}

SECONDS=0
for ((n = 1; n <= builds; n++)); do
  edit
  read -ra services <<<"$(choose)"
  : >"$work/begin"
  flags=()
  if [ $((RANDOM % 12)) = 0 ]; then flags=(--no-cache); fi
  if [ $((RANDOM % 8)) = 0 ]; then
    command=(cache prune --all)
    pruned=$((pruned + 1))
  else
    command=(build --quiet --output "oci:$work/out" "${flags[@]}" "${services[@]}")
  fi
  (cd "$ws" && exec "$imgpack" "${command[@]}" >"$work/said" 2>&1) &
  pid=$!
  if [ $((RANDOM % 2)) = 0 ]; then
    wanted=$((RANDOM % 30 + 1))
    while kill -0 $pid 2>/dev/null && [ "$(progress)" -lt "$wanted" ]; do :; done
  else
    # Up to 0.2 s for files, up to 1.6 s with a toolchain.
    limit=$([ "${services[*]}" = files ] && echo 200 || echo 1600)
    milliseconds=$((RANDOM % limit))
    read -rt "$((milliseconds / 1000)).$(printf %03d $((milliseconds % 1000)))" <> <(:) || true
  fi
  kill -9 $pid 2>/dev/null || true
  code=0
  { wait $pid || code=$?; } 2>/dev/null
  case $code in
    137) killed=$((killed + 1)) ;;
    0 | 1) survived=$((survived + 1)) ;;
    *) fail "a build ended with $code: $(cat "$work/said")" ;;
  esac
  # Sometimes what it started goes too, one after the other; else it lives on, and the next build has to wait.
  if [ $((RANDOM % 3)) = 0 ]; then
    for process in $(toolchains); do
      if [ $((RANDOM % 2)) = 0 ] && kill -9 "$process" 2>/dev/null; then toolchains_killed=$((toolchains_killed + 1)); fi
    done
  fi
  if [ $((RANDOM % 3)) = 0 ]; then
    compare "${services[@]}"
    verify
  fi
done
compare files web core
verify
left=$(find "$IMGPACK_CACHE/v1/tmp" -mindepth 1 -maxdepth 1 | wc -l)
"$imgpack" cache prune --quiet >/dev/null
[ -z "$(ls -A "$IMGPACK_CACHE/v1/tmp")" ] || fail "rubbish is left after a prune"
echo "$builds builds and prunes (seed $seed): $killed killed, $survived ended before; $pruned of them prunes;" \
  "$toolchains_killed toolchain processes killed; $undisturbed undisturbed builds after them, $compared held against an" \
  "empty cache, $verified verified; $left leftovers, all swept; 0 wrong; $SECONDS s"
