// The string loops, compiled for AVX-512.
#include "generic/string_loops.hpp"

namespace vicinal {
const StringOps& avx512_strings() { return kStringOps; }
}  // namespace vicinal
