#include "text.h"

#include <stdexcept>

#include "sum.h"

std::string SumText(int a, int b) {
  int sum = features_sum(a, b);
  if (sum <= 0) throw std::range_error("not positive");
  return std::to_string(sum);
}
