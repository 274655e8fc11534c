#!/usr/bin/env bash
# Runs containerd and a kubelet in mount and process namespaces of their own, and ends them when standard input ends. Needs
# root. usage: kubelet.sh NODE    (in a directory with containerd.toml, kubelet.yaml and kubeconfig; both programs on PATH)
set -euo pipefail
node=$1 dir=$PWD
name=ica-${dir##*/}
outer=

cleanup() {
    set +e
    [ -z "$outer" ] || { kill -KILL "$outer" && wait "$outer"; } 2>/dev/null
    local group try
    for group in /sys/fs/cgroup/"$name" /sys/fs/cgroup/*/"$name"; do
        for try in 1 2 3 4 5 6 7 8 9 10; do
            [ -d "$group" ] || break
            find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
            sleep 0.1
        done
    done
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# The kubelet wants its control group in each hierarchy that there is.
for group in /sys/fs/cgroup/*/; do
    [ ! -f "$group/cgroup.procs" ] || mkdir -p "$group/$name"
done

setpriv --pdeathsig KILL unshare -m -p --fork --kill-child --mount-proc --propagation private bash -ec '
    # Pods mount what the host shares.
    mount --make-rshared /
    # Where the kubelet leaves links.
    mount -t tmpfs tmpfs /var/log
    containerd -c containerd.toml --address "$1/containerd.sock" >containerd.log 2>&1 &
    until [ -S "$1/containerd.sock" ]; do sleep 0.1; done
    exec kubelet --config kubelet.yaml --kubeconfig kubeconfig --root-dir "$1/kubelet" \
        --cert-dir "$1/kubelet/pki" --hostname-override "$2"' - "$dir" "$node" </dev/null >kubelet.log 2>&1 &
outer=$!
cat >/dev/null
