// From the lists of representatives to the result of every given row: copies are put back.
#pragma once

#include "join.hpp"

namespace vicinal {

// Ends the lists of a self-join: sorts them, and gives each copy its own.
void finish_self_join(const Context& context, const int64_t* groups, Lists& lists);

// Ends the lists of so many queries: sorts them, with all copies of the rows found.
void finish_search(const Context& context, int64_t n_queries, Lists& lists);

}  // namespace vicinal
