#include <cstdio>

#include "sum.h"
#include "text.h"

void Use() { std::puts(SumText(features_sum(1, 1), 1).c_str()); }
