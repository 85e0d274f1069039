#include <gmock/gmock.h>
#include <google/protobuf/util/delimited_message_util.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <sstream>

#include "bazel/execution_log.pb.h"
#include "explain/execution_log.h"
#include "explain/log_comparison.h"
#include "explain/nearest_action.h"
#include "explain/promise.h"
#include "explain/stored_action.h"
#include "reapi/action.h"
#include "store/fake_blob_store.h"

namespace lre::explain {
namespace {

namespace pb = ::tools::protos;
using Entry = pb::ExecLogEntry;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

std::string HashOf(std::string_view text) {
  return ComputeDigest(DigestFunction::kSha256, text).Hex();
}

// A compile of a.cc, with what the tests change as arguments.
struct Compile {
  std::string compiler = "/lre/store/07523aeb40870c5a8059968c622b5263-gcc/usr/bin/gcc";
  std::string flag = "-O2";
  std::string header = "header 1";
  std::string object = "object 1";
  std::string key = "key 1";
  bool hit = false;

  pb::SpawnExec Message() const {
    pb::SpawnExec spawn;
    for (const auto& argument : {compiler, flag, std::string("-c"), std::string("a.cc")})
      spawn.add_command_args(argument);
    auto* variable = spawn.add_environment_variables();
    variable->set_name("PATH");
    variable->set_value("/bin");
    auto* property = spawn.mutable_platform()->add_properties();
    property->set_name("OSFamily");
    property->set_value("linux");
    AddFile(*spawn.add_inputs(), "a.cc", "source");
    AddFile(*spawn.add_inputs(), "bazel-out/a.h", header);
    spawn.add_listed_outputs("bazel-out/a.o");
    AddFile(*spawn.add_actual_outputs(), "bazel-out/a.o", object);
    spawn.set_remotable(true);
    spawn.set_cacheable(true);
    spawn.set_remote_cacheable(true);
    spawn.set_mnemonic("CppCompile");
    spawn.set_target_label("//:a");
    spawn.set_runner(hit ? "remote cache hit" : "remote");
    spawn.set_cache_hit(hit);
    spawn.mutable_digest()->set_hash(HashOf(key));
    spawn.mutable_digest()->set_size_bytes(1);
    return spawn;
  }
  static void AddFile(pb::File& file, const std::string& path, const std::string& content) {
    file.set_path(path);
    file.mutable_digest()->set_hash(HashOf(content));
    file.mutable_digest()->set_size_bytes(static_cast<int64_t>(content.size()));
  }
};

// What makes a.h.
pb::SpawnExec Generate(const std::string& header, const std::string& key,
                       const std::string& argument = "template") {
  pb::SpawnExec spawn;
  spawn.add_command_args(argument);
  spawn.add_listed_outputs("bazel-out/a.h");
  Compile::AddFile(*spawn.add_actual_outputs(), "bazel-out/a.h", header);
  spawn.set_mnemonic("Genrule");
  spawn.set_target_label("//:header");
  spawn.mutable_digest()->set_hash(HashOf(key));
  return spawn;
}

std::string Json(const std::vector<pb::SpawnExec>& spawns) {
  std::string all;
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  for (const auto& spawn : spawns) {
    std::string text;
    EXPECT_TRUE(google::protobuf::util::MessageToJsonString(spawn, &text, options).ok());
    all += text;
  }
  return all;
}
template <typename Message>
std::string Delimited(const std::vector<Message>& messages) {
  std::ostringstream out;
  for (const auto& message : messages)
    google::protobuf::util::SerializeDelimitedToOstream(message, &out);
  return out.str();
}
std::string Zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}
ExecutionLog Log(const std::vector<pb::SpawnExec>& spawns) {
  return ExecutionLog::Parse(Delimited(spawns)).value();
}

// The same compile as a compact log has it, with a directory, a link and runfiles.
std::string CompactLog() {
  std::vector<Entry> entries(9);
  entries[0].mutable_invocation()->set_hash_function_name("SHA-256");
  auto file = [&](size_t i, uint32_t id, const std::string& path, const std::string& content) {
    entries[i].set_id(id);
    entries[i].mutable_file()->set_path(path);
    entries[i].mutable_file()->mutable_digest()->set_hash(HashOf(content));
    entries[i].mutable_file()->mutable_digest()->set_size_bytes(7);
  };
  file(1, 1, "a.cc", "source");
  file(2, 2, "bazel-out/a.o", "object");
  entries[3].set_id(3);
  entries[3].mutable_directory()->set_path("bazel-out/tree");
  entries[3].mutable_directory()->add_files()->set_path("leaf");
  entries[4].set_id(4);
  entries[4].mutable_unresolved_symlink()->set_path("link");
  entries[4].mutable_unresolved_symlink()->set_target_path("/lre");
  entries[5].set_id(5);
  entries[5].mutable_input_set()->add_input_ids(3);
  entries[6].set_id(6);
  entries[6].mutable_runfiles_tree()->set_path("a.runfiles");
  entries[6].mutable_runfiles_tree()->set_input_set_id(5);
  entries[7].set_id(7);
  for (uint32_t id : {1, 4, 6}) entries[7].mutable_input_set()->add_input_ids(id);
  entries[7].mutable_input_set()->add_transitive_set_ids(5);
  Entry::Spawn& spawn = *entries[8].mutable_spawn();
  spawn.add_args("gcc");
  spawn.set_input_set_id(7);
  spawn.add_outputs()->set_output_id(2);
  spawn.add_outputs()->set_invalid_output_path("bazel-out/a.d");
  spawn.set_target_label("//:a");
  spawn.set_mnemonic("CppCompile");
  spawn.set_runner("linux-sandbox");
  spawn.mutable_digest()->set_hash(HashOf("key"));
  return Delimited(entries);
}

TEST(ExecutionLog, ReadsJsonAndBinaryAlike) {
  pb::SpawnExec spawn = Compile{.flag = "-D\"}{\\\""}.Message();
  ExecutionLog json = ExecutionLog::Parse(Json({spawn, spawn})).value(), binary = Log({spawn});

  ASSERT_THAT(json.spawns(), SizeIs(2));
  EXPECT_EQ(json.spawns()[1].facts.arguments[1], "-D\"}{\\\"");
  EXPECT_EQ(json.spawns()[1].action, binary.spawns()[0].action);
  EXPECT_THAT(Compare(json.Facts(1), binary.Facts(0)), IsEmpty());
  EXPECT_EQ(json.Facts(0).inputs.at("a.cc"), HashOf("source") + "/6");
  EXPECT_TRUE(json.spawns()[0].cacheable);
  EXPECT_EQ(json.spawns()[0].Name(), "//:a, CppCompile, bazel-out/a.o");
}

TEST(ExecutionLog, ReadsCompactLogs) {
  ExecutionLog log = ExecutionLog::Parse(Zstd(CompactLog())).value();

  ASSERT_THAT(log.spawns(), SizeIs(1));
  EXPECT_EQ(log.spawns()[0].runner, "linux-sandbox");
  EXPECT_THAT(log.spawns()[0].outputs, ElementsAre(Pair("bazel-out/a.o", HashOf("object") + "/7")));
  EXPECT_THAT(log.spawns()[0].facts.outputs, ElementsAre("bazel-out/a.d", "bazel-out/a.o"));
  EXPECT_THAT(log.Facts(0).inputs,
              ElementsAre(Pair("a.cc", HashOf("source") + "/7"),
                          Pair("a.runfiles/bazel-out/tree/leaf", "(empty)"),
                          Pair("bazel-out/tree/leaf", "(empty)"), Pair("link", "-> /lre")));
}

TEST(ExecutionLog, SaysWhereALogBreaksOff) {
  std::string compact = Zstd(CompactLog()),
              binary = Delimited<pb::SpawnExec>({Compile{}.Message()}),
              json = Json({Compile{}.Message()});

  for (const std::string& whole : {compact, binary, json}) {
    auto cut = ExecutionLog::Parse(whole.substr(0, whole.size() - 5));
    ASSERT_FALSE(cut);
    EXPECT_EQ(cut.error().code(), Code::kDataLoss) << cut.error().ToString();
    EXPECT_THAT(cut.error().message(), HasSubstr("breaks off"));
  }
  EXPECT_EQ(ToStatus(ExecutionLog::Parse("Hello, this is no log at all")).ok(), false);
  EXPECT_EQ(
      ToStatus(ExecutionLog::Parse(std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11)))
          .code(),
      Code::kInvalidArgument);
  EXPECT_THAT(ExecutionLog::Parse("")->spawns(), IsEmpty());
}

TEST(Compare, NamesTheFirstDifferenceOfEachKind) {
  ActionFacts a{.arguments = {"gcc", "-O1", "x"}, .environment = {{"A", "1"}, {"B", "2"}}};
  ActionFacts b{.arguments = {"gcc", "-O2", "x"}, .environment = {{"A", "1"}}};
  a.inputs = {{"a.h", "1/1"}, {"b.h", "2/2"}};
  b.inputs = {{"a.h", "3/1"}, {"c.h", "2/2"}};

  EXPECT_THAT(Compare(a, b),
              ElementsAre(Difference{Cause::kCommandLine, "argument 1", "-O1", "-O2"},
                          Difference{Cause::kEnvironment, "variable B", "2", "(absent)"},
                          Difference{Cause::kInput, "input a.h", "1/1", "3/1"},
                          Difference{Cause::kInputSet, "input b.h", "2/2", "(absent)"},
                          Difference{Cause::kInputSet, "input c.h", "(absent)", "2/2"}));
  EXPECT_THAT(Compare(a, b, 2), SizeIs(2));
  EXPECT_THAT(Compare(a, a), IsEmpty());
}

TEST(Compare, AnArgumentMoreIsOneDifference) {
  ActionFacts a{.arguments = {"gcc", "-g", "-c", "a.cc"}}, b{.arguments = {"gcc", "-c", "a.cc"}};

  EXPECT_THAT(Compare(a, b),
              ElementsAre(Difference{Cause::kCommandLine, "argument 1", "-g", "(absent)"}));
}

TEST(Compare, AnotherStoreHashIsAnotherToolchain) {
  ActionFacts a{.arguments = {"/lre/store/07523aeb40870c5a8059968c622b5263-gcc/bin/gcc"}};
  ActionFacts b{.arguments = {"/lre/store/398bc59226c28a38f2228343940103c9-gcc/bin/gcc"}};
  ActionFacts c{.arguments = {"/lre/store/398bc59226c28a38f2228343940103c9-gcc/bin/g++"}};

  EXPECT_EQ(Compare(a, b)[0].cause, Cause::kToolchain);
  EXPECT_EQ(Compare(a, c)[0].cause, Cause::kCommandLine);
}

TEST(CompareLogs, SameKeysWithTheSameBytesAreNoDifference) {
  LogComparison comparison =
      CompareLogs(Log({Compile{}.Message()}), Log({Compile{.hit = true}.Message()}));

  EXPECT_EQ(comparison.same_keys, 1u);
  EXPECT_THAT(comparison.different_keys, IsEmpty());
  EXPECT_THAT(comparison.different_outputs, IsEmpty());
}

TEST(CompareLogs, SaysWhyAKeyDiffers) {
  LogComparison comparison = CompareLogs(Log({Compile{}.Message()}),
                                         Log({Compile{.flag = "-O3", .key = "key 2"}.Message()}));

  ASSERT_THAT(comparison.different_keys, SizeIs(1));
  EXPECT_THAT(comparison.different_keys[0].differences,
              ElementsAre(Difference{Cause::kCommandLine, "argument 1", "-O2", "-O3"}));
}

TEST(CompareLogs, WhatFollowsFromAnotherSpawnIsNotACause) {
  ExecutionLog a = Log({Generate("header 1", "g1"), Compile{}.Message()});
  ExecutionLog b = Log(
      {Generate("header 2", "g2", "other"), Compile{.header = "header 2", .key = "k2"}.Message()});

  LogComparison comparison = CompareLogs(a, b);

  ASSERT_THAT(comparison.different_keys, SizeIs(1));
  EXPECT_EQ(a.spawns()[comparison.different_keys[0].pair.a].mnemonic, "Genrule");
  EXPECT_THAT(comparison.following, SizeIs(1));
  EXPECT_THAT(CompareLogs(a, b, {.target = "@@//:a"}).pairs, SizeIs(1)) << "only this target";
}

TEST(CompareLogs, TheSameKeyWithOtherBytesIsNotReproducible) {
  LogComparison comparison =
      CompareLogs(Log({Compile{}.Message()}), Log({Compile{.object = "object 2"}.Message()}));

  ASSERT_THAT(comparison.different_outputs, SizeIs(1));
  EXPECT_EQ(comparison.different_outputs[0].path, "bazel-out/a.o");
}

TEST(CompareLogs, SpawnsOfOneSideAreListed) {
  LogComparison comparison =
      CompareLogs(Log({Compile{}.Message()}), Log({Generate("header", "g")}));

  EXPECT_THAT(comparison.pairs, IsEmpty());
  EXPECT_THAT(comparison.only_a, ElementsAre(0u));
  EXPECT_THAT(comparison.only_b, ElementsAre(0u));
}

TEST(CountHits, CountsHitsAndSaysWhyTheOthersAreNone) {
  ExecutionLog first = Log({Generate("header 1", "g1"), Compile{}.Message()});

  Sharing good = CountHits(first, Log({Compile{.hit = true}.Message()}));
  EXPECT_EQ(good.hits, 1u);
  EXPECT_EQ(HitRate(good), "100 %");
  EXPECT_THAT(good.misses, IsEmpty());

  Sharing bad = CountHits(first, Log({Compile{.flag = "-O3", .key = "k3"}.Message(),
                                      Compile{.hit = true}.Message(), Generate("h", "g1")}));
  EXPECT_EQ(bad.spawns, 2u);
  EXPECT_EQ(bad.not_cacheable, 1u) << "the generator";
  EXPECT_EQ(HitRate(bad), "50.0 %");
  ASSERT_THAT(bad.misses, SizeIs(1));
  EXPECT_EQ(bad.misses[0].why, "another key: command line");
  EXPECT_EQ(bad.misses[0].difference->b, "-O3");

  Sharing lost = CountHits(first, Log({Compile{}.Message()}));
  EXPECT_THAT(lost.misses[0].why, HasSubstr("the cache had no result"));
}

class StoredActionTest : public testing::Test {
 protected:
  // An action over src/a.h, src/deep/b.h and lib/c.h.
  Digest Add(const std::string& header, reapi::Command command, reapi::Action action = {}) {
    auto directory = [&](reapi::Directory entries) {
      return cas_.Add(reapi::EncodeDirectory(std::move(entries)));
    };
    Digest deep = directory({.files = {{.name = "b.h", .digest = cas_.Add(header)}}});
    Digest src = directory(
        {.files = {{.name = "a.h", .digest = cas_.Add("a")}}, .directories = {{"deep", deep}}});
    Digest lib = directory({.files = {{.name = "c.h", .digest = cas_.Add("c")}}});
    action.input_root = directory({.directories = {{"lib", lib}, {"src", src}}});
    action.command = cas_.Add(reapi::EncodeCommand(command));
    return cas_.Add(reapi::EncodeAction(action));
  }
  store::FakeBlobStore cas_;
};

TEST_F(StoredActionTest, NamesTheInputThatDiffersAndReadsNoFolderThatDoesNot) {
  Digest a = Add("one", {.arguments = {"gcc"}}), b = Add("two", {.arguments = {"gcc"}});
  int reads = cas_.read_calls;

  auto differences = CompareStoredActions(cas_, a, b).value();

  ASSERT_THAT(differences, SizeIs(1));
  EXPECT_EQ(differences[0].field, "input src/deep/b.h");
  EXPECT_EQ(cas_.read_calls - reads, 10) << "action, command, three folders, twice";
}

TEST_F(StoredActionTest, NamesWhatElseMakesTheKey) {
  Digest a = Add("one", {.arguments = {"gcc", "-c"}, .platform = {{{"OSFamily", "linux"}}}});
  Digest b = Add("one", {.arguments = {"gcc"}, .output_paths = {"a.o"}},
                 {.timeout = std::chrono::seconds(3), .salt = "x"});

  std::vector<std::string> fields;
  auto differences = CompareStoredActions(cas_, a, b).value();
  for (const Difference& difference : differences) fields.push_back(difference.field);

  EXPECT_THAT(fields,
              ElementsAre("argument 1", "property OSFamily", "output 0", "timeout", "salt"));
  EXPECT_THAT(CompareStoredActions(cas_, a, a).value(), IsEmpty());
}

TEST_F(StoredActionTest, AFolderThatTheCasLacksIsAnInputOfItsName) {
  Digest a = Add("one", {.arguments = {"gcc"}}), b = Add("two", {.arguments = {"gcc"}});
  Digest deep = cas_.Add(reapi::EncodeDirectory(
      {.files = {{.name = "b.h", .digest = ComputeDigest(DigestFunction::kSha256, "two")}}}));
  cas_.Lose(deep);

  auto differences = CompareStoredActions(cas_, a, b).value();

  ASSERT_THAT(differences, SizeIs(2));
  EXPECT_EQ(differences[0].field, "input src/deep/");
  EXPECT_THAT(differences[0].b, HasSubstr(deep.ToString()));
  EXPECT_EQ(differences[1].field, "input src/deep/b.h");
}

TEST_F(StoredActionTest, TheNearestIsWhatMakesTheSameAndDiffersLeast) {
  const std::string out = "bazel-out/k8-opt/bin/a.o";
  Digest a = Add("one", {.arguments = {"gcc", "-O2", "-g"}, .output_paths = {out}});
  Digest far = Add("two", {.arguments = {"gcc", "-O1", "-c"}, .output_paths = {out}});
  Digest near = Add("one", {.arguments = {"gcc", "-O3", "-g"}, .output_paths = {out}});
  Digest other = Add("one", {.arguments = {"gcc", "-O2", "-g"}, .output_paths = {"b.o"}});
  Digest lost = ComputeDigest(DigestFunction::kSha256, "lost");

  auto nearest = FindNearest(cas_, a, {lost, a, far, other, near}).value();

  ASSERT_TRUE(nearest);
  EXPECT_EQ(nearest->action, near);
  EXPECT_FALSE(nearest->other_configuration);
  EXPECT_THAT(nearest->differences,
              ElementsAre(Difference{Cause::kCommandLine, "argument 1", "-O2", "-O3"}));
  EXPECT_FALSE(FindNearest(cas_, a, {lost, a, other}).value());
  EXPECT_EQ(FindNearest(cas_, a, {far, near}, {.commands_max = 1}).value()->action, far);
  EXPECT_EQ(FindNearest(cas_, a, {far, near}, {.compared_max = 1}).value()->action, far);
}

TEST_F(StoredActionTest, TheNearestMayBeOfAnotherConfiguration) {
  Digest a = Add("one", {.arguments = {"gcc"}, .output_paths = {"bazel-out/k8-opt/bin/a.o"}});
  Digest b = Add("one", {.arguments = {"gcc"}, .output_paths = {"bazel-out/k8-dbg/bin/a.o"}});

  auto nearest = FindNearest(cas_, a, {b}).value();

  ASSERT_TRUE(nearest);
  EXPECT_TRUE(nearest->other_configuration);
  EXPECT_EQ(nearest->differences[0].field, "output 0");
}

TEST_F(StoredActionTest, ALoggedActionIsComparedInWhatLogsHave) {
  Digest b = Add("two", {.arguments = {"gcc"}, .output_paths = {"a.o", "a.d"}},
                 {.timeout = std::chrono::seconds(3), .salt = "x"});
  ActionFacts logged = StoredFacts(cas_, b).value();
  logged.outputs = {"a.o", "a.d"};
  logged.salt = "";
  logged.timeout_ms = 0;
  logged.inputs["src/deep/b.h"] = ComputeDigest(DigestFunction::kSha256, "one").ToString();

  auto nearest = FindNearest(cas_, logged, {b}).value();

  ASSERT_TRUE(nearest);
  ASSERT_THAT(nearest->differences, SizeIs(1));
  EXPECT_EQ(nearest->differences[0].field, "input src/deep/b.h");

  cas_.Lose(reapi::ParseAction(store::ReadAll(cas_, {b}).value(), b.function)->input_root);
  nearest = FindNearest(cas_, logged, {b}).value();
  ASSERT_THAT(nearest->differences, SizeIs(1));
  EXPECT_EQ(nearest->differences[0].field, "input .") << "all that is known of them";
}

TEST_F(StoredActionTest, AnAbsentMessageIsNamed) {
  Digest a = Add("one", {.arguments = {"gcc"}});
  Digest none = ComputeDigest(DigestFunction::kSha256, "none");

  Status status = ToStatus(CompareStoredActions(cas_, a, none));

  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("Action " + none.ToString()));
}

}  // namespace
}  // namespace lre::explain
