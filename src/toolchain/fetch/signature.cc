#include "base/file.h"
#include "base/subprocess.h"
#include "toolchain/fetch/resolve.h"
#include "toolchain/lock/control_file.h"

namespace lre::toolchain {
namespace {

// Numbers of OpenPGP hash algorithms (RFC 9580 9.5) that still prove something.
bool IsStrongHash(std::string_view number) {
  return number == "8" || number == "9" || number == "10" || number == "11";
}

struct Signatures {
  int good = 0, bad = 0, texts = 0;
  std::string unknown_key;
};

// "[GNUPG:] VALIDSIG <fingerprint> <date> <time> <expires> <version> <reserved> <key algorithm>
// <hash algorithm> ..." follows GOODSIG; see gnupg's doc/DETAILS.
Signatures ReadStatusLines(std::string_view text) {
  Signatures signatures;
  bool good = false;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string line = fmt::format("W: {}", text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::vector<std::string> words = ControlParagraph(line).Words("W");
    if (words.size() < 2 || words[0] != "[GNUPG:]") continue;
    const std::string& keyword = words[1];
    if (keyword == "NEWSIG") good = false;
    if (keyword == "GOODSIG") good = true;
    // ERROR: not a message, or more than one; then only the first text is there.
    if (keyword == "BADSIG" || keyword == "ERROR") ++signatures.bad;
    if (keyword == "PLAINTEXT") ++signatures.texts;
    if (keyword == "NO_PUBKEY" && words.size() > 2) signatures.unknown_key = words[2];
    if (keyword == "VALIDSIG" && good && words.size() > 9 && IsStrongHash(words[9])) {
      ++signatures.good;
    }
  }
  return signatures;
}

}  // namespace

Result<std::string> VerifyWithGpgv(std::string_view message, const std::string& keyring) {
  if (!FileExists(keyring)) {
    return Error(Code::kFailedPrecondition, "no keyring {}: {} (archive.<name>.keyring)", keyring,
                 keyring.starts_with("/usr/share/keyrings/")
                     ? "install it (package debian-archive-keyring) or name another in lre.toml"
                     : "put the archive's key there or name another file in lre.toml");
  }
  const TempDir directory;
  const std::string signed_file = directory / "signed";
  const std::string text_file = directory / "text";
  TRY(WriteFileAtomically(signed_file, message));
  const auto run = RunSubprocess({.arguments = {"gpgv", "--status-fd", "1", "--keyring", keyring,
                                                "--output", text_file, signed_file}});
  if (!run) {
    return Error(Code::kFailedPrecondition,
                 "{}; gpgv checks the signatures of archives (package gpgv)",
                 run.error().message());
  }
  // The exit code is not enough: it also tells of a second signature by a key that we do not have.
  const Signatures signatures = ReadStatusLines(run->output);
  if (signatures.bad > 0) return Error(Code::kPermissionDenied, "bad signature or not one message");
  if (signatures.good == 0) {
    return Error(Code::kPermissionDenied, "no signature by a key in {}{}", keyring,
                 signatures.unknown_key.empty()
                     ? std::string()
                     : fmt::format(" (signed by {})", signatures.unknown_key));
  }
  if (signatures.texts != 1) return Error(Code::kPermissionDenied, "more than one signed text");
  return ReadFile(text_file);
}

}  // namespace lre::toolchain
