#include "server/config.h"

#include <gtest/gtest.h>

#include <set>

namespace lre::server {
namespace {

Result<Config> Parse(std::string_view text) {
  Config config;
  Status status = ApplyConfigText(text, "lre.conf", config);
  if (!status.ok()) return std::unexpected(status);
  return config;
}

TEST(Config, ReadsEveryKindOfValue) {
  Result<Config> config = Parse(R"(
data_dir = "/var/lib/lre"
listen = ["127.0.0.1:0", "unix:/run/lre"]
insecure = true
io_threads = 3
[store]
size_max = "2GiB"
lease = "1h"
[worker]
properties = ["OSFamily=linux", "pool=a=b"]
sandbox = "none"
)");
  ASSERT_TRUE(config) << config.error().ToString();
  EXPECT_EQ(config->data_dir, "/var/lib/lre");
  EXPECT_EQ(config->listen, (std::vector<std::string>{"127.0.0.1:0", "unix:/run/lre"}));
  EXPECT_TRUE(config->insecure);
  EXPECT_EQ(config->io_threads, 3);
  EXPECT_EQ(config->store_size_bytes_max, 2ull << 30);
  EXPECT_EQ(config->store_lease, std::chrono::hours(1));
  EXPECT_EQ(config->worker_properties[1], std::pair(std::string("pool"), std::string("a=b")));
  EXPECT_EQ(config->worker_sandbox, "none");
}

TEST(Config, NamesFileLineKeyAndTheNearestKnownKey) {
  EXPECT_EQ(Parse("\n[store]\nsize_mx = \"1GiB\"\n").error().message(),
            "lre.conf:3: unknown key \"store.size_mx\"; did you mean \"store.size_max\"?");
  EXPECT_EQ(Parse("[stor]\nx = 1\n").error().message().substr(0, 35),
            "lre.conf:1: unknown key \"stor\"; did");
  EXPECT_NE(Parse("insecure = \"maybe\"").error().message().find("lre.conf:1: insecure:"),
            std::string::npos);
  EXPECT_FALSE(Parse("[store]\nsize_max = 1000"));
  EXPECT_FALSE(Parse("data_dir = [\"a\"]"));
  EXPECT_FALSE(Parse("data_dir = 1.5"));
  EXPECT_FALSE(Parse("a = = b"));
  EXPECT_FALSE(Parse("[worker]\nsandbox = \"namespaces|none\""));
}

TEST(Config, EveryKeyTakesBackWhatItShows) {
  const Config defaults;
  std::set<std::string> flags;
  for (const ConfigKey& key : ConfigSchema()) {
    Config config;
    EXPECT_TRUE(flags.insert(FlagOf(key)).second) << key.name;
    if (key.show(defaults).empty()) continue;
    Status status = ApplyConfigValue(key, key.show(defaults), config);
    EXPECT_TRUE(status.ok()) << status.ToString();
    EXPECT_EQ(key.show(config), key.show(defaults)) << key.name;
    EXPECT_NE(DescribeConfig().find(FlagOf(key)), std::string::npos);
  }
}

TEST(Config, ListensOnLoopbackOnlyUnlessTold) {
  for (const char* address : {"127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/x", "127.1.2.3:0"}) {
    EXPECT_TRUE(IsLocalAddress(address)) << address;
  }
  for (const char* address : {"0.0.0.0:1", "127.evil.example:1", "[::]:1", "10.0.0.1:1", ":1"}) {
    EXPECT_FALSE(IsLocalAddress(address)) << address;
  }
  Config config;
  EXPECT_TRUE(CheckConfig(config).ok());
  config.listen = {"0.0.0.0:1"};
  EXPECT_FALSE(CheckConfig(config).ok());
  config.insecure = true;
  EXPECT_TRUE(CheckConfig(config).ok());
  config.insecure = false;
  config.tls_client_ca = "ca";
  EXPECT_FALSE(CheckConfig(config).ok());
  config.worker_server = "grpcs://elsewhere:1";
  EXPECT_TRUE(CheckConfig(config).ok()) << "the authority of its server's certificate";
  config.worker_server.clear();
  config.tls_certificate = "c";
  config.tls_key = "k";
  EXPECT_TRUE(CheckConfig(config).ok());
}

}  // namespace
}  // namespace lre::server
