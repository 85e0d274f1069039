// Nix archives that lie: what is unpacked stays in its folder and is again an archive, of the same
// bytes, but for the contents of empty files, which may be left out.
#include <unistd.h>

#include "base/check.h"
#include "base/file.h"
#include "fuzz.h"
#include "toolchain/nix/nar.h"

namespace lre::fuzz {
namespace {

constexpr toolchain::NarLimits kLimits = {.bytes_max = 64 << 10, .entries_max = 32, .depth_max = 5};

std::string Dump(const std::string& path) {
  std::string bytes;
  const Status status = toolchain::DumpNar(path, [&](std::string_view piece) {
    bytes += piece;
    return Status();
  });
  CHECK(status.ok(), status.message());
  return bytes;
}

void Write(const std::string& path, std::string_view bytes) {
  const auto file = SystemFiles().Open(path, OpenMode::kCreate).value();
  CHECK(file->Truncate(0).ok());
  CHECK(file->WriteAt(bytes, 0).ok());
}

std::string Token(std::string_view text) {
  std::string token(8, '\0');
  token[0] = static_cast<char>(text.size());
  token += text;
  token.resize((token.size() + 7) / 8 * 8);
  return token;
}

}  // namespace

std::vector<std::string> Seeds() {
  TempDir tree;
  CHECK(SystemFiles().MakeDirectories(tree / "a/b/c").ok());
  CHECK(SystemFiles().MakeDirectories(tree / "bin").ok());
  CHECK(WriteFileAtomically(tree / "a/b/c/note", "some text\n").ok());
  CHECK(WriteFileAtomically(tree / "bin/tool", "#!/bin/sh\n", 0755).ok());
  CHECK(WriteFileAtomically(tree / "empty", "").ok());
  CHECK(symlink("bin/tool", (tree / "link").c_str()) == 0);
  std::string without_contents;
  for (const char* token : {"nix-archive-1", "(", "type", "directory", "entry", "(", "name", "x",
                            "node", "(", "type", "regular", ")", ")", ")"})
    without_contents += Token(token);
  return {Dump(tree.path()),   Dump(tree / "bin"),      Dump(tree / "a"),
          Dump(tree / "link"), Dump(tree / "bin/tool"), without_contents};
}

}  // namespace lre::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lre;
  // In memory where that is possible: thousands of trees come and go.
  static const TempDir directory(FileExists("/dev/shm") ? "/dev/shm" : "");
  const std::string_view bytes = fuzz::Text(data, size);
  const std::string nar = directory / "nar", tree = directory / "tree";
  fuzz::Write(nar, bytes);
  CHECK(SystemFiles().MakeDirectories(tree).ok());

  const Status status = toolchain::UnpackNar(nar, tree, fuzz::kLimits);

  CHECK(SystemFiles().List(directory.path()).value() == (std::vector<std::string>{"nar", "tree"}));
  if (status.ok()) {
    const std::string dumped = fuzz::Dump(tree);
    CHECK(dumped == bytes || dumped.size() > bytes.size());
    CHECK(RemoveTree(tree).ok());
    CHECK(SystemFiles().MakeDirectories(tree).ok());
    fuzz::Write(nar, dumped);
    const Status again = toolchain::UnpackNar(nar, tree);
    CHECK(again.ok(), again.message());
    CHECK(fuzz::Dump(tree) == dumped);
  }
  CHECK(RemoveTree(tree).ok());
  return 0;
}
