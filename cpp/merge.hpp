// Turns the lists of distinct rows into the result, with all copies of a row.
#pragma once

#include "join.hpp"

namespace vicinal {

// Writes the result of a self-join: sorts the lists and gives each copy of a row its own neighbours.
void finish_self_join(const Context& context, const int64_t* groups, Lists& lists);

// Writes the result of a search: sorts the lists and adds the copies of the stored rows.
void finish_search(const Context& context, int64_t n_queries, Lists& lists);

}  // namespace vicinal
