// Tenants by TLS certificate: who may act in which partition, over the wire.
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "server/server.h"
#include "service/partitions.h"
#include "store/remote_store.h"

namespace lre::server {
namespace {

// An authority and the certificates that it signs, as PEM files; identities are URIs.
class Certificates {
 public:
  Certificates() {
    Openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-days", "2", "-subj", "/CN=authority", "-keyout", Key("ca"), "-out", File("ca")});
    Sign("server", "IP:127.0.0.1");
    for (const char* who : {"ci", "worker", "stranger"}) Sign(who, std::string("URI:lre://") + who);
  }
  std::string File(const std::string& who) const { return folder_ / (who + ".pem"); }
  std::string Key(const std::string& who) const { return folder_ / (who + ".key"); }

 private:
  static void Openssl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "openssl");
    auto ran = RunSubprocess({.arguments = std::move(arguments)});
    ASSERT_TRUE(ran.has_value()) << ran.error().ToString();
    ASSERT_EQ(ran->exit_code, 0) << ran->error_output;
  }
  void Sign(const std::string& who, const std::string& names) {
    const std::string extensions = folder_ / (who + ".ext"), request = folder_ / (who + ".csr");
    ASSERT_TRUE(WriteFileAtomically(extensions, "subjectAltName=" + names).ok());
    Openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
             "/CN=" + who, "-keyout", Key(who), "-out", request});
    Openssl({"x509", "-req", "-in", request, "-CA", File("ca"), "-CAkey", Key("ca"),
             "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", File(who)});
  }
  TempDir folder_;
};

class PartitionIdentityTest : public testing::Test {
 protected:
  PartitionIdentityTest() {
    Config config;
    config.listen = {"127.0.0.1:0"};
    config.loops = 1;
    config.io_threads = 2;
    config.drain_max = std::chrono::milliseconds(100);
    config.tls_certificate = certificates_.File("server");
    config.tls_key = certificates_.Key("server");
    config.tls_client_ca = certificates_.File("ca");
    config.partition_instances = {{"red", "team/red"}};
    config.partition_identities = {{"red", "lre://ci"}};
    config.partition_workers = {"lre://worker"};
    auto server = Server::Start(config, SystemClock());
    EXPECT_TRUE(server) << ToStatus(server).ToString();
    server_ = std::move(*server);
  }
  std::shared_ptr<rpc::Channel> ChannelOf(const std::string& who) {
    return *rpc::Channel::Create("grpcs://" + server_->addresses()[0],
                                 {.tls_ca_path = certificates_.File("ca"),
                                  .tls_certificate_path = certificates_.File(who),
                                  .tls_key_path = certificates_.Key(who)});
  }
  std::unique_ptr<store::BlobStore> StoreOf(const std::string& who, const std::string& instance) {
    return store::NewRemoteStore(ChannelOf(who), {.instance_name = instance});
  }

  const Certificates certificates_;
  const Digest digest_ = ComputeDigest(DigestFunction::kSha256, "secret");
  const store::Partition red_ = service::PartitionNumber("red");
  std::unique_ptr<Server> server_;
};

TEST_F(PartitionIdentityTest, AClientActsInThatOfItsCertificateWhateverItSays) {
  ASSERT_EQ(store::Put(*StoreOf("ci", "main"), {digest_}, Bytes::Static("secret")), Status());

  for (const char* instance : {"", "main", "team/red", "other"}) {
    EXPECT_EQ(store::ReadAll(*StoreOf("ci", instance), {digest_}), "secret") << instance;
  }
  EXPECT_TRUE(server_->cas().FindMissing(red_, {{digest_}})->empty());
  EXPECT_FALSE(server_->cas().FindMissing(0, {{digest_}})->empty());
  EXPECT_EQ(ToStatus(StoreOf("stranger", "main")->Read({digest_}, {})).code(), Code::kNotFound);
}

TEST_F(PartitionIdentityTest, ItIsClosedToEveryoneElse) {
  for (const char* who : {"stranger", "worker"}) {
    auto find = StoreOf(who, "team/red")->FindMissing(0, {{digest_}});
    EXPECT_EQ(ToStatus(find).code(), Code::kPermissionDenied) << who;
  }
}

TEST_F(PartitionIdentityTest, WorkersThatAreNamedReadItsBlobs) {
  ASSERT_EQ(store::Put(*StoreOf("ci", "main"), {digest_}, Bytes::Static("secret")), Status());

  EXPECT_EQ(store::ReadAll(*StoreOf("worker", "main"), {digest_, red_}), "secret");

  EXPECT_EQ(ToStatus(StoreOf("stranger", "main")->Read({digest_, red_}, {})).code(),
            Code::kPermissionDenied);
  EXPECT_EQ(store::ReadAll(*StoreOf("ci", "main"), {digest_, red_}), "secret") << "its own";
}

TEST_F(PartitionIdentityTest, NobodyElseMayConnectAsAWorker) {
  const Bytes hello;
  auto connect = [&](const char* who) {
    return ToStatus(ChannelOf(who)->Unary("/lre.worker.v1.WorkerLink/Connect", {hello},
                                          {.timeout = std::chrono::seconds(10)}));
  };
  EXPECT_EQ(connect("stranger").code(), Code::kPermissionDenied);
  EXPECT_EQ(connect("ci").code(), Code::kPermissionDenied);
  EXPECT_NE(connect("worker").code(), Code::kPermissionDenied) << "an empty hello is another error";
}

}  // namespace
}  // namespace lre::server
