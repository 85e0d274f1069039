#include "toolchain/fetch/mirrors.h"

#include <algorithm>
#include <set>

#include "base/file.h"
#include "base/lines.h"
#include "base/subprocess.h"
#include "toolchain/lock/control_file.h"

namespace lre::toolchain {
namespace {

constexpr uint64_t kAptFileBytesMax = 1 << 20;
constexpr std::string_view kMirrorFile = "mirror+file:";

std::vector<std::string> Words(std::string_view text) {
  return ControlParagraph(fmt::format("W: {}", text)).Words("W");
}

// apt writes file:/a as well as file:///a. Empty: a transport that is not ours.
std::string NormalizedUri(std::string uri) {
  while (uri.size() > 1 && uri.ends_with('/')) uri.pop_back();
  if (uri.starts_with("file:/") && !uri.starts_with("file://")) uri.insert(5, "//");
  for (const std::string_view scheme : {"http://", "https://", "file://", "mirror+file:"}) {
    if (uri.starts_with(scheme)) return uri;
  }
  return {};
}

// A source, unless it is of a kind that is not read: then a line in `unread`.
void AddSource(AptSource source, std::vector<AptSource>* sources,
               std::vector<std::string>* unread) {
  const std::string uri = NormalizedUri(source.uri);
  // A suite that ends in a slash is a flat directory of packages, without components.
  std::erase_if(source.suites, [](const std::string& suite) { return suite.ends_with('/'); });
  if (uri.empty() || source.suites.empty()) {
    if (unread != nullptr) unread->push_back(RedactUrl(source.uri));
    return;
  }
  source.uri = uri;
  sources->push_back(std::move(source));
}

// "mirror+file:/etc/apt/mirrors/debian.list": a list of URIs, the form of Debian's cloud images.
void ExpandMirrorFiles(const std::string& root, AptConfiguration* apt) {
  std::vector<AptSource> expanded;
  for (AptSource& source : apt->sources) {
    if (!source.uri.starts_with(kMirrorFile)) {
      expanded.push_back(std::move(source));
      continue;
    }
    std::string path = source.uri.substr(kMirrorFile.size());
    if (path.starts_with("//")) path.erase(0, 2);
    const auto text = ReadFile(root + path, kAptFileBytesMax);
    if (!text) apt->unread.push_back(path);
    for (const std::string& line : Lines(text.value_or(""))) {
      const std::vector<std::string> words = Words(line.substr(0, line.find('#')));
      if (words.empty()) continue;
      AptSource copy = source;
      copy.uri = words[0];
      AddSource(std::move(copy), &expanded, &apt->unread);
    }
  }
  apt->sources = std::move(expanded);
}

// apt-config prints lines like: Acquire::http::Proxy "http://proxy:3142";
void ReadAptConfig(AptConfiguration* apt) {
  const auto dump = RunSubprocess({.arguments = {"apt-config", "dump"}});
  if (!dump || dump->exit_code != 0) return;
  for (const std::string& line : Lines(dump->output)) {
    const size_t quote = line.find(" \"");
    const size_t end = line.rfind("\";");
    if (quote == std::string::npos || end == std::string::npos || end < quote + 2) continue;
    std::string key = line.substr(0, quote);
    std::transform(key.begin(), key.end(), key.begin(), ::tolower);
    const std::string value = line.substr(quote + 2, end - quote - 2);
    if (key == "acquire::http::proxy") apt->http_proxy = value;
    if (key == "acquire::https::proxy") apt->https_proxy = value;
    if (key == "acquire::check-valid-until") {
      apt->check_valid_until = value != "false" && value != "0" && value != "no";
    }
  }
}

bool Offers(const AptSource& source, const std::string& suite) {
  return std::find(source.suites.begin(), source.suites.end(), suite) != source.suites.end();
}

// Whether the archive `name` keeps `suite` under `uri`, judged by the last part of its path.
bool LooksLike(const std::string& uri, const std::string& name, const std::string& suite) {
  return uri.ends_with(suite.ends_with("-security") ? "/" + name + "-security" : "/" + name);
}

std::vector<std::string> RootsOf(const ArchiveSpec& archive, const std::string& suite,
                                 const AptConfiguration& apt) {
  if (!archive.mirrors.empty()) return archive.mirrors;
  std::vector<std::string> roots;
  const auto add = [&](auto&& wanted) {
    for (const AptSource& source : apt.sources) {
      if (!wanted(source) || std::count(roots.begin(), roots.end(), source.uri) > 0) continue;
      roots.push_back(source.uri);
    }
  };
  // Names like "stable" are used by many archives: first those that look like the right one.
  const auto looks = [&](const AptSource& s) {
    return LooksLike(s.uri, archive.Distribution(), suite);
  };
  add([&](const AptSource& s) { return Offers(s, suite) && looks(s); });
  add([&](const AptSource& s) { return Offers(s, suite); });
  if (roots.empty()) add(looks);
  return roots;
}

void AddSuite(const ArchiveSpec& archive, const std::string& suite, const AptConfiguration& apt,
              Mirrors* mirrors) {
  std::vector<std::string> roots = RootsOf(archive, suite, apt);
  if (roots.empty()) {
    mirrors->without.push_back(suite);
  } else {
    mirrors->by_suite[suite] = std::move(roots);
  }
}

}  // namespace

std::vector<AptSource> ParseSourcesList(std::string_view text, std::vector<std::string>* unread) {
  std::vector<AptSource> sources;
  for (std::string line : Lines(text)) {
    line.resize(std::min(line.find('#'), line.size()));
    // Options: "deb [arch=amd64 signed-by=/a b=c] uri suite component..."
    const size_t open = line.find('[');
    const size_t close = line.find(']');
    if (open != std::string::npos && close != std::string::npos && open < close) {
      line.erase(open, close - open + 1);
    }
    const std::vector<std::string> words = Words(line);
    if (words.empty() || words[0] == "deb-src") continue;
    if (words[0] != "deb" || words.size() < 3) {
      if (unread != nullptr) unread->push_back(line);
      continue;
    }
    AddSource(
        {.uri = words[1], .suites = {words[2]}, .components = {words.begin() + 3, words.end()}},
        &sources, unread);
  }
  return sources;
}

std::vector<AptSource> ParseDeb822Sources(std::string_view text, std::vector<std::string>* unread) {
  std::vector<AptSource> sources;
  while (const auto paragraph = NextParagraph(&text)) {
    const std::vector<std::string> types = paragraph->Words("Types");
    const std::string enabled = paragraph->Field("Enabled").value_or("yes");
    if (std::count(types.begin(), types.end(), "deb") == 0) continue;
    if (enabled == "no" || enabled == "false" || enabled == "0") continue;
    for (const std::string& uri : paragraph->Words("URIs")) {
      AddSource({.uri = uri,
                 .suites = paragraph->Words("Suites"),
                 .components = paragraph->Words("Components")},
                &sources, unread);
    }
  }
  return sources;
}

AptConfiguration ReadAptConfiguration(const std::string& root) {
  AptConfiguration apt;
  const std::string prefix = root == "/" ? "" : root;
  const std::string directory = prefix + "/etc/apt/";
  std::vector<std::string> files;
  if (FileExists(directory + "sources.list")) files.push_back("sources.list");
  for (const std::string& name :
       SystemFiles().List(directory + "sources.list.d").value_or(std::vector<std::string>())) {
    if (name.ends_with(".list") || name.ends_with(".sources")) {
      files.push_back("sources.list.d/" + name);
    }
  }
  for (const std::string& name : files) {
    const auto text = ReadFile(directory + name, kAptFileBytesMax);
    if (!text) {
      apt.unread.push_back(text.error().message());
      continue;
    }
    const auto found = name.ends_with(".sources") ? ParseDeb822Sources(*text, &apt.unread)
                                                  : ParseSourcesList(*text, &apt.unread);
    apt.sources.insert(apt.sources.end(), found.begin(), found.end());
  }
  ExpandMirrorFiles(prefix, &apt);
  if (root == "/") ReadAptConfig(&apt);
  return apt;
}

HttpClientOptions HttpOptionsOf(const AptConfiguration& apt, HttpClientOptions options) {
  if (options.http_proxy.empty()) options.http_proxy = apt.http_proxy;
  // As apt has it: the proxy for http serves https too, unless that has its own.
  if (options.https_proxy.empty()) {
    options.https_proxy = apt.https_proxy.empty() ? apt.http_proxy : apt.https_proxy;
  }
  return options;
}

Result<Mirrors> ChooseMirrors(const Spec& spec, const AptConfiguration& apt) {
  Mirrors mirrors;
  for (const ArchiveSpec& archive : spec.archives) {
    for (const std::string& suite : archive.suites) AddSuite(archive, suite, apt, &mirrors);
    // Without its first suite an archive is not the one that is meant.
    if (!mirrors.by_suite.contains(archive.suites.front())) {
      return Error(Code::kFailedPrecondition,
                   "no mirror of archive {} offers {}: the apt configuration of this machine names "
                   "none, so name one in lre.toml (archive.{}.mirrors)",
                   archive.name, archive.suites.front(), archive.name);
    }
    mirrors.snapshots.insert(mirrors.snapshots.end(), archive.snapshots.begin(),
                             archive.snapshots.end());
  }
  return mirrors;
}

Mirrors ChooseMirrors(const Lock& lock, const AptConfiguration& apt) {
  Mirrors mirrors;
  std::set<std::string> suites;
  for (const auto& [name, package] : lock.packages) suites.insert(package.suite);
  const ArchiveSpec archive{.name = lock.distribution};
  for (const std::string& suite : suites) AddSuite(archive, suite, apt, &mirrors);
  return mirrors;
}

}  // namespace lre::toolchain
