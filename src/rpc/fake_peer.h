// FakePeer: a client (or, accepted by FakeListener, a server) that speaks raw HTTP/2 frames over a
// blocking socket, so that tests can misbehave. Header blocks are written without HPACK's table or
// Huffman, by hand. Confined to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"

namespace lre::rpc {

struct FakeFrame {
  uint8_t type = 0, flags = 0;
  uint32_t stream = 0;
  std::string payload;
  // RST_STREAM: its error; GOAWAY: its error.
  uint32_t error() const;
  uint32_t goaway_last_stream() const;
};

// HTTP/2's numbers, as RFC 9113 writes them.
inline constexpr uint8_t kFrameData = 0, kFrameHeaders = 1, kFrameReset = 3, kFrameSettings = 4,
                         kFramePing = 6, kFrameGoaway = 7, kFrameWindowUpdate = 8,
                         kFrameContinuation = 9;
inline constexpr uint8_t kFlagEndStream = 1, kFlagAck = 1, kFlagEndHeaders = 4;

class FakePeer {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;

  explicit FakePeer(const std::string& address);
  // The server's end of an accepted connection, see FakeListener.
  explicit FakePeer(UniqueFd accepted);
  // As a server: takes the client's preface and sends an empty SETTINGS.
  void Greet();
  // Sends the preface and an empty SETTINGS (or these entries).
  void Hello(const std::vector<std::pair<uint16_t, uint32_t>>& settings = {});
  // False when the server has closed the connection.
  bool SendRaw(std::string_view bytes);
  bool SendFrame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload);
  bool SendHeaders(uint32_t stream, const Fields& fields, uint8_t flags = kFlagEndHeaders);
  // The headers of a gRPC call, with these after the usual ones.
  bool StartCall(uint32_t stream, const std::string& path, const Fields& more = {});
  // One gRPC message in one DATA frame.
  bool SendMessage(uint32_t stream, std::string_view message, bool end);
  // The next frame; nullopt when the server closed the connection or nothing came for 10 s.
  // SETTINGS are acknowledged and skipped, WINDOW_UPDATE is skipped.
  std::optional<FakeFrame> Next();
  // Reads until a frame of this type comes; nullopt as above.
  std::optional<FakeFrame> NextOf(uint8_t type);
  // True when the server has closed the connection (after whatever it still sent).
  bool Closed();
  // Everything until the server closes the connection.
  std::string ReadAll();
  // Reads until this text has come; false when the connection ended before.
  bool ReadUntil(std::string_view text);
  void StopWriting();
  int fd() const { return fd_.get(); }

  static std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload);
  static std::string HeaderBlock(const Fields& fields);

 private:
  bool ReadExactly(char* out, size_t size);
  UniqueFd fd_;
  bool ended_ = false;
};

class FakeListener {
 public:
  FakeListener();
  const std::string& address() const { return address_; }
  FakePeer Accept();

 private:
  UniqueFd fd_;
  std::string address_;
};

}  // namespace lre::rpc
