// Every token of a NAR is a string: its length as 64 bits, little-endian, its bytes, and zeros up
// to a multiple of eight. A node is "(" "type" <kind> ... ")"; the kind says what comes between.
#include "toolchain/nix/nar.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/file.h"
#include "digest/hasher.h"

namespace lre::toolchain {
namespace {

constexpr std::string_view kMagic = "nix-archive-1";
constexpr size_t kPieceBytes = 1 << 18;
constexpr uint64_t kTokenMax = 4096;  // of a keyword, a name or a link's target

// A store path is a Directory of the CAS where it is carried and a folder where it is mounted.
Status SingleFile(std::string_view what, std::string_view kind) {
  return ErrorStatus(Code::kUnimplemented,
                     "{} is a single {}, and only folders are store paths of toolchains; have Nix "
                     "put it into one (linkFarm, runCommand)",
                     what, kind);
}

uint64_t Padding(uint64_t size) { return (8 - size % 8) % 8; }

class Reader {
 public:
  Reader(std::string name, std::unique_ptr<File> file, const NarLimits& limits)
      : name_(std::move(name)), file_(std::move(file)), limits_(limits) {}

  Status Run(const std::string& directory) {
    TRY(Expect(kMagic));
    TRY(Expect("("));
    TRY(Expect("type"));
    std::string kind;
    TRY(Token(&kind));
    if (kind == "regular" || kind == "symlink")
      return SingleFile(name_, kind == "regular" ? "file" : kind);
    if (kind != "directory") return Broken("has a node of an unknown kind");
    TRY(ReadFolder(directory, 0));
    if (at_ < have_ || Fill(1).ok()) return Broken("goes on after its end");
    return {};
  }

 private:
  Status Broken(std::string_view why) const {
    return ErrorStatus(Code::kDataLoss, "{} {}", name_, why);
  }

  // At least `size` bytes are in the buffer. REQUIRES: size <= kPieceBytes.
  Status Fill(size_t size) {
    if (have_ - at_ >= size) return {};
    buffer_.erase(0, at_);
    have_ -= at_;
    at_ = 0;
    buffer_.resize(kPieceBytes);
    while (have_ < size) {
      TRY_ASSIGN(const size_t got,
                 file_->ReadAt(buffer_.data() + have_, buffer_.size() - have_, offset_));
      if (got == 0) return Broken("is cut off");
      have_ += got;
      offset_ += got;
      if (offset_ > limits_.bytes_max + kPieceBytes)
        return ErrorStatus(Code::kResourceExhausted, "{} is larger than {} bytes", name_,
                           limits_.bytes_max);
    }
    return {};
  }

  Result<uint64_t> Number() {
    TRY(Fill(8));
    uint64_t value = 0;
    for (int i = 7; i >= 0; --i)
      value = value << 8 | static_cast<unsigned char>(buffer_[at_ + static_cast<size_t>(i)]);
    at_ += 8;
    return value;
  }

  Status SkipPadding(uint64_t size) {
    const auto padding = static_cast<size_t>(Padding(size));
    TRY(Fill(padding));
    for (size_t i = 0; i < padding; ++i)
      if (buffer_[at_ + i] != '\0') return Broken("has padding other than zeros");
    at_ += padding;
    return {};
  }

  // Not a Result: GCC 12 takes one of a string for uninitialised here.
  Status Token(std::string* token) {
    TRY_ASSIGN(const uint64_t size, Number());
    if (size > kTokenMax) return Broken("has a name that is too long");
    TRY(Fill(static_cast<size_t>(size)));
    *token = buffer_.substr(at_, static_cast<size_t>(size));
    at_ += static_cast<size_t>(size);
    return SkipPadding(size);
  }

  Status Expect(std::string_view token) {
    std::string found;
    TRY(Token(&found));
    return found == token ? Status() : Broken(fmt::format("has no '{}' where one must be", token));
  }

  // After "type" "directory".
  Status ReadFolder(const std::string& path, int depth) {
    if (depth > limits_.depth_max)
      return ErrorStatus(Code::kResourceExhausted, "{} is deeper than {} folders", name_,
                         limits_.depth_max);
    std::string last;
    for (;;) {
      std::string mark;
      TRY(Token(&mark));
      if (mark == ")") return {};
      if (mark != "entry") return Broken("has something else than entries in a folder");
      TRY(Expect("("));
      TRY(Expect("name"));
      std::string name;
      TRY(Token(&name));
      const bool plain = !name.empty() && name != "." && name != ".." &&
                         name.find('/') == name.npos && name.find('\0') == name.npos;
      if (!plain) return Broken(fmt::format("has an entry named '{}'", name));
      if (name <= last) return Broken("has entries out of order");
      last = name;
      if (++entries_ > limits_.entries_max)
        return ErrorStatus(Code::kResourceExhausted, "{} has more than {} entries", name_,
                           limits_.entries_max);
      TRY(Expect("node"));
      TRY(ReadNode(path + "/" + name, depth));
      TRY(Expect(")"));
    }
  }

  Status ReadNode(const std::string& path, int depth) {
    TRY(Expect("("));
    TRY(Expect("type"));
    std::string kind;
    TRY(Token(&kind));
    if (kind == "directory") {
      if (mkdir(path.c_str(), 0755) != 0) return ErrnoStatus(errno, path);
      return ReadFolder(path, depth + 1);
    }
    if (kind == "regular") return ReadRegular(path);
    if (kind != "symlink") return Broken("has a node of an unknown kind");
    TRY(Expect("target"));
    std::string target;
    TRY(Token(&target));
    if (target.empty() || target.find('\0') != target.npos) return Broken("has a link to nothing");
    if (symlink(target.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, path);
    return Expect(")");
  }

  Status ReadRegular(const std::string& path) {
    std::string token;
    TRY(Token(&token));
    const bool executable = token == "executable";
    if (executable) {
      TRY(Expect(""));
      TRY(Token(&token));
    }
    UniqueFd fd(
        open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, executable ? 0755 : 0644));
    if (!fd) return ErrnoStatus(errno, path);
    // The contents of an empty file may be left out.
    if (token == ")") return {};
    if (token != "contents") return Broken("has a file without contents");
    TRY_ASSIGN(const uint64_t size, Number());
    for (uint64_t left = size; left > 0;) {
      TRY(Fill(1));
      const size_t count = static_cast<size_t>(std::min<uint64_t>(left, have_ - at_));
      const ssize_t wrote = write(fd.get(), buffer_.data() + at_, count);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return ErrnoStatus(errno, path);
      at_ += static_cast<size_t>(wrote);
      left -= static_cast<uint64_t>(wrote);
    }
    TRY(SkipPadding(size));
    return Expect(")");
  }

  const std::string name_;
  const std::unique_ptr<File> file_;
  const NarLimits& limits_;
  std::string buffer_;
  size_t at_ = 0, have_ = 0;  // in buffer_
  uint64_t offset_ = 0;       // in the file
  uint64_t entries_ = 0;
};

class Writer {
 public:
  Writer(const std::function<Status(std::string_view)>& write, const NarLimits& limits)
      : write_(write), limits_(limits) {}

  Status Run(const std::string& path) {
    TRY(Token(kMagic));
    return Node(path, 0);
  }

 private:
  Status Number(uint64_t value) {
    char bytes[8];
    for (char& byte : bytes) {
      byte = static_cast<char>(value & 0xff);
      value >>= 8;
    }
    return write_({bytes, sizeof bytes});
  }
  Status Pad(uint64_t size) {
    return write_(std::string_view("\0\0\0\0\0\0\0", static_cast<size_t>(Padding(size))));
  }
  Status Token(std::string_view token) {
    TRY(Number(token.size()));
    TRY(write_(token));
    return Pad(token.size());
  }
  Status Tokens(std::initializer_list<std::string_view> tokens) {
    for (std::string_view token : tokens) TRY(Token(token));
    return {};
  }

  Status Node(const std::string& path, int depth) {
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0) return ErrnoStatus(errno, path);
    if (++entries_ > limits_.entries_max || depth > limits_.depth_max)
      return ErrorStatus(Code::kResourceExhausted, "{} has more than {} entries or {} levels", path,
                         limits_.entries_max, limits_.depth_max);
    TRY(Tokens({"(", "type"}));
    if (S_ISLNK(info.st_mode)) {
      std::string target(kTokenMax + 1, '\0');
      const ssize_t length = readlink(path.c_str(), target.data(), target.size());
      if (length < 0) return ErrnoStatus(errno, path);
      target.resize(static_cast<size_t>(length));
      return Tokens({"symlink", "target", target, ")"});
    }
    if (S_ISREG(info.st_mode)) {
      TRY(Token("regular"));
      if ((info.st_mode & 0100) != 0) TRY(Tokens({"executable", ""}));
      TRY(Contents(path, static_cast<uint64_t>(info.st_size)));
      return Token(")");
    }
    if (!S_ISDIR(info.st_mode))
      return ErrorStatus(Code::kFailedPrecondition, "{} is neither file, folder nor symlink", path);
    TRY(Token("directory"));
    TRY_ASSIGN(const std::vector<std::string> names, SystemFiles().List(path));
    for (const std::string& name : names) {
      TRY(Tokens({"entry", "(", "name", name, "node"}));
      TRY(Node(path + "/" + name, depth + 1));
      TRY(Token(")"));
    }
    return Token(")");
  }

  Status Contents(const std::string& path, uint64_t size) {
    TRY(Token("contents"));
    TRY(Number(size));
    TRY_ASSIGN(const auto file, SystemFiles().Open(path, OpenMode::kRead));
    std::string piece(kPieceBytes, '\0');
    for (uint64_t offset = 0; offset < size;) {
      const auto want = static_cast<size_t>(std::min<uint64_t>(piece.size(), size - offset));
      TRY_ASSIGN(const size_t got, file->ReadAt(piece.data(), want, offset));
      if (got == 0) return ErrorStatus(Code::kDataLoss, "{} became shorter while read", path);
      TRY(write_(std::string_view(piece).substr(0, got)));
      offset += got;
    }
    return Pad(size);
  }

  const std::function<Status(std::string_view)>& write_;
  const NarLimits& limits_;
  uint64_t entries_ = 0;
};

}  // namespace

Status CheckNixFolder(const std::string& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return ErrnoStatus(errno, path);
  if (S_ISDIR(info.st_mode)) return {};
  return SingleFile(path, S_ISLNK(info.st_mode) ? "symlink" : "file");
}

Status UnpackNar(const std::string& nar, const std::string& directory, const NarLimits& limits) {
  TRY_ASSIGN(std::unique_ptr<File> file, SystemFiles().Open(nar, OpenMode::kRead));
  return Reader(nar, std::move(file), limits).Run(directory);
}

Status DumpNar(const std::string& path, const std::function<Status(std::string_view)>& write,
               const NarLimits& limits) {
  return Writer(write, limits).Run(path);
}

Result<NarHash> HashNar(const std::string& path) {
  Hasher hasher(DigestFunction::kSha256);
  TRY(DumpNar(path, [&](std::string_view piece) {
    hasher.Update(piece);
    return Status();
  }));
  const Digest digest = hasher.Finish();
  return NarHash{digest.Hex(), static_cast<uint64_t>(digest.size_bytes)};
}

}  // namespace lre::toolchain
