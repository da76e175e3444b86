#!/usr/bin/env bash
# A short sample of each campaign, as continuous integration runs them: with the program that the tests built, each against
# what the full one looks at. One line a campaign; exit 1 where one found something or could not run.
#
#   tests/campaigns/samples.sh [NAME…]      default: all; a NAME is that of a script here, without `.sh`
set -uo pipefail
cd "$(dirname "$0")/../.."
export IMGPACK_BIN=${IMGPACK_BIN:-$PWD/target/debug/imgpack}
export PATH=$PWD/target/tools/bin:$PATH:/usr/sbin:/sbin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

sample() { # name, arguments
  local name=$1 start=$SECONDS
  shift
  [ ${#wanted[@]} = 0 ] || [[ " ${wanted[*]} " == *" $name "* ]] || return 0
  if "tests/campaigns/$name.sh" "$@" >"$work/log" 2>&1; then
    echo "$name $*: $(grep -v '^ *$' "$work/log" | tail -n 1) ($((SECONDS - start)) s)"
  else
    echo "$name $*: FAILED ($((SECONDS - start)) s)"
    tail -n 40 "$work/log"
    failed=1
  fi
}

wanted=("$@")
sample kills 6
sample pairs 4
sample faults 1
sample truth 8 2 1
sample apt-sets --short
PACKAGES='base-files base-passwd dash ca-certificates tzdata openssl libpq5 python3-minimal nginx-light' sample scripts trixie
sample debs --short
sample bases --short
exit "$failed"
