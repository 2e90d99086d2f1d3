// Sorts the rows so that near neighbours tend to be in the same block.
#pragma once

#include <vector>

#include "coder.hpp"
#include "pool.hpp"

namespace vicinal {

struct Order {
    std::vector<int32_t> rows;
    std::vector<double> peaks;    // of each position
    std::vector<int64_t> breaks;  // positions where a block must begin: another region, or rows of another magnitude
};

// Sorts the rows by region, by magnitude where it differs much, and by the nearest of a few hundred rows that serve as
// pivots (ranked by codes alone). Pivots that follow each other are near each other. Results do not depend on the
// order; with this one the first tiles of a join find most neighbours, so that later tiles have fewer pairs to measure.
Order order_by_pivots(const Rows& rows, const std::vector<int32_t>& which, const Coder& coder, const Isa& isa,
                      Pool& pool, const Callbacks& callbacks);

}  // namespace vicinal
