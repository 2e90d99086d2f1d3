// The row loops, compiled for the baseline of the architecture.
#include "generic/row_loops.hpp"

namespace vicinal {
const RowOps& portable_rows() { return kRowOps; }
}  // namespace vicinal
