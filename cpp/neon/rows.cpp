// The row loops, compiled for NEON.
#include "generic/row_loops.hpp"

namespace vicinal {
const RowOps& neon_rows() { return kRowOps; }
}  // namespace vicinal
