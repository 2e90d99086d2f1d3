// The string loops, compiled for NEON.
#include "generic/string_loops.hpp"

namespace vicinal {
const StringOps& neon_strings() { return kStringOps; }
}  // namespace vicinal
