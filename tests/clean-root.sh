#!/bin/sh
# clean-root.sh - proof of the README's promise: in a minimal Debian system with only
# git, make and gcc added, a fresh clone needs nothing but `make demo` and `make test`,
# as root and as another user.
#
#     sh tests/clean-root.sh [FOLDER]      (as root; needs debootstrap and about 1 GB)
#
# Each user gets a root of its own, so that what one run installs does not help the
# other. Mirror and release are those of this machine's apt. FOLDER (default
# build/clean-root) keeps the logs. TARGETS="demo" tries only that.
set -u
cd "$(dirname "$0")/.." || exit 1

folder=${1:-build/clean-root}
[ "$(id -u)" = 0 ] || { echo "clean-root: needs root" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "clean-root: install debootstrap" >&2; exit 1; }
mkdir -p "$folder" || exit 1
folder=$(cd "$folder" && pwd)

# The first binary package source: its release and mirror.
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
    awk -v release="$release" '$2 == release { print $1; exit }')
[ -n "$mirror" ] || { echo "clean-root: apt names no mirror of $release" >&2; exit 1; }

# in_root COMMAND... - runs in the root with the network settings of this machine
in_root() {
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8 "$@"
}

leave() {
    for mount in dev proc; do umount "$root/$mount" 2>/dev/null; done
}

make_root() {
    root=$folder/$1
    [ ! -d "$root" ] || { leave; rm -rf "$root"; }
    debootstrap --variant=minbase --include=git,make,gcc,libc6-dev,ca-certificates \
        "$release" "$root" "$mirror" >"$folder/debootstrap.log" 2>&1 ||
        { tail "$folder/debootstrap.log"; exit 1; }
    # the apt settings of this machine, as its mirror may need them
    cp -a /etc/apt/. "$root/etc/apt/"
    cp -aL /usr/share/keyrings/. "$root/usr/share/keyrings/" 2>/dev/null
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null
    if [ -d /usr/local/share/ca-certificates ]; then
        cp -a /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
        in_root update-ca-certificates >/dev/null 2>&1
    fi
    mount -t proc proc "$root/proc" && mount --bind /dev "$root/dev" || exit 1
    trap leave EXIT
    git clone -q --no-hardlinks . "$root/tmp/memmgr" || exit 1
    in_root useradd -m tester || exit 1
}

# trial USER - the two commands; nothing before them
trial() {
    make_root "$1"
    in_root chown -R "$1" /tmp/memmgr
    for target in ${TARGETS:-demo test}; do
        echo "== as $1: make $target"
        in_root su "$1" -s /bin/sh -c "cd /tmp/memmgr && make $target" \
            >"$folder/$1-$target.log" 2>&1
        status=$?
        tail -n 4 "$folder/$1-$target.log" | sed 's/^/   /'
        if [ $status != 0 ]; then
            echo "clean-root: make $target failed as $1: $folder/$1-$target.log" >&2
            failed=1
        fi
    done
    leave
    rm -rf "$root"
}

failed=0
trial root
trial tester
[ $failed = 0 ] || exit 1
echo "clean-root: ${TARGETS:-demo test} in a clean $release: fine as root and as another user"
