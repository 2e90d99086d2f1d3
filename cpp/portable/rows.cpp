// The loops over rows, compiled for the plainest machine of this build's architecture.
#include "generic/row_loops.hpp"

namespace vicinal {
const RowOps& portable_rows() { return kRowOps; }
}  // namespace vicinal
