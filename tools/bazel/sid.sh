# shellcheck shell=bash
# Sourced: an apt that looks at Debian sid with state of its own. It needs no rights and the system's
# own apt never sees it. The mirror is that of this machine's configuration; none is written here.

sid_mirror() {
  # Only the Debian archive itself; security and other archives carry no sid.
  local mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI)|$(ORIGIN)|$(LABEL)' 2>/dev/null |
    awk -F'|' '$2 == "Debian" && $3 == "Debian" { print $1; exit }')
  # Where no index was read yet, apt knows no origins: then by the archive's usual path.
  if [ -z "$mirror" ]; then
    mirror=$(apt-get --print-uris update 2>/dev/null | sed -n "s|^'\(.*/debian/*\)/dists/[^ ]*' .*|\1|p" | head -n 1)
  fi
  printf '%s\n' "$mirror"
}

# sid_configure STATE_DIR DEBS_DIR [SUITE]: then APT_CONFIG=STATE_DIR/apt.conf apt-get ... works on sid, or
# on another suite of the same archive.
sid_configure() {
  local apt=$1 debs=$2 suite=${3:-sid} mirror kind
  mirror=$(sid_mirror)
  if [ -z "$mirror" ]; then
    echo "no Debian archive in this machine's apt configuration, or 'apt-get update' never ran" >&2
    return 1
  fi
  mkdir -p "$apt/lists/partial" "$apt/etc/parts" "$debs/partial"
  : >"$apt/status"
  for kind in deb deb-src; do
    echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
  done >"$apt/etc/sources.list"
  cat >"$apt/apt.conf" <<END
Dir::State "$apt";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Dir::Cache::archives "$debs";
Dir::Etc::sourcelist "$apt/etc/sources.list";
Dir::Etc::sourceparts "$apt/etc/parts";
Dir::Etc::preferences "$apt/etc/none";
Dir::Etc::preferencesparts "$apt/etc/parts";
Dir::Etc::trusted "$apt/etc/none";
Dir::Etc::trustedparts "$apt/etc/parts";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
APT::Sandbox::User "";
APT::Install-Recommends "false";
END
}

# sid_update STATE_DIR: without the network, what was read before serves.
sid_update() {
  APT_CONFIG="$1/apt.conf" apt-get -q update >"$1/log" 2>&1 ||
    echo "the index of sid cannot be read anew ($1/log says why): trying what is here already" >&2
}
