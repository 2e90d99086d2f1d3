// The string loops, compiled for the baseline of the architecture.
#include "generic/string_loops.hpp"

namespace vicinal {
const StringOps& portable_strings() { return kStringOps; }
}  // namespace vicinal
