#!/usr/bin/env bash
# Builds the bases of buildspecs/bases, runs images that stand on them in an engine of its own, and prints a table of sizes.
#
#   tests/campaigns/bases.sh            both platforms, every base
#   tests/campaigns/bases.sh --short    linux/amd64, Python and nginx
#
# As root on Linux, with dockerd, openssl, jq, python3 and, for arm64, qemu-aarch64-static; fetches packages from Debian's mirror as this
# machine has it. IMGPACK_BIN names another binary, IMGPACK_CACHE a cache to keep. Whatever it starts, mounts or registers it takes away, also when it fails.
# What syft lists is compared with the lock; where there is no syft, Go installs one into target/tools/bin.
set -euo pipefail
cd "$(dirname "$0")/../.."
checkout=$PWD
tools=$checkout/target/tools/bin
imgpack=$(realpath "${IMGPACK_BIN:-target/release/imgpack}")
[ -x "$imgpack" ] || { echo "tests/campaigns/bases.sh: $imgpack is not there; cargo build --release" >&2; exit 1; }
PATH=$PATH:$tools:/usr/sbin:/sbin

platforms=(amd64 arm64)
tries=(python3-debian python3-debian@trixie node20-debian nginx-debian postgres-debian redis-debian)
if [ "${1-}" = --short ]; then
  platforms=(amd64)
  tries=(python3-debian nginx-debian)
fi

dir=$(mktemp -d /tmp/imgpack-bases-XXXXXX)
export DOCKER_HOST="unix://$dir/engine.sock" DOCKER_CONFIG="$dir/docker" IMGPACK_CACHE="${IMGPACK_CACHE:-$dir/cache}"
registered=
mounted=
engine=
clean() {
  set +e
  if [ -n "$engine" ]; then
    docker ps --all --quiet | xargs -r docker rm --force --volumes >/dev/null 2>&1
    kill "$engine" 2>/dev/null
    wait "$engine" 2>/dev/null
  fi
  [ -n "$registered" ] && echo -1 >"/proc/sys/fs/binfmt_misc/$registered"
  [ -n "$mounted" ] && umount /proc/sys/fs/binfmt_misc
  cut -d' ' -f5 /proc/self/mountinfo | grep "^$dir/" | sort -r | xargs -r umount --lazy
  rm -rf "$dir"
}
trap clean EXIT
trap 'exit 130' INT TERM

say() { echo "bases: $*" >&2; }
fail() { echo "bases: FAILED: $*" >&2; exit 1; }

# --- a workspace: the bases, and images that stand on them

workspace=$dir/workspace
mkdir -p "$workspace/buildspecs" "$workspace/app" "$dir/tls"
cp -R buildspecs/bases "$workspace/buildspecs/"
printf 'apiVersion: imgpack/v1\nregistry: registry.example/bases\n' >"$workspace/imgpack.yaml"
# With the extensions that Python 3.13 asks of an authority.
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=imgpack-test-ca -addext keyUsage=critical,keyCertSign,cRLSign \
  -keyout "$dir/ca.key" -out "$workspace/app/ca.pem" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout "$dir/tls/key.pem" -out "$dir/server.csr" 2>/dev/null
openssl x509 -req -in "$dir/server.csr" -CA "$workspace/app/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 2 \
  -extfile <(printf 'subjectAltName=DNS:localhost\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n') -out "$dir/tls/cert.pem" 2>/dev/null
chmod -R a+rX "$dir/tls" && chmod a+x "$dir"

cat >"$workspace/app/try.py" <<'PY'
import ctypes, os, sqlite3, ssl, sys, urllib.request, zoneinfo
from datetime import datetime, timezone
assert os.getuid() == 65532, os.getuid()
assert sqlite3.connect(":memory:").execute("select 6 * 7").fetchone() == (42,)
rome = datetime(2024, 7, 1, 10, tzinfo=timezone.utc).astimezone(zoneinfo.ZoneInfo("Europe/Rome"))
assert rome.isoformat() == "2024-07-01T12:00:00+02:00", rome
assert ssl.create_default_context().cert_store_stats()["x509_ca"] > 100
curl = ctypes.CDLL("libcurl.so.4")
curl.curl_version.restype = ctypes.c_char_p
pq = ctypes.CDLL("libpq.so.5").PQlibVersion()
ctypes.CDLL("libstdc++.so.6"), ctypes.CDLL("libz.so.1")
with urllib.request.urlopen("https://localhost:8443/") as answer:
    assert answer.read() == b"over tls"
print("python", sys.version.split()[0], curl.curl_version().decode().split()[0], "libpq", pq)
PY
cat >"$workspace/app/get.py" <<'PY'
import sys, time, urllib.request
for left in range(100, -1, -1):
    try:
        with urllib.request.urlopen(sys.argv[1]) as answer:
            print(answer.status, len(answer.read()), answer.headers["server"])
            break
    except OSError:
        if not left: raise
        time.sleep(0.1)
PY
cat >"$workspace/app/serve.py" <<'PY'
import http.server, ssl
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "8")
        self.end_headers()
        self.wfile.write(b"over tls")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8443), Answer)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/cert.pem", "/tls/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
PY
cat >"$workspace/app/try.mjs" <<'JS'
import assert from "node:assert";
assert.equal(process.getuid(), 65532);
assert.equal(new Intl.DateTimeFormat("it", { dateStyle: "full", timeZone: "Europe/Rome" }).format(new Date(0)), "giovedì 1 gennaio 1970");
const answer = await fetch("https://localhost:8443/").then((answer) => answer.text());
assert.equal(answer, "over tls");
console.log("node", process.version);
JS
cat >"$workspace/buildspecs/try-python.yaml" <<'YAML'
base: spec:python3-debian
packages: { debian: { suite: bookworm, install: [curl, libpq5], exclude: [debconf, openssl] } }
certificates: [../app/ca.pem]
files: { /app/try.py: ../app/try.py, /app/get.py: ../app/get.py, /app/serve.py: ../app/serve.py }
image: { cmd: [/app/try.py] }
variants:
  trixie: { base: spec:python3-debian@trixie, packages: { debian: { suite: trixie } } }
YAML
cat >"$workspace/buildspecs/try-node.yaml" <<'YAML'
base: spec:node20-debian
certificates: [../app/ca.pem]
files: { /app/try.mjs: ../app/try.mjs }
image: { cmd: [/app/try.mjs] }
YAML
cat >"$workspace/buildspecs/try-alpine.yaml" <<'YAML'
base: { rootfs: { linux/amd64: ../app/alpine.tar.gz } }
platforms: [linux/amd64]
packages: { apk: { install: [greeting], repositories: [{ dir: ../app/repo, key: ../app/test.rsa.pub }] } }
YAML
# A repository of two packages: KEY, the name of its public half, and where to.
cat >"$dir/repository.py" <<'PY'
import base64, gzip, hashlib, io, os, subprocess, sys, tarfile
key, name, folder = sys.argv[1:]
def segment(files, ended=False):
    bytes = io.BytesIO()
    with tarfile.open(fileobj=bytes, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, text in files.items():
            row = tarfile.TarInfo(path)
            row.size, row.mode = len(text), 0o644
            tar.addfile(row, io.BytesIO(text))
        length = tar.offset
    return gzip.compress(bytes.getvalue()[:length] + b"\0" * (1024 * ended), mtime=0)
def signed(text):
    signature = subprocess.run(["openssl", "dgst", "-sha1", "-sign", key], input=text, stdout=subprocess.PIPE, check=True).stdout
    return segment({f".SIGN.RSA.{name}": signature}) + text
os.makedirs(folder)
index = ""
for package, needs in [("libgreeting", ""), ("greeting", "libgreeting")]:
    data = segment({f"usr/share/{package}": b"hello\n"}, ended=True)
    info = f"pkgname = {package}\npkgver = 1.0-r0\narch = x86_64\nsize = 6\nlicense = MIT\norigin = {package}\n"
    info += f"depend = {needs}\n" if needs else ""
    control = segment({".PKGINFO": (info + f"datahash = {hashlib.sha256(data).hexdigest()}\n").encode()})
    apk = signed(control) + data
    with open(f"{folder}/{package}-1.0-r0.apk", "wb") as file:
        file.write(apk)
    checksum = base64.b64encode(hashlib.sha1(control).digest()).decode()
    index += f"C:Q1{checksum}\nP:{package}\nV:1.0-r0\nA:x86_64\nS:{len(apk)}\n" + (f"D:{needs}\n" if needs else "") + "\n"
with open(f"{folder}/APKINDEX.tar.gz", "wb") as file:
    file.write(signed(segment({"DESCRIPTION": b"test", "APKINDEX": index.encode()}, ended=True)))
PY
cd "$workspace"

# --- locked, offline, and the same twice

images=()
for try in "${tries[@]}"; do
  images+=("$try")
  case $try in
  python3-debian) images+=(try-python) ;;
  python3-debian@trixie) images+=(try-python@trixie) ;;
  node20-debian) images+=(try-node) ;;
  esac
done
[ "${1-}" = --short ] || images+=(static-debian static-debian@bookworm cc-debian)
wanted=$(printf 'linux/%s,' "${platforms[@]}")
wanted=${wanted%,}
say "locking ${images[*]}"
"$imgpack" lock "${images[@]}" >/dev/null 2>"$dir/log" || { cat "$dir/log" >&2; fail "lock"; }
digests() { "$imgpack" build --quiet --locked --platform "$wanted" "$@" "${images[@]}" 2>"$dir/log" || { cat "$dir/log" >&2; fail "build $*"; }; }
first=$(digests)
[ "$(digests --offline)" = "$first" ] || fail "another digest from the cache"
[ "$(digests --offline --no-cache)" = "$first" ] || fail "another digest when everything is made again"
say "${#images[@]} images, twice the same bytes"

# --- the engine

mkdir "$dir/docker"
dockerd --host "$DOCKER_HOST" --bridge none --iptables=false --ip-forward=false --data-root "$dir/engine" --exec-root "$dir/run" \
  --pidfile "$dir/engine.pid" >"$dir/engine.log" 2>&1 </dev/null &
engine=$!
for _ in $(seq 300); do
  docker version >/dev/null 2>&1 && break
  kill -0 "$engine" 2>/dev/null || { tail -5 "$dir/engine.log" >&2; fail "dockerd does not start"; }
  sleep 0.1
done
docker version >/dev/null || fail "dockerd does not answer"

case " ${platforms[*]} " in *" arm64 "*)
  [ "$(uname -m)" = x86_64 ] || fail "arm64 is emulated on x86_64 only"
  if [ ! -e /proc/sys/fs/binfmt_misc/register ]; then
    mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    mounted=1
  fi
  if ! grep -qs '^enabled' /proc/sys/fs/binfmt_misc/qemu-aarch64; then
    # The emulator stays open (F), so that containers need not hold it.
    name=imgpack-aarch64-$$
    printf ':%s:M::%s:%s:%s:POF' "$name" \
      '\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00' \
      '\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff' \
      "$(command -v qemu-aarch64-static)" >/proc/sys/fs/binfmt_misc/register
    registered=$name
  fi
  ;;
esac

load() { # identity, architecture
  "$imgpack" build --quiet --locked --offline --platform "linux/$2" --tag "$2" --load "$1" >/dev/null 2>"$dir/log" || { cat "$dir/log" >&2; fail "load $1"; }
}
name() { local service=${1%@*}; echo "registry.example/bases/$service:$2"; }
# As little as there is: no capability, nothing to write but /tmp.
run() { docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges "$@"; }
answers() { # name, command: until it succeeds
  for _ in $(seq 600); do
    docker exec "$@" 2>/dev/null && return
    [ "$(docker inspect --format '{{.State.Running}}' "$1")" = true ] || break
    sleep 0.1
  done
  docker logs "$1" >&2
  fail "$1 does not answer"
}

load try-python amd64
docker run --detach --name tls --network none --read-only --volume "$dir/tls:/tls:ro" "$(name try-python amd64)" /app/serve.py >/dev/null
here=(--network container:tls)

for architecture in "${platforms[@]}"; do
  for try in "${tries[@]}"; do
    start=$SECONDS
    case $try in
    python3-debian*)
      own=try-python${try#python3-debian}
      load "$own" "$architecture"
      said=$(run "${here[@]}" "$(name "$own" "$architecture")") || fail "$try on $architecture"
      ;;
    node20-debian)
      load try-node "$architecture"
      said=$(run "${here[@]}" "$(name try-node "$architecture")") || fail "$try on $architecture"
      ;;
    nginx-debian)
      load "$try" "$architecture"
      run --detach --name nginx "${here[@]}" "$(name "$try" "$architecture")" >/dev/null
      # The Python of the first platform asks: it is no matter of it here.
      docker image inspect "$(name try-python amd64)" >/dev/null 2>&1 || load try-python amd64
      said=$(run "${here[@]}" "$(name try-python amd64)" /app/get.py http://localhost:8080/) || { docker logs nginx >&2; fail "$try on $architecture"; }
      case $said in "200 "*) ;; *) fail "$try on $architecture says $said" ;; esac
      docker stop nginx >/dev/null
      ;;
    redis-debian)
      load "$try" "$architecture"
      run --detach --name redis --network none "$(name "$try" "$architecture")" >/dev/null
      said=$(answers redis /usr/bin/redis-cli ping)
      [ "$said" = PONG ] || fail "$try on $architecture says $said"
      docker stop redis >/dev/null
      ;;
    postgres-debian)
      load "$try" "$architecture"
      docker volume create "data-$architecture" >/dev/null
      data=(--network none --volume "data-$architecture:/var/lib/postgresql/data")
      run "${data[@]}" --entrypoint initdb "$(name "$try" "$architecture")" --auth=trust >"$dir/log" 2>&1 || { cat "$dir/log" >&2; fail "initdb on $architecture"; }
      run --detach --name postgres "${data[@]}" --tmpfs /run/postgresql:uid=100,mode=0755 "$(name "$try" "$architecture")" >/dev/null
      said=$(answers postgres psql --no-psqlrc --tuples-only --no-align --dbname=postgres --command='select 1 || current_user')
      [ "$said" = 1postgres ] || fail "$try on $architecture says $said"
      docker stop postgres >/dev/null
      ;;
    esac
    say "$try on $architecture: $said ($((SECONDS - start)) s)"
  done
done

# --- what scanners find

# What syft finds in an image, against the lock of this image alone and, below its packages, what its base has.
scanned() { # image, the beginning of its rows in the lock, kind for syft, rows of the base
  local alone=$dir/alone layout=$dir/layout
  rm -rf "$alone" "$layout"
  cp -R "$workspace" "$alone"
  rm -f "$alone/imgpack.lock"
  (
    cd "$alone"
    "$imgpack" lock "$1" && "$imgpack" build --quiet --locked --offline --platform linux/amd64 --output "oci:$layout" "$1"
  ) >"$dir/log" 2>&1 || { cat "$dir/log" >&2; fail "$1 alone"; }
  SYFT_CHECK_FOR_APP_UPDATE=false syft scan "oci-dir:$layout" --quiet --output json >"$dir/syft.json" || fail "syft on $1"
  jq -r --arg kind "$3" '.artifacts[] | select(.type == $kind) | "\(.name)=\(.version)"' "$dir/syft.json" | sort >"$dir/found"
  awk -v of="^$2/" '$1 == "packages" && $2 ~ of && $3 == "install" { for (at = 4; at <= NF; at++) print $at }' \
    "$alone/imgpack.lock" >"$dir/locked"
  [ -s "$dir/locked" ] || fail "no packages in the lock of $1"
  sort -u "$dir/locked" "$4" -o "$dir/locked"
  diff "$dir/locked" "$dir/found" >&2 || fail "syft (>) and the lock (<) differ for $1"
  say "$1: syft finds the $(wc -l <"$dir/found") packages of the lock"
}

# Syft itself: some minutes, once.
syft_version=v1.20.0
if ! command -v syft >/dev/null && command -v go >/dev/null; then
  say "installing syft $syft_version"
  GOFLAGS='' GOBIN=$tools go install "github.com/anchore/syft/cmd/syft@$syft_version" >"$dir/log" 2>&1 || tail -3 "$dir/log" >&2
fi
if command -v syft >/dev/null; then
  for try in "${tries[@]}"; do
    # Its variants are locked with it, and are of another suite.
    suite=trixie
    [ "$try" = python3-debian ] && suite=bookworm
    scanned "$try" "debian/$suite/amd64" deb /dev/null
  done
  # Alpine: its root file system, and a package of a repository that is made here.
  if "$checkout/fixtures/bases.sh" >&2; then
    rootfs=$(ls "$checkout"/fixtures/bases/alpine-minirootfs-*-x86_64.tar.gz)
    # Without repositories of its own: none but this one is asked.
    mkdir "$dir/alpine"
    tar -xzpf "$rootfs" -C "$dir/alpine"
    : >"$dir/alpine/etc/apk/repositories"
    tar --numeric-owner -czf "$workspace/app/alpine.tar.gz" -C "$dir/alpine" .
    openssl genrsa -out "$dir/apk.key" 2048 2>/dev/null
    openssl rsa -in "$dir/apk.key" -pubout -out "$workspace/app/test.rsa.pub" 2>/dev/null
    python3 "$dir/repository.py" "$dir/apk.key" test.rsa.pub "$workspace/app/repo/x86_64"
    tar -xzOf "$rootfs" ./lib/apk/db/installed | awk -F: '$1 == "P" { name = $2 } $1 == "V" { print name "=" $2 }' >"$dir/base"
    scanned try-alpine apk/x86_64 apk "$dir/base"
  else
    say "SKIPPED: without Alpine's root file system its packages are not compared"
  fi
else
  say "SKIPPED: syft is not installed, so what scanners find is not compared"
fi

# --- sizes

"$imgpack" build --quiet --locked --offline --platform "$wanted" --format json "${images[@]}" 2>/dev/null | jq -r '
  def mb: (. / 100000 | round) as $n | "\($n / 10 | floor).\($n % 10)";
  "| base | platform | transfer MB | unpacked MB |", "|---|---|---:|---:|",
  (.images[] | select(.identity | startswith("try-") | not) |
    "| \(.identity) | \(.platform | ltrimstr("linux/")) | \(.transfer | mb) | \(.unpacked | mb) |")'
