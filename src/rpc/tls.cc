#include "rpc/tls.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/mapped_copy.h"

namespace lre::rpc {
namespace {

constexpr size_t kRecordBytes = 16 << 10;

std::string LastError() {
  unsigned long error = ERR_peek_last_error();
  ERR_clear_error();
  if (error == 0) return "unknown TLS error";
  char text[256];
  ERR_error_string_n(error, text, sizeof text);
  return text;
}

// OpenSSL's own socket BIO writes without MSG_NOSIGNAL, and a library must not touch SIGPIPE.
int BioWrite(BIO* bio, const char* bytes, int size) {
  BIO_clear_retry_flags(bio);
  int fd = static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio)));
  ssize_t n = send(fd, bytes, static_cast<size_t>(size), MSG_NOSIGNAL);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(n);
}

int BioRead(BIO* bio, char* bytes, int size) {
  BIO_clear_retry_flags(bio);
  int fd = static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio)));
  ssize_t n = recv(fd, bytes, static_cast<size_t>(size), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  return static_cast<int>(n);
}

long BioControl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO* NewBio(int fd) {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    BIO_meth_set_write(made, BioWrite);
    BIO_meth_set_read(made, BioRead);
    BIO_meth_set_ctrl(made, BioControl);
    return made;
  }();
  BIO* bio = BIO_new(method);
  CHECK(bio != nullptr, "out of memory");
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(fd)));
  BIO_set_init(bio, 1);
  return bio;
}

// The first URI, DNS name or e-mail of the certificate, else its common name.
std::string IdentityOf(X509* certificate) {
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  std::string identity;
  for (int type : {GEN_URI, GEN_DNS, GEN_EMAIL}) {
    for (int i = 0; identity.empty() && i < sk_GENERAL_NAME_num(names); ++i) {
      GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
      if (name->type != type) continue;
      const ASN1_IA5STRING* text = name->d.ia5;
      identity.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                      static_cast<size_t>(ASN1_STRING_length(text)));
    }
  }
  GENERAL_NAMES_free(names);
  if (!identity.empty()) return identity;
  char common[256] = "";
  int n = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, common,
                                    sizeof common);
  return n > 0 ? std::string(common, static_cast<size_t>(n)) : std::string();
}

class TlsSocket final : public Socket {
 public:
  // Takes over `ssl`.
  TlsSocket(UniqueFd fd, SSL* ssl) : fd_(std::move(fd)), ssl_(ssl) {
    BIO* bio = NewBio(fd_.get());
    SSL_set_bio(ssl_, bio, bio);
  }
  ~TlsSocket() override { SSL_free(ssl_); }

  IoResult Read(char* out, size_t size) override {
    size_t total = 0;
    while (total < size) {
      size_t n = 0;
      ERR_clear_error();
      int result = SSL_read_ex(ssl_, out + total, size - total, &n);
      if (result == 1) {
        total += n;
        continue;
      }
      if (total > 0) break;  // the next read finds the same
      return Judge(result);
    }
    wants_write_ = false;
    return {.kind = IoResult::kDone, .bytes = total};
  }

  IoResult Write(const iovec* pieces, int count) override {
    // Gathered, so that small pieces share a record, and read here instead of by OpenSSL, because
    // pieces may be of a mapping whose disk fails.
    char gathered[kRecordBytes];
    size_t size = 0;
    for (int i = 0; i < count && size < kRecordBytes; ++i) {
      size_t n = std::min(pieces[i].iov_len, kRecordBytes - size);
      if (!MappedCopy(gathered + size, pieces[i].iov_base, n)) {
        return {.kind = IoResult::kError, .error = "the disk did not give what was promised"};
      }
      size += n;
    }
    size_t written = 0;
    wants_read_ = false;
    ERR_clear_error();
    int result = SSL_write_ex(ssl_, gathered, size, &written);
    if (result == 1) return {.kind = IoResult::kDone, .bytes = written};
    wants_read_ = SSL_want_read(ssl_);
    return Judge(result);
  }

  int fd() const override { return fd_.get(); }
  void ShutdownWrite() override {
    ERR_clear_error();
    SSL_shutdown(ssl_);
    shutdown(fd_.get(), SHUT_WR);
  }
  bool wants_write() const override { return wants_write_; }
  bool wants_read() const override { return wants_read_; }
  bool has_pending() const override { return SSL_pending(ssl_) > 0; }
  std::string identity() const override {
    X509* certificate = SSL_get0_peer_certificate(ssl_);
    if (certificate == nullptr || SSL_get_verify_result(ssl_) != X509_V_OK) return {};
    return IdentityOf(certificate);
  }

 private:
  IoResult Judge(int result) {
    wants_write_ = false;
    switch (SSL_get_error(ssl_, result)) {
      case SSL_ERROR_WANT_READ:
        return {.kind = IoResult::kAgain};
      case SSL_ERROR_WANT_WRITE:
        wants_write_ = true;
        return {.kind = IoResult::kAgain};
      case SSL_ERROR_ZERO_RETURN:
        return {.kind = IoResult::kEnd};
      case SSL_ERROR_SYSCALL:
        if (errno == 0) return {.kind = IoResult::kEnd};
        return {.kind = IoResult::kError, .error = std::strerror(errno)};
      default:
        break;
    }
    long verified = SSL_get_verify_result(ssl_);
    if (verified != X509_V_OK) {
      ERR_clear_error();
      return {
          .kind = IoResult::kError,
          .error = fmt::format("TLS: certificate: {}", X509_verify_cert_error_string(verified))};
    }
    return {.kind = IoResult::kError, .error = "TLS: " + LastError()};
  }

  UniqueFd fd_;
  SSL* const ssl_;
  bool wants_write_ = false, wants_read_ = false;
};

int SelectAlpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
               unsigned int in_size, void*) {
  static constexpr unsigned char kOurs[] = "\x02h2\x08http/1.1";
  unsigned char* chosen;
  if (SSL_select_next_proto(&chosen, out_size, kOurs, sizeof kOurs - 1, in, in_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

class Context final : public TlsContext {
 public:
  Context(SSL_CTX* context, bool server) : context_(context), server_(server) {}
  ~Context() override { SSL_CTX_free(context_); }

  Status LoadPair(const std::string& certificate, const std::string& key) {
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context_, certificate.c_str()) != 1) {
      return ErrorStatus(Code::kInvalidArgument, "certificate {}: {}", certificate, LastError());
    }
    if (SSL_CTX_use_PrivateKey_file(context_, key.c_str(), SSL_FILETYPE_PEM) != 1) {
      return ErrorStatus(Code::kInvalidArgument, "key {}: {}", key, LastError());
    }
    return {};
  }
  Status LoadAuthorities(const std::string& path) {
    ERR_clear_error();
    if (SSL_CTX_load_verify_locations(context_, path.c_str(), nullptr) != 1) {
      return ErrorStatus(Code::kInvalidArgument, "certificate authorities {}: {}", path,
                         LastError());
    }
    return {};
  }
  SSL_CTX* get() { return context_; }

  std::unique_ptr<Socket> Wrap(UniqueFd fd, const std::string& host) override {
    TuneTcp(fd.get());
    SSL* ssl = SSL_new(context_);
    CHECK(ssl != nullptr, "out of memory");
    if (server_) {
      SSL_set_accept_state(ssl);
      return std::make_unique<TlsSocket>(std::move(fd), ssl);
    }
    SSL_set_connect_state(ssl);
    in6_addr address;
    if (inet_pton(AF_INET, host.c_str(), &address) == 1 ||
        inet_pton(AF_INET6, host.c_str(), &address) == 1) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str());
    } else {
      SSL_set1_host(ssl, host.c_str());
      SSL_set_tlsext_host_name(ssl, host.c_str());
    }
    return std::make_unique<TlsSocket>(std::move(fd), ssl);
  }

 private:
  SSL_CTX* const context_;
  const bool server_;
};

Result<std::shared_ptr<Context>> NewContext(bool server) {
  SSL_CTX* made = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
  if (made == nullptr) return Error(Code::kInternal, "TLS: {}", LastError());
  SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
  SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // Output keeps its bytes until they are written, but may have more by then.
  SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                             SSL_MODE_RELEASE_BUFFERS);
  return std::make_shared<Context>(made, server);
}

}  // namespace

Result<std::shared_ptr<TlsContext>> TlsContext::ForServer(const TlsOptions& options) {
  TRY_ASSIGN(std::shared_ptr<Context> context, NewContext(/*server=*/true));
  TRY(context->LoadPair(options.certificate_path, options.key_path));
  SSL_CTX_set_alpn_select_cb(context->get(), SelectAlpn, nullptr);
  if (!options.client_ca_path.empty()) {
    TRY(context->LoadAuthorities(options.client_ca_path));
    SSL_CTX_set_verify(context->get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    SSL_CTX_set_session_id_context(context->get(), reinterpret_cast<const unsigned char*>("lre"),
                                   3);
  }
  return context;
}

Result<std::shared_ptr<TlsContext>> TlsContext::ForClient(const TlsClientOptions& options) {
  TRY_ASSIGN(std::shared_ptr<Context> context, NewContext(/*server=*/false));
  if (!options.certificate_path.empty()) {
    TRY(context->LoadPair(options.certificate_path, options.key_path));
  }
  if (!options.ca_path.empty()) {
    TRY(context->LoadAuthorities(options.ca_path));
  } else {
    SSL_CTX_set_default_verify_paths(context->get());
  }
  SSL_CTX_set_verify(context->get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_alpn_protos(context->get(), reinterpret_cast<const unsigned char*>("\x02h2"), 3);
  return context;
}

}  // namespace lre::rpc
