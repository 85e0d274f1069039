#pragma once
#include <string>

// Always throws std::runtime_error(what).
[[noreturn]] void Throw(const std::string& what);
