# Runs a registry and a container engine in $1 until its standard input ends, which is when the process that started
# it is gone, however it went; then takes away everything it brought. $2 is the group that may use the engine, $3 the
# beginning of the names of its networks' bridges.
set -u
dir=$1 group=$2 bridges=$3
export DOCKER_HOST="unix://$dir/engine.sock"
PATH=$PATH:/usr/sbin:/sbin

docker-registry serve "$dir/registry.yml" >"$dir/registry.log" 2>&1 </dev/null &
registry=$!

# The engine keeps its hands off the machine's packet filter: its chains would be shared with every other engine here.
# Where such a one drops what is forwarded, one rule lets containers of this run reach each other.
rule="FORWARD --in-interface $bridges+ --out-interface $bridges+ --jump ACCEPT"
iptables --wait --insert $rule 2>/dev/null
dockerd --host "$DOCKER_HOST" --group "$group" --bridge none --iptables=false --ip-forward=false \
  --containerd-namespace imgpack-e2e --containerd-plugins-namespace imgpack-e2e-plugins \
  --data-root "$dir/engine" --exec-root "$dir/run" --pidfile "$dir/engine.pid" >"$dir/engine.log" 2>&1 </dev/null &
engine=$!

cat >/dev/null

# A build that outlives the tests would write on into what is taken away.
for process in /proc/[0-9]*; do
  case "$(readlink "$process/cwd")/" in "$dir"/*) kill "${process#/proc/}" ;; esac
done 2>/dev/null
docker ps --all --quiet | xargs -r docker rm --force >/dev/null 2>&1
docker network prune --force >/dev/null 2>&1
kill "$engine" "$registry" 2>/dev/null
wait
iptables --wait --delete $rule 2>/dev/null
cut -d' ' -f5 /proc/self/mountinfo | grep "^$dir/" | sort -r | xargs -r umount --lazy
rm -rf "$dir"
