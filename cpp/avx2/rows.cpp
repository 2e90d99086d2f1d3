// The row loops, compiled for AVX2.
#include "generic/row_loops.hpp"

namespace vicinal {
const RowOps& avx2_rows() { return kRowOps; }
}  // namespace vicinal
