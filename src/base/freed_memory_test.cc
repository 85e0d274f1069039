#include "base/freed_memory.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>
#include <vector>

namespace lre {
namespace {

using std::chrono::steady_clock;

constexpr size_t kPieceBytes = 64 << 10, kPieces = 1024;

size_t AnonymousBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssAnon:")) return std::strtoull(line.c_str() + 8, nullptr, 10) << 10;
  return 0;
}

TEST(FreedMemoryTest, WhatLiesBeforeAPieceThatStaysIsGivenBack) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers bring an allocator of their own";
#endif
  const FreedMemory freed(std::chrono::milliseconds(10));
  std::vector<void*> pieces(kPieces);
  for (void*& piece : pieces) piece = std::memset(std::malloc(kPieceBytes), 1, kPieceBytes);
  void* stays = std::malloc(kPieceBytes);
  const size_t before = AnonymousBytes();
  for (void* piece : pieces) std::free(piece);
  const size_t goal = before - kPieces * kPieceBytes * 9 / 10;
  const auto end = steady_clock::now() + std::chrono::seconds(20);
  while (AnonymousBytes() > goal && steady_clock::now() < end) std::this_thread::yield();
  EXPECT_LE(AnonymousBytes(), goal) << "of " << before;
  std::free(stays);
}

TEST(FreedMemoryTest, WithoutAnIntervalItHasNoThread) {
  const FreedMemory freed(Duration(0));  // ends at once
}

}  // namespace
}  // namespace lre
