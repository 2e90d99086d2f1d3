// Finds exact copies, so that rows with equal values are stored once.
#pragma once

#include <vector>

#include "pool.hpp"
#include "rows.hpp"

namespace vicinal {

// Rows with equal values (and, where there are groups, of the same group) are represented by the first of them.
struct Copies {
    std::vector<int32_t> representatives;
    std::vector<int32_t>
        members;  // copies of each representative, ascending, with itself; empty where no rows are equal
    std::vector<int64_t> starts;

    bool any() const { return !members.empty(); }
};

Copies find_copies(const Rows& rows, const int64_t* groups, const RowOps& ops, Pool& pool, const Callbacks& callbacks);

}  // namespace vicinal
