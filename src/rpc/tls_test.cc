// TLS: our client and server with each other, and judged by grpc++ and curl.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "google/bytestream/bytestream.grpc.pb.h"
#include "rpc/client.h"
#include "rpc/fake_services.h"

namespace lre::rpc {
namespace {

using testing::HasSubstr;

void Openssl(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "openssl");
  auto ran = RunSubprocess({.arguments = std::move(arguments)});
  ASSERT_TRUE(ran.has_value()) << ran.error().ToString();
  ASSERT_EQ(ran->exit_code, 0) << ran->error_output;
}

// A certificate authority and what it signs, as PEM files in a directory.
class Authority {
 public:
  explicit Authority(const std::string& name) : name_(name) {
    Openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-days", "2", "-subj", "/CN=" + name, "-keyout", key("ca"), "-out",
             certificate("ca")});
  }
  void Sign(const std::string& who, const std::string& names) {
    ASSERT_TRUE(WriteFileAtomically(folder_ / (who + ".ext"), "subjectAltName=" + names).ok());
    Openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
             "/CN=" + who, "-keyout", key(who), "-out", folder_ / (who + ".csr")});
    Openssl({"x509", "-req", "-in", folder_ / (who + ".csr"), "-CA", certificate("ca"), "-CAkey",
             key("ca"), "-CAcreateserial", "-days", "2", "-extfile", folder_ / (who + ".ext"),
             "-out", certificate(who)});
  }
  std::string certificate(const std::string& who) const { return folder_ / (who + ".pem"); }
  std::string key(const std::string& who) const { return folder_ / (who + ".key"); }

 private:
  const std::string name_;
  TempDir folder_;
};

class Tls : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    authority_ = new Authority("first");
    authority_->Sign("server", "IP:127.0.0.1,DNS:localhost");
    authority_->Sign("client", "URI:lre://laptop");
    other_ = new Authority("second");
    other_->Sign("server", "IP:127.0.0.1");
  }
  static void TearDownTestSuite() {
    delete authority_;
    delete other_;
  }
  static TlsOptions ServerFiles(bool mutual = false) {
    return {.certificate_path = authority_->certificate("server"),
            .key_path = authority_->key("server"),
            .client_ca_path = mutual ? authority_->certificate("ca") : ""};
  }
  static Result<Bytes> Call(const std::string& address, ChannelOptions options,
                            const std::string& method = "/test/Unary",
                            const std::string& text = "x") {
    TRY_ASSIGN(auto channel, Channel::Create("grpcs://" + address, std::move(options)));
    return channel->Unary(method, {Bytes(text)}, {.timeout = std::chrono::seconds(10)});
  }
  static ChannelOptions Trusting(const Authority& authority) {
    return {.tls_ca_path = authority.certificate("ca")};
  }
  static ChannelOptions AsClient() {
    return {.tls_ca_path = authority_->certificate("ca"),
            .tls_certificate_path = authority_->certificate("client"),
            .tls_key_path = authority_->key("client")};
  }

  static Authority *authority_, *other_;
};
Authority* Tls::authority_ = nullptr;
Authority* Tls::other_ = nullptr;

TEST_F(Tls, CarriesSmallAndLargeCalls) {
  TestServer server({.tls = ServerFiles()});
  for (size_t size : {0ul, 10ul, 20'000ul, 4ul << 20}) {
    auto answer =
        Call(server.address(), Trusting(*authority_), "/test/Unary", std::string(size, 't'));
    ASSERT_TRUE(answer.has_value()) << answer.error().ToString();
    EXPECT_EQ(answer->view(), std::string(size, 't'));
  }
}

TEST_F(Tls, RefusesServersOfAnotherAuthorityOrName) {
  TestServer server({.tls = ServerFiles()});
  auto unknown = Call(server.address(), Trusting(*other_));
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code(), Code::kUnavailable);
  EXPECT_THAT(unknown.error().message(), HasSubstr("certificate"));

  std::string port = server.address().substr(server.address().rfind(':'));
  TestServer any({.listen = {"127.0.0.2:0"}, .tls = ServerFiles()});
  auto misnamed = Call(any.address(), Trusting(*authority_));
  ASSERT_FALSE(misnamed.has_value());
  EXPECT_THAT(misnamed.error().message(), HasSubstr("IP address mismatch"));
}

TEST_F(Tls, KnowsClientsByTheirCertificates) {
  TestServer server({.tls = ServerFiles(/*mutual=*/true)});
  auto known = Call(server.address(), AsClient(), "/test/Identity");
  ASSERT_TRUE(known.has_value()) << known.error().ToString();
  EXPECT_EQ(known->view(), "lre://laptop");

  auto nobody = Call(server.address(), Trusting(*authority_), "/test/Identity");
  ASSERT_FALSE(nobody.has_value());
  EXPECT_EQ(nobody.error().code(), Code::kUnavailable);
}

TEST_F(Tls, RefusesPlainClients) {
  TestServer server({.tls = ServerFiles()});
  auto channel = Channel::Create(server.address());
  auto answer = (*channel)->Unary("/test/Unary", {}, {.timeout = std::chrono::seconds(10)});
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code(), Code::kUnavailable);
}

TEST_F(Tls, ReloadsCertificatesWithoutRestart) {
  TempDir folder;
  auto install = [&](const Authority& from) {
    for (const char* kind : {"pem", "key"}) {
      bool pem = std::string_view(kind) == "pem";
      auto bytes = ReadFile(pem ? from.certificate("server") : from.key("server"));
      ASSERT_TRUE(bytes.has_value());
      ASSERT_TRUE(WriteFileAtomically(folder / kind, *bytes).ok());
    }
  };
  install(*authority_);
  TestServer server({.tls = {.certificate_path = folder / "pem", .key_path = folder / "key"}});
  auto old_channel = *Channel::Create("grpcs://" + server.address(), Trusting(*authority_));
  ASSERT_TRUE(old_channel->Unary("/test/Unary", {}).has_value());

  install(*other_);
  ASSERT_TRUE(server.server().ReloadCertificates().ok());
  EXPECT_TRUE(Call(server.address(), Trusting(*other_)).has_value());
  EXPECT_TRUE(old_channel->Unary("/test/Unary", {}).has_value());

  ASSERT_TRUE(WriteFileAtomically(folder / "pem", "not a certificate").ok());
  Status broken = server.server().ReloadCertificates();
  EXPECT_THAT(broken.message(), HasSubstr(folder / "pem"));
  EXPECT_TRUE(Call(server.address(), Trusting(*other_)).has_value());
}

TEST_F(Tls, SatisfiesGrpcClients) {
  TestServer server({.tls = ServerFiles(/*mutual=*/true)});
  grpc::SslCredentialsOptions options{
      .pem_root_certs = *ReadFile(authority_->certificate("ca")),
      .pem_private_key = *ReadFile(authority_->key("client")),
      .pem_cert_chain = *ReadFile(authority_->certificate("client"))};
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  auto channel =
      grpc::CreateCustomChannel(server.address(), grpc::SslCredentials(options), arguments);
  auto stub = google::bytestream::ByteStream::NewStub(channel);
  grpc::ClientContext context;
  google::bytestream::ReadRequest request;
  request.set_resource_name("n:10:3000000");
  auto reader = stub->Read(&context, request);
  google::bytestream::ReadResponse response;
  int count = 0;
  while (reader->Read(&response)) count += response.data().size() == 3'000'000;
  grpc::Status status = reader->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(count, 10);
}

TEST_F(Tls, SatisfiesCurl) {
  TestServer server({.tls = ServerFiles()}, [](HttpRequest request, auto respond) {
    respond({.status = 200, .headers = {}, .body = {Bytes("page " + request.path)}});
  });
  for (const char* version : {"--http1.1", "--http2"}) {
    auto ran = RunSubprocess(
        {.arguments = {"curl", "-sS", version, "-w", " %{http_version}", "--cacert",
                       authority_->certificate("ca"), "https://" + server.address() + "/p"}});
    ASSERT_TRUE(ran.has_value());
    EXPECT_THAT(ran->output, HasSubstr("page /p")) << ran->error_output;
    EXPECT_THAT(ran->output, HasSubstr(std::string_view(version) == "--http2" ? " 2" : " 1.1"));
  }
}

TEST_F(Tls, NamesTheFileThatIsWrong) {
  Metrics metrics;
  auto started = Server::Start({.listen = {"127.0.0.1:0"},
                                .tls = {.certificate_path = "/no/such.pem", .key_path = "/no/key"}},
                               {}, nullptr, metrics, SystemClock());
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(started.error().message(), HasSubstr("/no/such.pem"));
}

}  // namespace
}  // namespace lre::rpc
