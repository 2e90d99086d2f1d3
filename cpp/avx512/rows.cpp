// The row loops, compiled for AVX-512.
#include "generic/row_loops.hpp"

namespace vicinal {
const RowOps& avx512_rows() { return kRowOps; }
}  // namespace vicinal
