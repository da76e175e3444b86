#!/usr/bin/env bash
# Builds the services of fixtures/ and prints docs/sizes.md: what a puller of each image fetches and what it holds.
#
#   tests/campaigns/sizes.sh > docs/sizes.md
#
# IMGPACK_BIN names another binary, IMGPACK_CACHE another cache. Needs jq, the toolchains, and fixtures/bases.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
fixtures/bases.sh >&2
imgpack=${IMGPACK_BIN:-target/release/imgpack}
[ -x "$imgpack" ] || { echo "tests/campaigns/sizes.sh: $imgpack is not there; cargo build --release" >&2; exit 1; }

# The bases of buildspecs/bases are measured by bases.sh (docs/bases.md).
plain=$("$imgpack" build --quiet --format json | jq '.images |= map(select(.identity | test("-debian(@|$)") | not))')
# --variant takes the plain image of services without that variant: those are in the first table already.
alpine=$("$imgpack" build --quiet --variant alpine --format json | jq '.images |= map(select(.identity | endswith("@alpine")))')

# Rows of a table; megabytes are decimal, as everywhere in imgpack.
rows() { # limit of transfer in MB, by identity: jq code
  jq -r --argjson limits "$1" '
    def mb: (. / 10000 | round) as $n | "\($n / 100 | floor).\($n % 100 + 100 | tostring[1:])";
    def limit: $limits[.] // $limits["*"];
    def class($name): [.classes[] | select(.class == $name) | .transfer] | add // 0;
    .images[] |
    "| \(.identity) | \(.platform | ltrimstr("linux/")) | \(.transfer | mb) | \(.unpacked | mb) | \(class("base") | mb) | " +
    "\(class("system") | mb) | \(class("app") | mb) | \(.identity | limit) | " +
    (if .transfer <= (.identity | limit) * 1e6 then "yes" else "**no**" end) + " |"'
}

header='| image | platform | transfer MB | unpacked MB | base | system | app | bound | kept |
|---|---|---:|---:|---:|---:|---:|---:|---|'

cat <<END
# Sizes

What the images of \`buildspecs/\` weigh, beside what the teams of the same systems reach with multi-stage Dockerfiles.
Written by \`tests/campaigns/sizes.sh\`; decimal megabytes. *Transfer* is what a puller fetches (config, manifest,
compressed layers), *unpacked* the files of the image; base, system and app are transfer too.

## Without a shell

On the base \`static\`: CA certificates, time zones, user 65532. The team's distroless images of the Go services are
25–30 MB; of jessy no figures are known.

$header
$(rows '{"*": 12, "core": 4}' <<<"$plain")

## On Alpine

Alpine 3.20's mini root file system, with imgpack's CA certificates and time zones, user 1001. The team's Alpine images
are 56–57 MB. The binary's layer is the one of the image without a shell, byte for byte.

$header
$(rows '{"*": 18}' <<<"$alpine")

The bounds are for transfer: each Go service at most 12 MB without a shell and 18 MB on Alpine, jessy's Rust core at
most 4 MB. The end-to-end tests hold every image to them.
END
