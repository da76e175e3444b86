#!/usr/bin/env bash
# What a build costs in which nothing changed: imgpack beside a bare walk with stat of the same tree.
#   benches/unchanged.sh [imgpack] [rounds]
# Makes its workspaces below $TMPDIR, prints the median and the fastest of the rounds in milliseconds, and the ratio of
# the fastest. Needs python3; measure on a quiet machine.
set -euo pipefail
imgpack=$(realpath "${1:-target/release/imgpack}")
rounds=${2:-15}
work=$(mktemp -d "${TMPDIR:-/tmp}/imgpack-unchanged.XXXXXX")
trap 'rm -rf "$work"' EXIT
export IMGPACK_CACHE=$work/cache

python3 - "$work" <<'PY'
import os, random, sys
work = sys.argv[1]
chance = random.Random(1)
def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
head = "apiVersion: imgpack/v1\nregistry: registry.example/acme\n"
# 11,000 files in some 1,500 directories, as Python packages lie.
tree = f"{work}/tree"
write(f"{tree}/imgpack.yaml", head)
write(f"{tree}/buildspecs/big.yaml", "base: static\nplatforms: [linux/amd64]\nfiles: { /app: ../site }\n")
for number in range(11000):
    above = "/".join(f"sub{chance.randrange(3)}" for _ in range(chance.randrange(3)))
    size = int(min(200000, chance.lognormvariate(8, 1.4)))
    write(f"{tree}/site/pkg{chance.randrange(120)}/{above}/m{number}.py", f"# {number}\n" + "x = 1\n" * (size // 6))
services = f"{work}/services"
write(f"{services}/imgpack.yaml", head)
for number in range(1000):
    write(f"{services}/buildspecs/s{number}.yaml", f"base: static\nplatforms: [linux/amd64]\nfiles: {{ /app: ../svc/s{number} }}\n")
    for file in range(5):
        write(f"{services}/svc/s{number}/f{file}.txt", f"{number} {file}\n")
PY
if command -v go >/dev/null; then
  mkdir -p "$work/go/buildspecs"
  printf 'module example.com/a\n\ngo 1.21\n' >"$work/go/go.mod"
  printf 'package main\n\nfunc main() { println("hi") }\n' >"$work/go/main.go"
  printf 'apiVersion: imgpack/v1\nregistry: registry.example/acme\n' >"$work/go/imgpack.yaml"
  printf 'source: ..\nbuild: { go: { package: ., to: /app/a } }\n' >"$work/go/buildspecs/a.yaml"
fi
for workspace in tree services go; do
  [ -d "$work/$workspace" ] || continue
  (cd "$work/$workspace" && "$imgpack" build -q >/dev/null)
done
sleep 3 # a digest is believed of files at rest
for workspace in tree services go; do
  [ -d "$work/$workspace" ] || continue
  (cd "$work/$workspace" && "$imgpack" build -q >/dev/null)
done

python3 - "$work" "$imgpack" "$rounds" <<'PY'
import os, statistics, subprocess, sys, time
work, imgpack, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
def timed(folder, command):
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
        times.append((time.perf_counter() - begin) * 1000)
    return statistics.median(times), min(times)
# GNU find with a size test looks at every file; one thread, so the floor of two threads is a little over half of it.
floor = timed(f"{work}/tree", ["find", "site", "-type", "f", "-size", "+1000G"])
print(f"walk with stat, one thread     {floor[0]:8.1f} {floor[1]:8.1f}")
for name, folder in [("11,000 files", "tree"), ("1,000 services", "services"), ("one Go service", "go")]:
    if os.path.isdir(f"{work}/{folder}"):
        middle, best = timed(f"{work}/{folder}", [imgpack, "build", "-q"])
        print(f"{name:30} {middle:8.1f} {best:8.1f}   {best / floor[1]:.2f} walks")
PY
