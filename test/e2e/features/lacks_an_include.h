#pragma once

inline std::string Nothing() { return {}; }
