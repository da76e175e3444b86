#!/usr/bin/env bash
# Follows the maintainer scripts of today's Debian packages and prints what no rule covers.
#
#   tests/campaigns/scripts.sh             # bookworm and trixie, amd64 and arm64
#   tests/campaigns/scripts.sh trixie      # one suite, amd64
#
# PACKAGES names other packages than these, ARCHITECTURES others. Needs apt, dpkg-deb, curl and Debian's archive keys; fetches some 200 MB of packages for each suite and architecture into
# target/scripts and keeps them there. Packages without preinst and postinst are fetched as well: conditions ask for files.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD/target/scripts
suites=${*:-bookworm trixie}
architectures=${ARCHITECTURES:-$([ $# -gt 0 ] && echo amd64 || echo "amd64 arm64")}

wanted=${PACKAGES:-base-files base-passwd dash bash coreutils netbase ca-certificates tzdata openssl curl git libpq5 libstdc++6
  python3 python3-minimal python3-venv nodejs nginx nginx-light redis-server}

folders=
for suite in $suites; do
  case $suite in
    bookworm) more="postgresql-15 libmagickwand-6.q16-6 libavcodec59 libavformat59 libavfilter8" ;;
    trixie) more="postgresql-17 libmagickwand-7.q16-10 libavcodec61 libavformat61 libavfilter10" ;;
    *) more= ;;
  esac
  [ -z "${PACKAGES:-}" ] || more=
  for architecture in $architectures; do
    here=$root/$suite-$architecture
    mkdir -p "$here"/apt/{lists/partial,cache/archives/partial,etc} "$here/debs"
    : > "$here/apt/status"
    printf 'deb http://deb.debian.org/%s main\n' "debian $suite" "debian $suite-updates" \
      "debian-security $suite-security" > "$here/apt/sources.list"
    cat > "$here/apt/apt.conf" <<END
Dir::State "$here/apt"; Dir::State::Lists "$here/apt/lists"; Dir::State::status "$here/apt/status";
Dir::Cache "$here/apt/cache"; Dir::Etc "$here/apt/etc"; Dir::Etc::sourcelist "$here/apt/sources.list";
Dir::Etc::trustedparts "/usr/share/keyrings/"; APT::Architecture "$architecture"; APT::Architectures "$architecture";
APT::Install-Recommends "false"; APT::Sandbox::User "root"; Acquire::Languages "none"; Debug::NoLocking "1";
END
    export APT_CONFIG=$here/apt/apt.conf
    apt-get -qq update
    # shellcheck disable=SC2086
    apt-get -s -qq install $wanted $more | awk '/^Conf/ { sub(":.*", "", $2); print $2 }' > "$here/order.all"
    (cd "$here/debs" && xargs apt-get -q --print-uris download < "$here/order.all") |
      awk '/^.http/ { gsub("\047", ""); print $1 }' > "$here/uris"
    while read -r uri; do
      deb=$here/debs/$(basename "$uri" | sed 's/%3a/_/')
      [ -s "$deb" ] || { curl -fsS "$uri" -o "$deb.part" && mv "$deb.part" "$deb"; }
      name=$(basename "$deb" | cut -d_ -f1)
      [ -e "$here/$name/files" ] && [ ! "$deb" -nt "$here/$name/files" ] && continue
      rm -rf "${here:?}/$name"
      dpkg-deb --control "$deb" "$here/$name"
      # Nothing but texts that scripts read is needed of the contents.
      mkdir "$here/$name/root"
      dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$here/$name/root" --wildcards --exclude='*.so*' \
        './usr/share/*passwd/*' './usr/share/*-common/*' './usr/share/base-files/*' './usr/share/ca-certificates/*' \
        './usr/share/*/*.conf' './usr/share/debianutils/*' './usr/share/dpkg/*' './usr/lib/sysusers.d/*' \
        './usr/share/nginx/*' './usr/share/readline/*' './etc/default/*' 2> /dev/null || true
      dpkg-deb --contents "$deb" > "$here/$name/files"
    done < "$here/uris"
    while read -r name; do [ -d "$here/$name" ] && echo "$name"; done < "$here/order.all" > "$here/order"
    echo "$suite $architecture: $(wc -l < "$here/order") packages" >&2
    folders=$folders${folders:+:}$here
  done
done
unset APT_CONFIG
IMGPACK_SCRIPTS=$folders cargo test --lib the_scripts_of_real_packages_are_covered
