// The loops over rows, compiled for the plainest machine of this build's architecture.
#include "rows_impl.hpp"

namespace vicinal {
const RowOps& portable_rows() { return kRowOps; }
}  // namespace vicinal
