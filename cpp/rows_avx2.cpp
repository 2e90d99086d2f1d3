// The loops over rows, compiled for AVX2.
#include "rows_impl.hpp"

namespace vicinal {
const RowOps& avx2_rows() { return kRowOps; }
}  // namespace vicinal
