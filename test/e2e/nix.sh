# shellcheck shell=bash
# Sourced by the end-to-end tests that need a Nix closure: Nix itself builds one, in a /nix of its own.
# shellcheck disable=SC2034 # set for the callers

# make_nix_closure DIR: a program and the words it prints, two store paths, in the binary cache DIR/cache, signed with
# the key whose public half is DIR/key.public, and as trees below DIR/trees. Sets nix_program and nix_words, the
# store paths. Callers run as root.
make_nix_closure() {
  command -v nix-build >/dev/null || { echo "nix is not installed: tools/install-packages test" >&2; exit 1; }
  mkdir -p "$1/nix" /nix
  cat >"$1/words.nix" <<'NIX'
let
  make = name: script: derivation {
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" "export PATH=/usr/bin:/bin; ${script}" ];
  };
  words = make "words" "mkdir -p $out/share $out/empty; echo from nix > $out/share/words";
in make "say-words" ''
  mkdir -p $out/bin
  printf '#!/bin/sh\nwhile read -r line; do echo "$line"; done <${words}/share/words\n' >$out/bin/say-words
  chmod +x $out/bin/say-words
  ln -s say-words $out/bin/say
''
NIX
  # shellcheck disable=SC2016 # expanded by the inner shell
  unshare --mount --propagation private bash -euc '
    dir=$1
    mount --bind "$dir/nix" /nix
    export HOME=$dir NIX_CONFIG="sandbox = false
build-users-group =
substituters =
experimental-features = nix-command"
    nix-store --generate-binary-cache-key test-1 "$dir/key.secret" "$dir/key.public"
    program=$(nix-build --no-out-link "$dir/words.nix")
    nix copy --to "file://$dir/cache?secret-key=$dir/key.secret&compression=${2:-xz}" "$program"
    echo "$program" >"$dir/program"
    nix-store --query --references "$program" | grep words >"$dir/words"
    for path in $(nix-store --query --requisites "$program"); do
      nix-store --query --hash "$path"
    done | sort >"$dir/hashes"
    mkdir -p "$dir/trees/nix/store"
    cp -a $(nix-store --query --requisites "$program") "$dir/trees/nix/store/"
  ' nix "$@" >"$1/nix.log" 2>&1 || { cat "$1/nix.log" >&2; exit 1; }
  rmdir /nix 2>/dev/null || true
  nix_program=$(cat "$1/program") nix_words=$(cat "$1/words")
}

# in_empty_stores DIR COMMAND...: runs it where /lre/store and /nix/store are folders below DIR.
in_empty_stores() {
  local dir=$1
  shift
  mkdir -p "$dir/lre" "$dir/nix" /nix/store
  # shellcheck disable=SC2016 # expanded by the inner shell
  unshare --mount --propagation private bash -c '
    mount --bind "$1/lre" /lre/store && mount --bind "$1/nix" /nix/store || exit
    shift
    exec "$@"' stores "$dir" "$@"
}
