#!/bin/sh
# Becomes one container's process: in a root of its own that holds nothing but this machine's /usr
# (with the image's programs as /usr/bin), /proc, /dev and the volumes. Called in a fresh mount
# namespace:  pod.sh ROOT BIN ETC MOUNTS -- PROGRAM [ARGUMENT]...
# MOUNTS has lines "ro|rw SOURCE TARGET". The root is read-only and the user is 10001.
set -eu
root=$1 bin=$2 etc=$3 mounts=$4
shift 5
mount -t tmpfs -o mode=0755 root "$root"
cd "$root"
mkdir usr proc dev etc host old
mount --rbind /usr usr
mount --rbind /usr/bin host
mount --bind "$bin" usr/bin
for folder in usr usr/bin host; do mount -o remount,bind,ro $folder; done
mount --rbind /proc proc
mount --rbind /dev dev
for name in bin lib lib64 sbin; do ln -s "usr/$name" "$name"; done
mkdir names
mount --bind "$etc" names
for name in hosts passwd group resolv.conf nsswitch.conf; do
  ln -s "../names/$name" "etc/$name"
done
while read -r mode source target; do
  mkdir -p ".$target"
  mount --bind "$source" ".$target"
  if [ "$mode" = ro ]; then mount -o remount,bind,ro ".$target"; fi
done <"$mounts"
mount -o remount,ro "$root"
pivot_root . old
cd /
/host/umount -l /old
exec /host/unshare --user --map-user=10001 --map-group=10001 -- "$@"
