// See coder.hpp.
#include "coder.hpp"

#include "centre.hpp"

namespace vicinal {

void Coder::upper_bounds(const BlockStats& rows, const BlockStats& columns, int, const Survivor* survivors, size_t n,
                         float* out) const {
    for (size_t i = 0; i < n; ++i) {
        out[i] = round_up(radius_of(upper_bound(rows, survivors[i].row, columns, survivors[i].score)));
    }
}

}  // namespace vicinal
