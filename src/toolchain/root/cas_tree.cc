// The encoder writes protobuf's wire format by hand: every field here is either a varint or a
// length-delimited string, and a message is nothing but its fields one after the other in ascending
// number. Canonical means: entries sorted by name as bytes, default values left out. A tree is
// encoded from its leaves: the listing is sorted, so each directory is a range of it.
#include "toolchain/root/cas_tree.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/file.h"
#include "base/hex.h"
#include "digest/file_digest.h"
#include "toolchain/root/parallel.h"

namespace lre::toolchain {
namespace {

void PutVarint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

void PutBytes(std::string& out, int field, std::string_view bytes) {
  PutVarint(out, static_cast<uint64_t>(field) << 3 | 2);
  PutVarint(out, bytes.size());
  out += bytes;
}

std::string EncodeDigest(const Digest& digest) {
  std::string out;
  PutBytes(out, 1, digest.Hex());
  if (digest.size_bytes != 0) {
    PutVarint(out, 2 << 3);
    PutVarint(out, static_cast<uint64_t>(digest.size_bytes));
  }
  return out;
}

struct Folder {
  std::map<std::string, const CasFile*, std::less<>> files;
  std::map<std::string, const CasSymlink*, std::less<>> symlinks;
  std::map<std::string, Folder, std::less<>> folders;
};

Digest Encode(const Folder& folder, std::map<Digest, std::string>& blobs) {
  std::string out;
  for (const auto& [name, file] : folder.files) {
    std::string node;
    PutBytes(node, 1, name);
    PutBytes(node, 2, EncodeDigest(file->digest));
    if (file->executable) node += std::string_view("\x20\x01", 2);  // field 4, varint, true
    PutBytes(out, 1, node);
  }
  for (const auto& [name, child] : folder.folders) {
    std::string node;
    PutBytes(node, 1, name);
    PutBytes(node, 2, EncodeDigest(Encode(child, blobs)));
    PutBytes(out, 2, node);
  }
  for (const auto& [name, symlink] : folder.symlinks) {
    std::string node;
    PutBytes(node, 1, name);
    PutBytes(node, 2, symlink->target);
    PutBytes(out, 3, node);
  }
  Digest digest = ComputeDigest(DigestFunction::kSha256, out);
  blobs.emplace(digest, std::move(out));
  return digest;
}

// The folder that holds the last component of `path`, and that component.
Result<std::pair<Folder*, std::string>> Descend(Folder& root, const std::string& path) {
  auto refuse = [&](const char* why) {
    return Error(Code::kInvalidArgument, "tree entry '{}' {}", path, why);
  };
  Folder* folder = &root;
  std::string_view rest = path;
  while (true) {
    size_t end = std::min(rest.find('/'), rest.size());
    std::string name(rest.substr(0, end));
    if (name.empty() || name == "." || name == "..")
      return refuse("is not a relative path of plain names");
    if (folder->files.contains(name) || folder->symlinks.contains(name))
      return refuse("is there twice or below a file");
    if (end == rest.size()) {
      if (folder->folders.contains(name)) return refuse("is both a file and a directory");
      return std::pair{folder, std::move(name)};
    }
    folder = &folder->folders[name];
    rest.remove_prefix(end + 1);
  }
}

Status ListFolder(const std::string& root, const std::string& below, const WalkOptions& options,
                  TreeListing& listing) {
  TRY_ASSIGN(std::vector<std::string> names,
             SystemFiles().List(below.empty() ? root : root + "/" + below));
  if (names.empty() && !below.empty() && options.empty_folders) listing.folders.push_back(below);
  for (const std::string& name : names) {
    std::string path = below.empty() ? name : below + "/" + name;
    std::string full = root + "/" + path;
    struct stat info;
    if (lstat(full.c_str(), &info) != 0) return ErrnoStatus(errno, "stat " + full);
    if (listing.files.size() + listing.symlinks.size() >= options.entries_max)
      return ErrorStatus(Code::kResourceExhausted, "{} has more than {} entries", root,
                         options.entries_max);
    if (S_ISDIR(info.st_mode)) {
      TRY(ListFolder(root, path, options, listing));
    } else if (S_ISREG(info.st_mode)) {
      listing.files.push_back({path, Digest{}, (info.st_mode & 0111) != 0});
    } else if (S_ISLNK(info.st_mode)) {
      std::string target(static_cast<size_t>(info.st_size) + 1, '\0');
      ssize_t length = readlink(full.c_str(), target.data(), target.size());
      if (length < 0) return ErrnoStatus(errno, "readlink " + full);
      target.resize(static_cast<size_t>(length));
      listing.symlinks.push_back({path, target});
    } else {
      return ErrorStatus(Code::kFailedPrecondition, "{} is neither file, directory nor symlink",
                         full);
    }
  }
  return {};
}

std::string Escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '%' || c == '\x7f')
      out += '%' + HexEncode({&c, 1});
    else
      out += c;
  }
  return out;
}

Result<std::string> Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size() || !HexDecodeTo(text.substr(i + 1, 2), &c))
        return Error(Code::kDataLoss, "listing: '{}' has a bad escape", text);
      i += 2;
    }
    out += c;
  }
  return out;
}

std::string_view NextWord(std::string_view& line) {
  size_t end = std::min(line.find(' '), line.size());
  std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

Status ParseListingLine(std::string_view line, TreeListing& listing) {
  std::string_view whole = line, kind = NextWord(line);
  if (kind == "l") {
    TRY_ASSIGN(std::string target, Unescape(NextWord(line)));
    TRY_ASSIGN(std::string path, Unescape(line));
    listing.symlinks.push_back({std::move(path), std::move(target)});
    return {};
  }
  if (kind == "d") {
    TRY_ASSIGN(std::string path, Unescape(line));
    listing.folders.push_back(std::move(path));
    return {};
  }
  if (kind != "f" && kind != "x")
    return ErrorStatus(Code::kDataLoss, "listing: bad line '{}'", whole);
  std::string_view hex = NextWord(line), size = NextWord(line);
  int64_t bytes = 0;
  auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), bytes);
  if (error != std::errc() || end != size.data() + size.size())
    return ErrorStatus(Code::kDataLoss, "listing: bad size in '{}'", whole);
  TRY_ASSIGN(Digest digest, MakeDigest(DigestFunction::kSha256, hex, bytes));
  TRY_ASSIGN(std::string path, Unescape(line));
  listing.files.push_back({std::move(path), digest, kind == "x"});
  return {};
}

}  // namespace

uint64_t TreeListing::TotalBytes() const {
  uint64_t total = 0;
  for (const CasFile& file : files) total += static_cast<uint64_t>(file.digest.size_bytes);
  return total;
}

Result<CasDirectories> EncodeDirectories(const TreeListing& listing) {
  Folder root;
  for (const CasFile& file : listing.files) {
    TRY_ASSIGN(auto place, Descend(root, file.path));
    place.first->files.emplace(place.second, &file);
  }
  for (const CasSymlink& symlink : listing.symlinks) {
    TRY_ASSIGN(auto place, Descend(root, symlink.path));
    place.first->symlinks.emplace(place.second, &symlink);
  }
  for (const std::string& folder : listing.folders) {
    TRY_ASSIGN(auto place, Descend(root, folder));
    place.first->folders[place.second];
  }
  CasDirectories directories;
  directories.root = Encode(root, directories.blobs);
  return directories;
}

Result<TreeListing> WalkTree(const std::string& root, const WalkOptions& options) {
  TreeListing listing;
  TRY(ListFolder(root, "", options, listing));
  TRY(ParallelFor(listing.files.size(), options.threads, [&](size_t i) -> Status {
    TRY_ASSIGN(listing.files[i].digest, DigestOfFile(root + "/" + listing.files[i].path));
    return {};
  }));
  std::sort(listing.files.begin(), listing.files.end(),
            [](auto& a, auto& b) { return a.path < b.path; });
  std::sort(listing.symlinks.begin(), listing.symlinks.end(),
            [](auto& a, auto& b) { return a.path < b.path; });
  std::sort(listing.folders.begin(), listing.folders.end());
  return listing;
}

std::string PrintListing(const TreeListing& listing) {
  std::string out;
  for (const CasFile& file : listing.files)
    out += fmt::format("{} {} {} {}\n", file.executable ? 'x' : 'f', file.digest.Hex(),
                       file.digest.size_bytes, Escape(file.path));
  for (const CasSymlink& symlink : listing.symlinks)
    out += fmt::format("l {} {}\n", Escape(symlink.target), Escape(symlink.path));
  for (const std::string& folder : listing.folders) out += fmt::format("d {}\n", Escape(folder));
  return out;
}

Result<TreeListing> ParseListing(std::string_view text) {
  TreeListing listing;
  while (!text.empty()) {
    size_t end = text.find('\n');
    if (end == text.npos) return Error(Code::kDataLoss, "listing: the last line is cut off");
    TRY(ParseListingLine(text.substr(0, end), listing));
    text.remove_prefix(end + 1);
  }
  return listing;
}

std::string TreeDigestText(const Digest& digest) { return "sha256:" + digest.ToString(); }

Result<Digest> ParseTreeDigest(std::string_view text) {
  std::string_view rest = text;
  size_t slash = text.rfind('/');
  int64_t size = -1;
  if (rest.starts_with("sha256:") && slash != text.npos) {
    auto [end, error] = std::from_chars(text.data() + slash + 1, text.data() + text.size(), size);
    if (error != std::errc() || end != text.data() + text.size()) size = -1;
  }
  if (size < 0)
    return Error(Code::kInvalidArgument, "'{}' is not a tree digest (sha256:<hex>/<size>)", text);
  return MakeDigest(DigestFunction::kSha256, text.substr(7, slash - 7), size);
}

}  // namespace lre::toolchain
