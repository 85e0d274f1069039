// What a lock says of images and Nix closures.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "toolchain/lock/lock.h"
#include "toolchain/lock/solver.h"
#include "toolchain/nix/binary_cache.h"

namespace lre::toolchain {
namespace {

using testing::HasSubstr;

const std::string kHello = "0c5b8vw40dy178xlpddw65q9gf1h2186-hello";
const std::string kLibc = "1c5b8vw40dy178xlpddw65q9gf1h2186-glibc";

Lock Example() {
  const std::vector<NixPath> closure = {{kHello, std::string(64, 'a'), 100, {kLibc}},
                                        {kLibc, std::string(64, 'b'), 200, {}}};
  Extra nix{.name = "hello",
            .kind = ExtraKind::kNix,
            .from = "https://cache.example",
            .sha256 = ClosureSha256(closure),
            .store_path = "/nix/store/" + kHello};
  for (const NixPath& path : closure) nix.closure.push_back(PrintNixPath(path));
  const Extra image{.name = "tool",
                    .kind = ExtraKind::kOci,
                    .from = "oci://host.example/tool@sha256:" + std::string(64, 'c'),
                    .sha256 = std::string(64, 'c'),
                    .into = "usr",
                    .strip = 2,
                    .include = {"opt/tool"}};
  Lock lock;
  lock.paths["x"] = {.role = "x", .extras = {nix, image}};
  lock.toolchains["t"] = {.paths = {"x"}};
  return lock;
}

std::string ErrorWith(const std::string& from, const std::string& to) {
  std::string text = PrintLock(Example());
  text.replace(text.find(from), from.size(), to);
  const auto lock = ParseLock(text);
  return lock ? "none" : lock.error().message();
}

TEST(ForeignLock, IsReadAsItWasWritten) {
  const std::string text = PrintLock(Example());

  EXPECT_THAT(text, HasSubstr("\nschema = 3\n"));
  EXPECT_EQ(ParseLock(text).value(), Example());
}

TEST(ForeignLock, AClosureThatWasEditedIsRefused) {
  EXPECT_THAT(ErrorWith(" 200", " 201"), HasSubstr("not that of the closure"));
  EXPECT_THAT(ErrorWith(std::string(64, 'b'), "b"), HasSubstr("is not \"<hash>-<name>"));
  EXPECT_THAT(ErrorWith("/nix/store/" + kHello, "/nix/store/2" + kHello.substr(1)),
              HasSubstr("lacks /nix/store/2"));
}

TEST(ForeignLock, AnswersARequestThatLeavesTheClosureToLreLock) {
  const Lock lock = Example();
  Spec spec;
  spec.store["x"] = {.name = "x", .role = "x", .extras = lock.paths.at("x").extras};
  spec.toolchains["t"] = {.name = "t", .paths = {"x"}};
  Extra& asked = spec.store["x"].extras[0];
  asked.sha256.clear();
  asked.closure.clear();
  asked.keys = {"someone's"};
  EXPECT_THAT(Disagreements(spec, lock), testing::IsEmpty());

  asked.store_path = "/nix/store/" + kLibc;
  EXPECT_THAT(Disagreements(spec, lock), testing::SizeIs(1));
}

}  // namespace
}  // namespace lre::toolchain
