// The row loops, compiled for NEON with FEAT_DotProd.
#include "generic/row_loops.hpp"

namespace vicinal {
const RowOps& dotprod_rows() { return kRowOps; }
}  // namespace vicinal
