#!/usr/bin/env bash
# Without root: an ordinary user, whose store is ~/.lre/store in a user namespace, makes the toolchain, builds
# remotely, then here from the cache; while a Bazel server of the same project runs outside. `lre doctor` names it.
[ "$(id -u)" = 0 ] || { echo "skipped: this test becomes another user: run it as root" >&2; exit 77; }
# With mounts of its own: the Bazel of these tests may lie where only root looks.
[ -n "${LRE_E2E_MOUNTS:-}" ] || LRE_E2E_MOUNTS=own exec unshare --mount --propagation private "$0" "$@"
. "$(dirname "$0")/session.sh"
# A place that another user may enter, on the way to which all may.
home=$(mktemp -d /tmp/lre-user-XXXXXX)
user=65533 # nobody's own
as_user=(setpriv "--reuid=$user" "--regid=$user" --clear-groups env -i "HOME=$home" "USER=lre-user" "PATH=$PATH" LANG=C.UTF-8)
if [ -n "${http_proxy:-}" ]; then as_user+=("http_proxy=$http_proxy"); fi
user_end() {
  "${outside[@]}" shutdown >/dev/null 2>&1 || true
  if [ -n "$up_pid" ]; then kill -TERM "$up_pid" 2>/dev/null || true; wait "$up_pid" 2>/dev/null || true; fi
  "${as_user[@]}" "$home/lre" run bazel shutdown >/dev/null 2>&1 || true
  umount "$home/provided" 2>/dev/null || true
  if ! mountpoint -q "$home/provided"; then
    chmod -R u+rwX "$home" 2>/dev/null || true
    rm -rf "$home"
  fi
}
up_pid='' outside=(true)
trap user_end EXIT

chmod 755 "$home"
cp "$lre" "$home/lre"
project=$home/project
mkdir -p "$project" "$home/.cache/lre" "$home/bin"
cp -R "$root"/{lre.toml,lre.lock,lre.bazelrc,MODULE.bazel,.bazelrc,.bazelignore,local-remote-execution} "$project/"
# What was downloaded once need not be again, by whichever user.
cp -R "${XDG_CACHE_HOME:-$HOME/.cache}/lre/packages" "$home/.cache/lre/" 2>/dev/null || true
# The Bazel of these tests, under its usual name.
if [ -n "$bazel_rc" ]; then
  provided=$(dirname "$bazel_rc")
  mkdir "$home/provided"
  mount --bind "$provided" "$home/provided"
  { printf 'startup %s\n' "${farm_startup[@]}"; sed "s|$provided/|$home/provided/|" "$bazel_rc"; } >"$home/bin/bazelrc"
  printf '#!/bin/sh\nexec "%s" --nohome_rc --bazelrc="%s" "$@"\n' "$home/provided${bazel#"$provided"}" "$home/bin/bazelrc" >"$home/bin/bazel"
else
  ln -s "$bazel" "$home/bin/bazel"
fi
chmod 755 "$home/bin/bazel"
chown "$user:$user" "$home"
for each in "$home"/* "$home"/.[!.]*; do [ "$each" = "$home/provided" ] || chown -R "$user:$user" "$each"; done
as_user+=("PATH=$home/bin:$PATH")
cd "$project" || exit

inside() { "${as_user[@]}" "$home/lre" run "$@"; }
"${as_user[@]}" test -w /lre/store && fail "/lre/store is writable for user $user: nothing to show"
inside -- "$home/lre" sync lre-cc || fail "lre sync in the namespace"
[ -n "$(ls "$home/.lre/store")" ] || fail "nothing in ~/.lre/store"

# A server outside, of the same project.
outside=("${as_user[@]}" "$home/bin/bazel")
"${outside[@]}" info server_pid >"$home/outside_pid" 2>/dev/null || fail "no server outside"
if inside "$home/lre" doctor >"$home/doctor"; then fail "lre doctor sees no server outside"; fi
grep "process $(cat "$home/outside_pid") " "$home/doctor" || { cat "$home/doctor"; fail "lre doctor names another"; }
grep -A1 'bazel server' "$home/doctor" | grep >/dev/null 'shutdown' || fail "lre doctor does not say what to do"

# Not by inside: the process to end is this one, not a shell that waits for it.
"${as_user[@]}" "$home/lre" run "$home/lre" up --data-dir "$home/data" --listen 127.0.0.1:0,127.0.0.1:0 >"$home/up.log" 2>&1 &
up_pid=$!
for _ in $(seq 300); do grep -q remote_executor= "$home/up.log" && break; sleep 0.1; done
flag() { grep -o -m1 -e "--remote_$1=[^ ]*" "$home/up.log" | head -n 1; }
build() {
  farm_log=$home/bazel.log
  inside bazel build --lockfile_mode=off --color=no --curses=no --remote_instance_name=main "$@" \
    @local-remote-execution//examples:hello_lre >"$farm_log" 2>&1 || { cat "$farm_log" "$home/up.log" >&2; fail "build"; }
}
build "$(flag cache)" "$(flag executor)"
expect_spawns "remote" "2 remote"
inside bazel clean >/dev/null 2>&1
build "$(flag cache)" --remote_download_outputs=all
expect_spawns "clean, local" "2 remote cache hit"
inside bazel-bin/external/local-remote-execution*/examples/hello_lre
[ "$(inside bazel info server_pid 2>/dev/null)" != "$(cat "$home/outside_pid")" ] || fail "the server outside was used"

# A shell has the toolchain's programs before the machine's, and the wrapper of Bazel before all.
mapfile -t said < <("${as_user[@]}" SHELL=/bin/sh "$home/lre" shell <<<'command -v bazel; command -v gcc; echo "$CC"; touch /lre/store/.lre/written && echo yes')
if [ "${said[0]}" != "$home/.lre/bin/bazel" ] || [[ "${said[1]}" != /lre/store/*-gcc/usr/bin/gcc ]] ||
  [[ "${said[2]}" != /lre/store/*-gcc/usr/bin/* ]] || [ "${said[3]}" != yes ]; then
  fail "in the shell: ${said[*]}"
fi

# The other way, with root, once: /lre made for a user. In a /lre of its own, so that this machine's stays.
"${as_user[@]}" "$home/lre" setup 2>"$home/setup" && fail "lre setup without root"
grep -q 'sudo lre setup' "$home/setup" || fail "lre setup says $(cat "$home/setup")"
# shellcheck disable=SC2016  # expanded by the inner shell
owner=$(unshare --mount bash -c 'mount -t tmpfs none /lre && SUDO_UID=$2 SUDO_GID=$2 "$1" setup >/dev/null && stat -c %u /lre/store' setup "$lre" "$user")
[ "$owner" = "$user" ] || fail "/lre/store belongs to '$owner'"
