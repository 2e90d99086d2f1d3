// An order of the rows in which neighbours tend to lie near each other.
#pragma once

#include <vector>

#include "coder.hpp"
#include "pool.hpp"

namespace vicinal {

struct Order {
    std::vector<int32_t> rows;
    std::vector<int64_t> breaks;  // where a block must begin: another region, or rows of another size
};

// The rows given, region after region, those of unusual size apart, and sorted by the nearest of a few hundred rows
// picked as pivots (ranked by codes alone); the pivots are put in a chain, each next to one that is near it. Any order
// is as correct: this one lets the first tiles of a join find most neighbours, so that the others have little left to
// measure.
Order order_by_pivots(const Rows& rows, const std::vector<int32_t>& which, const Coder& coder, const Isa& isa,
                      Pool& pool, const Watch& watch);

}  // namespace vicinal
