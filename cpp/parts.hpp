// Lists of a join in parts: what of them is sent, and the lists that it is merged into.
#pragma once

#include <cstdint>

#include "vicinal.hpp"

namespace vicinal {

// The entries of n lists that are within the limits.
Entries entries_within(const RawLists& lists, int64_t n, int64_t k);

// n lists of k entries each, in the order (distance, row). An empty place has distance infinity and the highest number.
template <class Row>
struct SortedLists {
    double* distances;
    Row* rows;
    int64_t k;
};

// Entries for some lists: counts[i] of them for the list lists[i], whose rows are numbered from `first` on.
struct NewEntries {
    const int64_t* lists;
    const int64_t* counts;
    int64_t n;
    const uint32_t* rows;
    const double* distances;
    uint64_t first;
};

// Takes up the entries. An entry that is in its list already changes nothing.
template <class Row>
void merge_entries(const SortedLists<Row>& lists, const NewEntries& entries);

}  // namespace vicinal
