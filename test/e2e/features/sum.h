#pragma once
#ifdef __cplusplus
extern "C" {
#endif
int features_sum(int a, int b);
int features_add(int a, int b);
#ifdef __cplusplus
}
#endif
