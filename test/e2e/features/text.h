#pragma once
#include <string>

// "7" for 3 and 4; throws std::range_error when the sum is not positive.
std::string SumText(int a, int b);
