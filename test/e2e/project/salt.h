#pragma once
// In every program: the tests write another number here, and then every action is new.
#define E2E_SALT 0
inline volatile int e2e_salt = E2E_SALT;
