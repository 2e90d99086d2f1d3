// Exact copies: rows with equal values are stored once.
#pragma once

#include <vector>

#include "pool.hpp"
#include "rows.hpp"

namespace vicinal {

// Rows with equal values (and of one group, where there are groups) are one representative: the first of them.
struct Copies {
    std::vector<int32_t> representatives;
    std::vector<int32_t> members;  // of each representative, ascending, itself among them; empty where nothing is equal
    std::vector<int64_t> starts;

    bool any() const { return !members.empty(); }
};

Copies find_copies(const Rows& rows, const int64_t* groups, const RowOps& ops, Pool& pool, const Watch& watch);

}  // namespace vicinal
