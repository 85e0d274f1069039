#include "service/get_tree.h"

#include <charconv>
#include <deque>
#include <unordered_set>

#include "reapi/action.h"
#include "reapi/digest_proto.h"
#include "reapi/wire/message_writer.h"
#include "service/blocking.h"

namespace lre::service {
namespace {

namespace pb = reapi::pb;

// One walk. Its state belongs to whichever side runs it: a step on the I/O pool, or the loop
// between steps; never both.
class Walk : public std::enable_shared_from_this<Walk> {
 public:
  Walk(CasParts parts, CasOptions options, std::shared_ptr<rpc::ServerCall> call)
      : parts_(parts), options_(options), call_(std::move(call)) {}

  Status Begin(const Bytes& bytes);
  // On the loop: starts a step unless one runs or the client has not taken the last ones.
  void Continue();

 private:
  enum class Page { kMore, kLast };
  void Step();
  Result<Page> MakePage(BytesList* message);
  Result<std::optional<std::string>> Load(const Digest& digest);

  const CasParts parts_;
  const CasOptions options_;
  const std::shared_ptr<rpc::ServerCall> call_;
  store::Partition partition_ = 0;
  Digest root_;
  size_t page_size_ = 0;  // directories in one message; 0: no limit
  size_t skip_ = 0;       // directories that an earlier call has sent
  size_t done_ = 0;       // directories walked
  std::deque<Digest> queue_;
  std::unordered_set<Digest> seen_;
  bool running_ = false;  // loop only
  bool ended_ = false;    // loop only
};

Status Walk::Begin(const Bytes& bytes) {
  pb::GetTreeRequest request;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Status(Code::kInvalidArgument, "the request is no GetTreeRequest message");
  }
  TRY_ASSIGN(partition_, parts_.partitions.Admit(call_->info(), request.instance_name()));
  if (!request.has_root_digest()) return Status(Code::kInvalidArgument, "root_digest is missing");
  TRY_ASSIGN(root_, reapi::FromProto(request.root_digest(), request.digest_function()));
  if (request.page_size() < 0) {
    return ErrorStatus(Code::kInvalidArgument, "page_size {} is negative", request.page_size());
  }
  page_size_ = static_cast<size_t>(request.page_size());
  if (const std::string& token = request.page_token(); !token.empty()) {
    auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), skip_);
    if (error != std::errc() || end != token.data() + token.size()) {
      return ErrorStatus(Code::kInvalidArgument, "page_token \"{}\" is none that this server gave",
                         token.substr(0, 64));
    }
  }
  queue_.push_back(root_);
  seen_.insert(root_);
  return Status();
}

void Walk::Continue() {
  if (running_ || ended_ || call_->queued_bytes() > rpc::kWritableLowWaterBytes) return;
  running_ = true;
  RunBlocking(parts_.io, call_, [self = shared_from_this()] { self->Step(); });
}

void Walk::Step() {
  BytesList message;
  Result<Page> page = MakePage(&message);
  call_->Post([self = shared_from_this(), message = std::move(message), page = std::move(page)] {
    self->running_ = false;
    if (!page) {
      self->ended_ = true;
      return self->call_->Finish(page.error());
    }
    if (*page == Page::kLast) {
      self->ended_ = true;
      return self->call_->Respond(message);
    }
    self->call_->Send(message);
    self->Continue();
  });
}

// The bytes of a directory; nullopt when it is missing.
Result<std::optional<std::string>> Walk::Load(const Digest& digest) {
  auto bytes = store::ReadAll(parts_.store, {digest, partition_});
  if (bytes) return std::move(*bytes);
  if (bytes.error().code() != Code::kNotFound) return std::unexpected(bytes.error());
  if (digest == root_) return Error(Code::kNotFound, "root directory {}", digest);
  return std::nullopt;
}

Result<Walk::Page> Walk::MakePage(BytesList* message) {
  reapi::wire::MessageWriter writer(4096);
  size_t in_page = 0;
  while (!queue_.empty() && writer.size() < options_.tree_page_bytes &&
         (page_size_ == 0 || in_page < page_size_)) {
    const Digest digest = queue_.front();
    queue_.pop_front();
    TRY_ASSIGN(std::optional<std::string> bytes, Load(digest));
    if (!bytes) continue;
    Result<reapi::Directory> directory = reapi::ParseDirectory(*bytes, digest.function);
    if (!directory) {
      return std::unexpected(directory.error().WithContext("blob " + digest.ToString()));
    }
    for (const reapi::DirectoryNode& child : directory->directories) {
      if (seen_.insert(child.digest).second) queue_.push_back(child.digest);
    }
    if (seen_.size() > options_.tree_directories_max) {
      return Error(Code::kResourceExhausted, "tree {} has more than {} directories", root_,
                   options_.tree_directories_max);
    }
    done_++;
    if (done_ <= skip_) continue;
    writer.Open(1, bytes->size());
    writer.Raw(*bytes);
    in_page++;
  }
  const bool last = queue_.empty();
  if (!last) writer.Text(2, std::to_string(std::max(done_, skip_)));
  *message = writer.Finish();
  return last ? Page::kLast : Page::kMore;
}

class Handler : public rpc::CallHandler {
 public:
  explicit Handler(std::shared_ptr<Walk> walk) : walk_(std::move(walk)) {}
  void OnMessage(Bytes) override {}
  void OnWritable() override { walk_->Continue(); }

 private:
  std::shared_ptr<Walk> walk_;
};

}  // namespace

rpc::Method GetTreeMethod(CasParts parts, CasOptions options) {
  return rpc::ServerStreamMethod(
      "/build.bazel.remote.execution.v2.ContentAddressableStorage/GetTree",
      [parts, options](std::shared_ptr<rpc::ServerCall> call,
                       Bytes request) -> std::unique_ptr<rpc::CallHandler> {
        auto walk = std::make_shared<Walk>(parts, options, call);
        if (Status begun = walk->Begin(request); !begun.ok()) {
          call->Finish(std::move(begun));
          return nullptr;
        }
        walk->Continue();
        return std::make_unique<Handler>(std::move(walk));
      });
}

}  // namespace lre::service
