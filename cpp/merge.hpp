// From the lists of representatives to the result of every given row: copies are put back.
#pragma once

#include "join.hpp"

namespace vicinal {

// Ends the lists of a self-join: sorts them, and gives each copy its own.
void spread_copies(const Context& context, const int64_t* groups, Lists& lists);

// The first `limit` given rows that a sorted list of representatives stands for, in the order (distance, row).
void expand(const Stored& stored, const std::vector<Neighbour>& representatives,
            const std::vector<int64_t>& position_of, int64_t limit, std::vector<Neighbour>& out);

// Row -> position; empty where nothing is equal.
std::vector<int64_t> positions(const Stored& stored);

}  // namespace vicinal
