#include "toolchain/nix/nar_info.h"
#include "toolchain/nix/store_name.h"
#include "toolchain/oci/image.h"
#include "toolchain/spec/spec.h"
#include "toolchain/spec/toml_reader.h"

namespace lre::toolchain {
namespace {

// `key` says where an extra comes from.
Status CheckFrom(std::string_view key, const Extra& extra, const TomlTable& table) {
  if (IsBelow(extra.from)) return {};
  if (extra.kind != ExtraKind::kOci)
    return IsUrl(extra.from)
               ? Status()
               : table.ErrorAt(key,
                               "neither a path below this folder nor a http, https or file URL");
  const Result<std::string> digest = ImageReferenceSha256(extra.from);
  return digest ? Status() : table.ErrorAt(key, digest.error().message());
}

// The keys of a kNix; what `nix` says is in extra->from, and moves.
Status ParseNix(TomlTable& table, Extra* extra) {
  extra->store_path = extra->from;
  if (!IsNixPath(extra->store_path)) return table.ErrorAt("nix", "not /nix/store/<hash>-<name>");
  TRY_ASSIGN(extra->from, table.String("from"));
  TRY_ASSIGN(extra->keys, table.Strings("keys"));
  for (const std::string& key : extra->keys)
    if (Status status = CheckNixKey(key); !status.ok())
      return table.ErrorAt("keys", status.message());
  const bool remote = extra->from.starts_with("http:") || extra->from.starts_with("https:");
  if (remote && extra->keys.empty())
    return table.ErrorAt("keys", "what comes over the network must be signed: say whose key");
  return {};
}

}  // namespace

bool IsUrl(std::string_view from) {
  return from.starts_with("http://") || from.starts_with("https://") || from.starts_with("file://");
}

std::string_view ExtraKindName(ExtraKind kind) {
  switch (kind) {
    case ExtraKind::kDeb:
      return "deb";
    case ExtraKind::kTar:
      return "tar";
    case ExtraKind::kFile:
      return "file";
    case ExtraKind::kPatch:
      return "patch";
    case ExtraKind::kOci:
      return "oci";
    case ExtraKind::kNix:
      return "nix";
  }
  return "";
}

Status ParsePlace(TomlTable& table, Extra* extra) {
  TRY_ASSIGN(extra->into, table.StringOr("into", ""));
  if (extra->into.empty() ? extra->kind == ExtraKind::kFile : !IsBelow(extra->into)) {
    return table.ErrorAt("into", "a path in the tree, as \"usr/share/x\"");
  }
  if (table.Has("strip")) {
    TRY_ASSIGN(const int64_t strip, table.Integer("strip"));
    if (strip < 0 || strip > kStripMax) {
      return table.ErrorAt("strip", fmt::format("0 to {}", kStripMax));
    }
    extra->strip = static_cast<int>(strip);
  }
  TRY_ASSIGN(extra->executable, table.BoolOr("executable", false));
  if (extra->kind == ExtraKind::kOci) {
    TRY_ASSIGN(extra->include, table.Strings("include"));
  }
  return {};
}

Result<Extra> ParseExtra(const std::string& name, TomlTable& table) {
  if (!IsRoleName(name)) return std::unexpected(table.ErrorAt("", "not a name: [a-z0-9.-]"));
  Extra extra{.name = name};
  for (const ExtraKind kind : kExtraKinds) {
    const std::string_view key = ExtraKindName(kind);
    if (!table.Has(key)) continue;
    if (!extra.from.empty()) {
      return std::unexpected(table.ErrorAt(key, "only one of deb, tar, file, patch, oci and nix"));
    }
    TRY_ASSIGN(extra.from, table.String(key));
    extra.kind = kind;
    if (kind == ExtraKind::kNix) TRY(ParseNix(table, &extra));
    TRY(CheckFrom(kind == ExtraKind::kNix ? "from" : key, extra, table));
  }
  if (extra.from.empty()) {
    return std::unexpected(table.ErrorAt("", "says none of deb, tar, file, patch, oci and nix"));
  }
  if (extra.kind == ExtraKind::kNix) {
    TRY(ParsePlace(table, &extra));
    return extra;
  }
  if (IsImageReference(extra.from)) {
    TRY_ASSIGN(extra.sha256, ImageReferenceSha256(extra.from));
  } else {
    TRY_ASSIGN(extra.sha256, table.StringOr("sha256", ""));
  }
  if (extra.sha256.empty() ? IsUrl(extra.from) : !IsSha256(extra.sha256)) {
    return std::unexpected(table.ErrorAt(
        "sha256", "64 lower-case hexadecimal digits, which a URL must have (`sha256sum FILE`)"));
  }
  // Patches name their files as "a/usr/..." and "b/usr/...".
  extra.strip = extra.kind == ExtraKind::kPatch ? 1 : 0;
  TRY(ParsePlace(table, &extra));
  return extra;
}

}  // namespace lre::toolchain
