// Distances between byte strings, compiled for the plainest machine of this build's architecture.
#include "generic/string_loops.hpp"

namespace vicinal {
const StringOps& portable_strings() { return kStringOps; }
}  // namespace vicinal
