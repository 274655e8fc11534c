#!/usr/bin/env bash
# Boots a real systemd as PID 1 of namespaces of its own, from a root file system that is made once and kept.
# Prints the process ID of that systemd, and ends it when standard input ends. Needs root. Leaves nothing behind.
# usage: host.sh FILES [PACKAGE,...]
#   FILES    a tree that is copied over the root file system
#   PACKAGE  packages of Debian that are there as well
# env: NSPAWN_ARGUMENTS    more for systemd-nspawn
set -euo pipefail
files=$1 packages=${2:-}
lower=${XDG_CACHE_HOME:-$HOME/.cache}/image-config-agent/systemd-rootfs-2${packages:++${packages//,/+}}
name=ica-$$

build_rootfs() {
    mkdir -p "${lower%/*}"
    mmdebstrap --quiet --variant=minbase --include="systemd,dbus,procps,rpm${packages:+,$packages}" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        bookworm "$lower.$$" >&2
    mv -T "$lower.$$" "$lower" 2>/dev/null || rm -rf "$lower.$$" # another run was faster
}
[ -d "$lower" ] || build_rootfs

scratch=$(mktemp -d /tmp/ica.XXXX)
chmod 755 "$scratch"
mkdir "$scratch/overlay"
outer=

# The host may have mounted other control groups than those that systemd needs.
cgroups='umount -Rl /sys/fs/cgroup 2>/dev/null || :; mount -t cgroup2 cgroup2 /sys/fs/cgroup; cd /'

cleanup() {
    set +e
    [ -z "$outer" ] || { kill -KILL "$outer" && wait "$outer"; } 2>/dev/null
    unshare -m sh -c "$cgroups"'
        for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            find /sys/fs/cgroup/'"$name"' -depth -type d -exec rmdir {} + 2>/dev/null
            [ -e /sys/fs/cgroup/'"$name"' ] || exit 0
            sleep 0.1
        done'
    rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

export lower scratch files name
setpriv --pdeathsig KILL unshare -m -p --fork --kill-child --mount-proc --propagation private sh -ec "$cgroups"'
    mkdir "/sys/fs/cgroup/$name"
    echo 0 >"/sys/fs/cgroup/$name/cgroup.procs"
    mkdir -p /run/systemd
    mount -t tmpfs tmpfs /run/systemd
    mount -t tmpfs tmpfs "$scratch/overlay"
    root=$scratch/overlay/root
    mkdir "$scratch/overlay/upper" "$scratch/overlay/work" "$root"
    mount -t overlay overlay -o "lowerdir=$lower,upperdir=$scratch/overlay/upper,workdir=$scratch/overlay/work" "$root"
    cp -a "$files/." "$root/"
    exec systemd-nspawn -q -D "$root" --boot --register=no --keep-unit --machine="$name" \
        --console=read-only --private-network --link-journal=no ${NSPAWN_ARGUMENTS:-}' </dev/null >"$scratch/console.log" 2>&1 &
outer=$!

# unshare > systemd-nspawn > systemd
for ((try = 0; try < 600; try++)); do
    nspawn=$(pgrep -P "$outer" || :)
    init=$([ -z "$nspawn" ] || pgrep -x systemd -P "$nspawn" || :)
    if [ -n "$init" ]; then
        case $(nsenter -t "$init" -a systemctl is-system-running 2>/dev/null || :) in
            running | degraded) break ;;
        esac
    fi
    kill -0 "$outer" 2>/dev/null || break
    sleep 0.05
done
if [ -z "${init:-}" ] || ! kill -0 "$outer" 2>/dev/null; then
    cat "$scratch/console.log" >&2
    exit 1
fi
echo "$init"
cat >/dev/null
