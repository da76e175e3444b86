#!/usr/bin/env bash
# Compares what layers of packages hold with what dpkg-deb unpacks, for whole closures of Debian packages (some 600 MB are
# fetched). One line for each set; exit 1 where one differs.
#
#   tests/campaigns/debs.sh [--short] [DIR]      default: all sets, both architectures; --short: python3 of bookworm, amd64
#
# DIR keeps apt's directories and the packages. Wants apt-get, dpkg-deb and the network; touches nothing of the host's apt.
# MIRROR names another mirror.
set -euo pipefail
cd "$(dirname "$0")/../.."
short=
if [ "${1:-}" = --short ]; then
  short=1
  shift
fi
if [ -n "${1:-}" ]; then
  work=$(realpath -m "$1")
else
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
fi
mirror=${MIRROR:-http://deb.debian.org}
cargo=${CARGO:-cargo}
unset CARGO

sets='bookworm cc base-files libc6 libstdc++6 libgcc-s1 ca-certificates tzdata netbase
bookworm python3 base-files base-passwd dash coreutils python3 ca-certificates tzdata libpq5 curl
bookworm nginx base-files nginx
bookworm postgres base-files postgresql-15
bookworm redis base-files redis-server
trixie python3 base-files python3 ca-certificates
trixie node20 base-files nodejs ca-certificates'
architectures='amd64 arm64'
if [ -n "$short" ]; then
  sets=$(sed -n 2p <<<"$sets")
  architectures=amd64
fi

fetch() { # suite architecture folder packages…
  local suite=$1 architecture=$2 folder=$3 apt=$work/apt/$1-$2 options
  shift 3
  mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$folder"
  : >"$apt/status"
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s\n' \
    "$mirror/debian $suite main" "$mirror/debian-security $suite-security main" >"$apt/sources.list"
  options=(-qq -o "Dir::State=$apt" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt"
    -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture" -o "APT::Sandbox::User=$(id -un)")
  if [ ! -e "$apt/updated" ]; then
    apt-get "${options[@]}" update
    touch "$apt/updated"
  fi
  apt-get "${options[@]}" -s --no-install-recommends install "$@" |
    sed -n 's/^Inst \([^ ]*\) (\([^ ]*\).*/\1=\2/p' >"$folder/set"
  (cd "$folder" && xargs apt-get "${options[@]}" download <set)
}

differs=0
while read -r suite name packages; do
  for architecture in $architectures; do
    folder=$work/$suite-$name-$architecture
    # shellcheck disable=SC2086 # a list of words
    fetch "$suite" "$architecture" "$folder" $packages >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    if IMGPACK_TEST_DEBS=$folder "$cargo" test -q --test cli layers_hold_what_dpkg_deb_unpacks >"$work/log" 2>&1; then
      result=equal
    else
      result=differs differs=1
      grep -A3 'left:' "$work/log" | cut -c1-2000 >&2
    fi
    echo "$suite $name $architecture: $(wc -l <"$folder/set") packages, $result"
  done
done <<<"$sets"
exit $differs
