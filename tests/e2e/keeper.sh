# Runs a registry and a container engine in $1 until its standard input ends, which is when the process that started
# it is gone, however it went; then takes away everything it brought. $2 is the group that may use the engine.
set -u
dir=$1 group=$2
export DOCKER_HOST="unix://$dir/engine.sock"
PATH=$PATH:/usr/sbin:/sbin

docker-registry serve "$dir/registry.yml" >"$dir/registry.log" 2>&1 </dev/null &
registry=$!

# Chains that another engine of this machine made are its own; chains that were not there go again.
filter=--iptables=false clean=
if iptables -n -L >/dev/null 2>&1; then
  filter=--iptables=true
  iptables -n -L DOCKER-USER >/dev/null 2>&1 || clean=1
fi
dockerd --host "$DOCKER_HOST" --group "$group" --storage-driver vfs --bridge none --ip-forward=false $filter \
  --containerd-namespace imgpack-e2e --containerd-plugins-namespace imgpack-e2e-plugins \
  --data-root "$dir/engine" --exec-root "$dir/run" --pidfile "$dir/engine.pid" >"$dir/engine.log" 2>&1 </dev/null &
engine=$!

cat >/dev/null

docker ps --all --quiet | xargs -r docker rm --force >/dev/null 2>&1
docker network prune --force >/dev/null 2>&1
kill "$engine" "$registry" 2>/dev/null
wait
if [ -n "$clean" ]; then
  for chain in DOCKER-USER DOCKER-ISOLATION-STAGE-1; do iptables -D FORWARD -j $chain; done
  for chain in DOCKER-USER DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2 DOCKER; do
    iptables -F $chain
    iptables -X $chain
  done
  iptables -t nat -S | grep -e '-j DOCKER$' | sed 's/^-A/-D/' | while read -r rule; do iptables -t nat $rule; done
  iptables -t nat -F DOCKER
  iptables -t nat -X DOCKER
fi >/dev/null 2>&1
cut -d' ' -f5 /proc/self/mountinfo | grep "^$dir/" | sort -r | xargs -r umount --lazy
rm -rf "$dir"
