#!/usr/bin/env bash
# The proof of a fresh machine: a bare Debian 12 (mmdebstrap minbase) that never saw the project, a clone
# of this repository's HEAD in it, `./quickstart` twice, then `./quickstart --undo`. Needs root (or sudo), the
# network for apt, 6 GB in DIR and 10 to 20 minutes; that is why ctest does not run it.
#   test/fresh/quickstart.sh [--user] [--dir DIR]
# --user   as an ordinary user who has sudo, instead of as root
# --dir    where the root and its log go; default: a new folder below TMPDIR, removed after a success. A root that
#          is there from a run that failed is gone on with, at the repository's new HEAD: quicker, and no proof
# The new root is entered by pivot_root in namespaces of its own: in a chroot the kernel refuses user
# namespaces (user_namespaces(7)), which the sandboxes need. Its mirror is that of this machine's apt.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
user=root dir=
arguments=("$@")
while [ $# -gt 0 ]; do
  case $1 in
    --user) user=newcomer; shift ;;
    --dir) dir=$2; shift 2 ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
done
if [ "$(id -u)" != 0 ]; then exec sudo "$0" "${arguments[@]}"; fi
command -v mmdebstrap >/dev/null || "$repository/tools/install-packages" fresh

temporary=
if [ -z "$dir" ]; then dir=$(mktemp -d) && temporary=1; fi
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
bare=$dir/root
step() { printf '\n== %s\n' "$*"; }

make_root() {
  local sources include=git,ca-certificates
  if [ $user != root ]; then include+=,sudo; fi
  mapfile -t sources < <(grep -lsE '\bbookworm\b' /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list)
  mmdebstrap --quiet --variant=minbase --include=$include bookworm "$bare" "${sources[@]}"
  if [ $user != root ]; then
    chroot "$bare" useradd --create-home --shell /bin/bash $user
    echo "$user ALL=(ALL) NOPASSWD: ALL" >"$bare/etc/sudoers.d/$user"
  fi
  echo "127.0.0.1 localhost $(uname -n)" >"$bare/etc/hosts"
  cp --remove-destination -L /etc/resolv.conf "$bare/etc/resolv.conf"
  # Certificates that this machine trusts beyond Debian's.
  cp -L /etc/ssl/certs/ca-certificates.crt "$bare/etc/ssl/certs/ca-certificates.crt"
}

step "a bare Debian 12 in $bare"
if [ ! -e "$bare/etc/resolv.conf" ]; then make_root; fi
home=$(chroot "$bare" getent passwd $user | cut -d: -f6)
if [ -e "$bare$home/lre" ]; then
  echo "gone on with: this run proves nothing about a fresh machine"
  git -c safe.directory='*' -C "$bare$home/lre" pull -q "$repository" HEAD
else
  git clone -q --no-hardlinks "$repository" "$bare$home/lre"
fi
chroot "$bare" chown -R $user: "$home/lre"

cat >"$bare/quickstart-twice" <<'END'
set -e
cd ~/lre
time_it() { local start=$SECONDS; "$@"; echo ">> $* took $((SECONDS - start)) s"; }
time_it ./quickstart
test -z "$(git status --porcelain)" || { echo "the quickstart left the tree changed:"; git status --short; exit 1; }
time_it ./quickstart
./quickstart --undo
test -z "$(git status --porcelain --ignored)" || { echo "--undo left:"; git status --short --ignored; exit 1; }
test ! -e /lre/store || { echo "--undo left:" /lre/store/*; exit 1; }
END

# inside COMMAND...: with the new root as `/`, in mount, process and hostname namespaces of its own.
# shellcheck disable=SC2016  # expanded inside
inside() {
  env -i "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" TERM=dumb \
    unshare --mount --pid --uts --ipc --fork --propagation private sh -ec '
      bare=$1; shift
      mount --bind "$bare" "$bare"
      mount -t proc proc "$bare/proc"
      mount --rbind /dev "$bare/dev"
      mount --rbind /sys "$bare/sys"
      mkdir -p "$bare/.outside"
      cd "$bare"
      pivot_root . .outside
      umount -l .outside
      rmdir .outside
      exec "$@"' sh "$bare" "$@"
}

step "./quickstart as $user"
inside su - $user -c 'bash /quickstart-twice' 2>&1 | tee "$dir/quickstart.log"

step "passed: $(grep -c 'took' "$dir/quickstart.log") runs"
grep -E '^>> |remote cache hit|[0-9] remote|sandbox ' "$dir/quickstart.log"
if [ -n "$temporary" ]; then rm -rf "$dir"; fi
