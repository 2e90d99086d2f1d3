// Distances between byte strings, compiled for AVX2.
#include "strings_impl.hpp"

namespace vicinal {
const StringOps& avx2_strings() { return kStringOps; }
}  // namespace vicinal
