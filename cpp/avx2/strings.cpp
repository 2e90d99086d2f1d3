// The string loops, compiled for AVX2.
#include "generic/string_loops.hpp"

namespace vicinal {
const StringOps& avx2_strings() { return kStringOps; }
}  // namespace vicinal
