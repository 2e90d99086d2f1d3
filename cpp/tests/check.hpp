// Counts what does not hold in a test; a test with many failures ends early.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace vicinal {

inline int failures = 0;

inline void fail() {
    if (++failures > 50) std::exit(1);
}

}  // namespace vicinal

#define CHECK(condition)                                                          \
    do {                                                                          \
        if (!(condition)) {                                                       \
            std::printf("%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            vicinal::fail();                                                      \
        }                                                                         \
    } while (false)
