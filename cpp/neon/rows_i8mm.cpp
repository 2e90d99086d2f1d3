// The row loops, compiled for NEON with FEAT_I8MM.
#include "generic/row_loops.hpp"

namespace vicinal {
const RowOps& i8mm_rows() { return kRowOps; }
}  // namespace vicinal
