// A layer is a tar of what changed. ".wh.x" says that x of the layers below is gone, ".wh..wh..opq"
// that all that the layers below have in this folder is; both speak of the layers below only,
// wherever they stand in the tar. So a layer is read whole, then laid over what there is.
#include "toolchain/root/image_tree.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <memory>
#include <set>

#include "base/file.h"
#include "toolchain/oci/image.h"
#include "toolchain/root/extras.h"

namespace lre::toolchain {
namespace {

constexpr size_t kBlock = 1 << 18;
constexpr std::string_view kWhiteout = ".wh.", kOpaque = ".wh..wh..opq";

using Reader = std::unique_ptr<archive, int (*)(archive*)>;

struct Layer {
  FileTree tree;                     // by path in the image
  std::set<std::string> folders;     // said to be folders
  std::vector<std::string> gone;     // whiteouts: files or folders
  std::vector<std::string> emptied;  // opaque folders
};

void RemoveBelow(FileTree& tree, const std::string& folder) {
  const std::string start = folder.empty() ? "" : folder + "/";
  auto it = tree.lower_bound(start);
  while (it != tree.end() && it->first.starts_with(start)) it = tree.erase(it);
}

class Unpacker {
 public:
  explicit Unpacker(const ImageTreeOptions& options) : options_(options) {}

  Status Add(const std::string& path) {
    path_ = &path;
    Layer layer;
    wanted_links_.clear();
    const uint64_t before = bytes_;
    TRY(Read(layer));
    // Hard links to files that were not chosen: once more, for their bytes.
    if (!wanted_links_.empty()) {
      layer = Layer();
      bytes_ = before;
      TRY(Read(layer));
    }
    Apply(std::move(layer));
    return {};
  }

  Result<FileTree> Finish() {
    std::set<std::string_view> fitting;
    FileTree placed;
    for (auto& [path, node] : tree_) {
      if (!IsChosen(path)) continue;
      for (const std::string& pattern : options_.include)
        if (Fits(pattern, path)) fitting.insert(pattern);
      const std::string place = Place(path);
      if (place.empty()) continue;
      if (node.symlink) {
        const std::string target = Place(node.content.substr(1));
        if (target.empty() || target == place) continue;
        node.content = "/" + target;
      }
      placed[place] = std::move(node);
    }
    for (const std::string& pattern : options_.include)
      if (!fitting.contains(pattern))
        return Error(Code::kNotFound, "include \"{}\" fits no file of the image", pattern);
    return placed;
  }

 private:
  static bool Fits(const std::string& pattern, std::string_view path) {
    return MatchesPattern(pattern, path) || MatchesPattern(pattern + "/**", path);
  }
  bool IsChosen(std::string_view path) const {
    return options_.include.empty() ||
           std::any_of(options_.include.begin(), options_.include.end(),
                       [&](const std::string& pattern) { return Fits(pattern, path); });
  }
  // Where a path of the image goes in the tree; empty: nowhere.
  std::string Place(std::string_view path) const {
    std::string place = NormalPath(path);
    for (int i = 0; i < options_.strip; ++i)
      place = place.find('/') == place.npos ? "" : place.substr(place.find('/') + 1);
    if (!place.empty() && !options_.into.empty()) place = options_.into + "/" + place;
    return FoldUsr(place);
  }

  Status Broken(archive* reader) const {
    const char* text = archive_error_string(reader);
    return ErrorStatus(Code::kDataLoss, "{}: {}", *path_, text != nullptr ? text : "damaged");
  }

  Result<std::string> EntryPath(const char* name) const {
    std::string_view text = name != nullptr ? name : "";
    bool bad = text.find('\n') != text.npos;
    for (std::string_view rest = text; !rest.empty() && !bad;) {
      const size_t end = std::min(rest.find('/'), rest.size());
      bad = rest.substr(0, end) == "..";
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    if (bad) return Error(Code::kDataLoss, "{}: refusing an entry named '{}'", *path_, text);
    return NormalPath(text);
  }

  Status Read(Layer& layer) {
    Reader reader(archive_read_new(), archive_read_free);
    archive_read_support_format_tar(reader.get());
    archive_read_support_format_empty(reader.get());
    archive_read_support_filter_gzip(reader.get());
    archive_read_support_filter_zstd(reader.get());
    archive_read_support_filter_xz(reader.get());
    archive_read_support_filter_bzip2(reader.get());
    if (archive_read_open_filename(reader.get(), path_->c_str(), kBlock) != ARCHIVE_OK)
      return Broken(reader.get());
    for (;;) {
      archive_entry* entry = nullptr;
      const int code = archive_read_next_header(reader.get(), &entry);
      if (code == ARCHIVE_EOF) return {};
      if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return Broken(reader.get());
      if (++entries_ > options_.limits.entries_max)
        return ErrorStatus(Code::kResourceExhausted, "the image has more than {} entries",
                           options_.limits.entries_max);
      TRY(ReadEntry(reader.get(), entry, layer));
    }
  }

  Status ReadEntry(archive* reader, archive_entry* entry, Layer& layer) {
    TRY_ASSIGN(const std::string path, EntryPath(archive_entry_pathname(entry)));
    if (path.empty()) return {};
    const std::string parent(ParentPath(path)), name(BaseName(path));
    if (name == kOpaque) {
      layer.emptied.push_back(parent);
      return {};
    }
    if (name.starts_with(kWhiteout)) {
      const std::string hidden = name.substr(kWhiteout.size());
      layer.gone.push_back(parent.empty() ? hidden : parent + "/" + hidden);
      return {};
    }
    if (const char* target = archive_entry_hardlink(entry); target != nullptr)
      return ReadHardLink(path, target, layer);
    switch (archive_entry_filetype(entry)) {
      case AE_IFDIR:
        layer.folders.insert(path);
        return {};
      case AE_IFREG:
        return ReadFileEntry(reader, entry, path, layer);
      case AE_IFLNK:
        return ReadSymlink(path, archive_entry_symlink(entry), layer);
      default:
        return {};  // what an image has in /dev
    }
  }

  Status ReadFileEntry(archive* reader, archive_entry* entry, const std::string& path,
                       Layer& layer) {
    FileNode node{.executable = (archive_entry_perm(entry) & 0111) != 0};
    // A file that is not chosen still hides what lies below it in the image.
    if (IsChosen(path) || wanted_links_.contains(path)) {
      std::string buffer(kBlock, '\0');
      for (;;) {
        const la_ssize_t count = archive_read_data(reader, buffer.data(), buffer.size());
        if (count < 0) return Broken(reader);
        if (count == 0) break;
        TRY(Count(static_cast<uint64_t>(count)));
        node.content.append(buffer, 0, static_cast<size_t>(count));
      }
    } else {
      left_out_.insert(path);
    }
    layer.tree[path] = std::move(node);
    return {};
  }

  Status Count(uint64_t bytes) {
    bytes_ += bytes;
    if (bytes_ <= options_.limits.bytes_max) return {};
    return ErrorStatus(Code::kResourceExhausted, "the image unpacks to more than {} bytes",
                       options_.limits.bytes_max);
  }

  Status ReadHardLink(const std::string& path, const char* target, Layer& layer) {
    TRY_ASSIGN(const std::string from, EntryPath(target));
    const FileNode* node = nullptr;
    if (const auto here = layer.tree.find(from); here != layer.tree.end()) node = &here->second;
    const auto below = tree_.find(from);
    if (node == nullptr && below != tree_.end()) node = &below->second;
    if (node == nullptr)
      return ErrorStatus(Code::kDataLoss, "{}: {} is a link to {}, which is not there", *path_,
                         path, target);
    if (IsChosen(path) && !IsChosen(from)) {
      if (!layer.tree.contains(from) && left_out_.contains(from))
        return ErrorStatus(Code::kFailedPrecondition,
                           "{} is a link to {} of a layer below: include that too", path, from);
      wanted_links_.insert(from);
    }
    TRY(Count(node->content.size()));
    FileNode copy = *node;
    layer.tree[path] = std::move(copy);
    return {};
  }

  // Targets become rooted in the image here; Finish says where that is in the tree.
  Status ReadSymlink(const std::string& path, const char* target, Layer& layer) const {
    if (target == nullptr || *target == '\0')
      return ErrorStatus(Code::kDataLoss, "{}: {} points nowhere", *path_, path);
    const std::string_view text = target;
    const std::string rooted =
        text.starts_with('/') ? NormalPath(text)
                              : NormalPath(std::string(ParentPath(path)) + "/" + std::string(text));
    layer.tree[path] = {.content = "/" + rooted, .symlink = true};
    return {};
  }

  // A path whose folder is a link in the layers below means what the link leads to.
  std::string ThroughLinks(const std::string& path, const Layer& layer) const {
    const std::string parent(ParentPath(path));
    if (parent.empty() || layer.folders.contains(parent)) return path;
    const std::string resolved = Resolve(tree_, parent);
    return resolved.empty() || resolved == parent ? path
                                                  : resolved + "/" + std::string(BaseName(path));
  }

  void Apply(Layer layer) {
    for (const std::string& folder : layer.emptied) RemoveBelow(tree_, folder);
    for (const std::string& path : layer.gone) {
      tree_.erase(path);
      RemoveBelow(tree_, path);
    }
    for (const std::string& folder : layer.folders) {
      // A folder takes the place of a file; one of a link to a folder stays what it is below.
      const auto there = tree_.find(folder);
      if (there != tree_.end()) tree_.erase(there);
    }
    for (auto& [path, node] : layer.tree) {
      const std::string place = ThroughLinks(path, layer);
      RemoveBelow(tree_, place);
      for (std::string above(ParentPath(place)); !above.empty(); above = ParentPath(above))
        tree_.erase(above);
      tree_[place] = std::move(node);
    }
  }

  const ImageTreeOptions& options_;
  const std::string* path_ = nullptr;  // of the layer being read
  FileTree tree_;
  std::set<std::string> wanted_links_;  // files of this layer that chosen links lead to
  std::set<std::string> left_out_;      // files whose bytes were not kept
  uint64_t bytes_ = 0, entries_ = 0;
};

}  // namespace

Result<FileTree> UnpackLayers(const std::vector<std::string>& layers,
                              const ImageTreeOptions& options) {
  Unpacker unpacker(options);
  for (const std::string& layer : layers) TRY(unpacker.Add(layer));
  return unpacker.Finish();
}

Result<FileTree> UnpackImage(const std::string& sha256, const std::string& system,
                             const std::map<std::string, std::string>& files,
                             const ImageTreeOptions& options) {
  auto file_of = [&](const std::string& hex) -> Result<std::string> {
    const auto found = files.find(hex);
    if (found != files.end()) return found->second;
    return Error(Code::kNotFound, "blob {} of the image was not fetched", hex);
  };
  TRY_ASSIGN(const ImageManifest manifest,
             FindImageManifest(sha256, system, [&](const std::string& hex) -> Result<std::string> {
               TRY_ASSIGN(const std::string file, file_of(hex));
               return ReadFile(file, kImageManifestBytesMax);
             }));
  std::vector<std::string> layers;
  for (const ImageLayer& layer : manifest.layers) {
    TRY_ASSIGN(std::string file, file_of(layer.sha256));
    layers.push_back(std::move(file));
  }
  return UnpackLayers(layers, options);
}

}  // namespace lre::toolchain
