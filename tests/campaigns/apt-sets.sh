#!/usr/bin/env bash
# Holds the packages that imgpack chooses against those that apt chooses from the very same indexes, for hundreds of sets of
# packages: well-known ones, every so-manieth of the suite, pairs, and versions that are not the newest. The last lines have
# the figures (docs/packages.md explains the kinds of differences); exit 1 where apt finds packages and imgpack none, or where
# more than one set in fifty differs.
#
#   tests/campaigns/apt-sets.sh [--short] [DIR]      default: bookworm and trixie, amd64 and arm64; --short: trixie, amd64, 40 sets
#
# DIR keeps apt's directories and all answers for a closer look. Wants apt-get and the network; touches nothing of the host's apt.
# MIRROR names another mirror.
set -euo pipefail
cd "$(dirname "$0")/../.."
targets=(bookworm:amd64 bookworm:arm64 trixie:amd64 trixie:arm64) every=1
if [ "${1:-}" = --short ]; then
  targets=(trixie:amd64) every=7
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

known='curl
wget
git
openssh-client
openssh-server
nginx
nginx-light
apache2
libapache2-mod-php
lighttpd
haproxy
varnish
squid
redis-server
memcached
postgresql
postgresql-client
mariadb-server
mariadb-client
default-mysql-server
sqlite3
rabbitmq-server
mosquitto
python3
python3-minimal
python3-pip
python3-venv
python3-numpy
python3-django
python3-psycopg2
python3-all-dev
nodejs
npm
ruby
ruby-rails
perl
php-cli
php-fpm
php-mysql
lua5.4
golang
rustc
cargo
ghc
erlang
elixir
default-jdk
default-jre-headless
maven
gcc
g++
clang
build-essential
cmake
debhelper
autoconf
ffmpeg
imagemagick
graphviz
pandoc
texlive-latex-base
libreoffice-writer
chromium
firefox-esr
gnome
kde-plasma-desktop
xfce4
task-xfce-desktop
vim
emacs-nox
bash
dash
busybox
coreutils
systemd
systemd-sysv
sysvinit-core
dbus
cron
rsyslog
exim4
postfix
dovecot-imapd
bind9
dnsmasq
samba
nfs-common
docker.io
podman
containerd
qemu-system-x86
ansible
tini
supervisor
gosu
ca-certificates
tzdata
locales
base-files base-passwd dash
python3 ca-certificates libpq5 curl
python3-minimal libpython3-stdlib ca-certificates
nodejs ca-certificates
nginx base-files base-passwd dash coreutils
libc6 libstdc++6 libgcc-s1 ca-certificates tzdata netbase
postgresql base-files base-passwd dash
redis-server base-files base-passwd
exim4-daemon-light postfix
systemd-sysv sysvinit-core
nginx apache2
mawk gawk
libcurl4-gnutls-dev libcurl4-openssl-dev
no-such-package
mail-transport-agent'

prepare() { # suite, architecture: a directory of apt's own, with indexes
  local suite=$1 architecture=$2 directory=$work/$1-$2 line
  mkdir -p "$directory"/etc/apt/{apt.conf.d,preferences.d,sources.list.d} "$directory"/var/{lib/dpkg,lib/apt/lists/partial,cache/apt/archives/partial,log/apt}
  : >"$directory/var/lib/dpkg/status"
  line='deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
  printf '%s\n' "$line $mirror/debian $suite main" "$line $mirror/debian $suite-updates main" \
    "$line $mirror/debian-security $suite-security main" >"$directory/etc/apt/sources.list"
  cat >"$directory/apt.conf" <<CONF
Dir "$directory";
Dir::State::status "$directory/var/lib/dpkg/status";
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; };
APT::Install-Recommends "false";
APT::Solver "internal";
Acquire::Languages "none";
Debug::NoLocking "true";
CONF
  if [ -z "$(find "$directory/var/lib/apt/lists" -name '*_Packages')" ]; then
    APT_CONFIG=$directory/apt.conf apt-get -qq update
  fi
  for line in "$suite" "$suite-updates" "$suite-security"; do
    find "$directory/var/lib/apt/lists" -name "*_dists_${line}_main_*_Packages"
  done >"$directory/indexes"
  echo "$architecture" >"$directory/architecture"
}

choose_sets() { # directory
  {
    echo "$known"
    awk -v every="$every" '
      function version(name) { return name "=" versions[name, 1] }
      /^Package: / { name = $2 }
      /^Version: / { versions[name, ++count[name]] = $2; if (count[name] == 1) names[++n] = name }
      END {
        for (i = 1; i <= 110; i++) print names[int(n * i / 111)]
        for (i = 1; i <= 40; i++) print names[int(n * i / 41)], names[1 + (i * 104729) % n]
        # Older than the newest, if the suite came first.
        for (i = 1; i <= n && said < 15; i++) if (count[names[i]] > 1 && i % 7 == 0) { said++; print version(names[i]) }
      }' $(cat "$1/indexes")
  } | awk -v every="$every" 'NR % every == 0' >"$1/sets"
}

asked() { # directory: what apt would fetch, a line for each set
  local set
  while read -r set; do
    # shellcheck disable=SC2086
    if APT_CONFIG=$1/apt.conf LC_ALL=C apt-get -qq -y --print-uris install $set >"$work/said" 2>"$work/errors"; then
      # 'http://…' NAME_VERSION_ARCHITECTURE.deb SIZE HASH, with the colon of an epoch as %3a
      awk '/^'\''/ { split($2, part, "_"); gsub(/%3a/, ":", part[2]); print part[1] "=" part[2] }' "$work/said" | LC_ALL=C sort | paste -sd ' '
    else
      echo "error: $(grep -v '^W:' "$work/errors" | paste -sd ' ')"
    fi
  done <"$1/sets" >"$1/apt"
}

wrong=0
for target in "${targets[@]}"; do
  suite=${target%:*} architecture=${target#*:} directory=$work/${target/:/-}
  prepare "$suite" "$architecture"
  choose_sets "$directory"
  [ -s "$directory/apt" ] && [ "$directory/apt" -nt "$directory/sets.asked" ] && cmp -s "$directory/sets" "$directory/sets.asked" || {
    cp "$directory/sets" "$directory/sets.asked"
    asked "$directory"
  }
  APT_SETS=$directory "$cargo" test -q --test debian -- --nocapture 2>&1 | grep 'packages read' | sed "s/^/$suite $architecture: /"
  paste -d '\t' "$directory/sets" "$directory/apt" "$directory/chosen" | awk -F '\t' -v target="$suite $architecture" -v differences="$directory/differences" '
    function list(text, into,   parts, i, n) { delete into; n = split(text, parts, " "); for (i = 1; i <= n; i++) into[parts[i]] }
    BEGIN { printf "" >differences }
    { total++ }
    $2 ~ /^error/ && $3 ~ /^error/ { neither++; next }
    $2 ~ /^error/ { imgpack++; print "only imgpack: " $1 "\n  apt: " $2 >differences; next }
    $3 ~ /^error/ { apt++; print "only apt: " $1 "\n  imgpack: " $3 >differences; next }
    $2 == $3 { same++; next }
    {
      other++
      print "different: " $1 >differences
      list($2, a); list($3, b)
      for (p in a) if (!(p in b)) print "  apt     " p >differences
      for (p in b) if (!(p in a)) print "  imgpack " p >differences
    }
    END {
      printf "%s: %d sets: %d same, %d no solution for both, %d different, %d only imgpack, %d only apt\n", target, total, same, neither, other, imgpack, apt
      exit apt > 0 || other * 50 > total
    }' || wrong=1
  sed 's/^/  /' "$directory/differences"
done
exit "$wrong"
