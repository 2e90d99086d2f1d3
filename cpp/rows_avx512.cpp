// The loops over rows, compiled for AVX-512.
#include "rows_impl.hpp"

namespace vicinal {
const RowOps& avx512_rows() { return kRowOps; }
}  // namespace vicinal
