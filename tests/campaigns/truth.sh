#!/usr/bin/env bash
# Sequences of edits, each followed by a build with the cache of all builds so far and one with an empty cache: the
# digests must be equal. The tests run a few such sequences; this runs as many as asked, every time others.
#
#   tests/campaigns/truth.sh [FILES [GO [RUST]]]      default: 400 60 20 sequences, of two to five builds each
set -euo pipefail
cd "$(dirname "$0")/../.."
run() { # test, sequences
  IMGPACK_TRUTH_CASES=$2 "${CARGO:-cargo}" test --locked --quiet --test cli "truth::$1" -- --nocapture |
    sed -n "s/ builds made an image/ builds made an image, all as with an empty cache ($1, $2 sequences)/p"
}
run files "${1:-400}"
run go "${2:-60}"
run rust "${3:-20}"
