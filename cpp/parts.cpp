// See parts.hpp.
#include "parts.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "topk.hpp"

namespace vicinal {
namespace {

Neighbour entry_at(const RawLists& lists, int64_t i) {
    Neighbour entry;
    std::memcpy(&entry.distance, lists.distances + i, 8);
    std::memcpy(&entry.row, lists.rows + i, 4);
    return entry;
}

}  // namespace

Entries entries_within(const RawLists& lists, int64_t n, int64_t k) {
    Entries out;
    out.counts.resize(n);
    const auto wanted = [&](int64_t list, const Neighbour& entry) {
        return entry.row != kNoNeighbour.row && entry.distance <= lists.limits[list];
    };
    int64_t all = 0;
    for (int64_t list = 0; list < n; ++list) {
        for (int64_t i = list * k; i < (list + 1) * k; ++i) out.counts[list] += wanted(list, entry_at(lists, i));
        all += out.counts[list];
    }
    out.rows.reserve(all);
    out.distances.reserve(all);
    for (int64_t list = 0; list < n; ++list) {
        if (out.counts[list] == 0) continue;
        for (int64_t i = list * k; i < (list + 1) * k; ++i) {
            const Neighbour entry = entry_at(lists, i);
            if (!wanted(list, entry)) continue;
            out.rows.push_back(entry.row);
            out.distances.push_back(entry.distance);
        }
    }
    return out;
}

template <class Row>
void merge_entries(const SortedLists<Row>& lists, const NewEntries& entries) {
    using Entry = std::pair<double, Row>;
    const int64_t k = lists.k;
    std::vector<Entry> fresh, merged;
    for (int64_t i = 0, place = 0; i < entries.n; ++i) {
        double* distances = lists.distances + entries.lists[i] * k;
        Row* rows = lists.rows + entries.lists[i] * k;
        const Entry worst{distances[k - 1], rows[k - 1]};
        fresh.clear();
        for (const int64_t end = place + entries.counts[i]; place < end; ++place) {
            const Entry one{entries.distances[place], static_cast<Row>(entries.first + entries.rows[place])};
            if (one < worst) fresh.push_back(one);
        }
        if (fresh.empty()) continue;
        std::sort(fresh.begin(), fresh.end());
        merged.clear();
        auto next = fresh.begin();
        for (int64_t old = 0; static_cast<int64_t>(merged.size()) < k;) {
            const Entry own{distances[old], rows[old]};
            const bool newer = next != fresh.end() && *next < own;
            const Entry one = newer ? *next : own;
            // The same pair has the same distance in every part. Only an empty place occurs more than once.
            const bool again = !merged.empty() && merged.back() == one && one.second != std::numeric_limits<Row>::max();
            if (!again) merged.push_back(one);
            if (newer) ++next;
            else if (++old == k) break;
        }
        // An old entry is left out for a new one alone, so that the list stays full.
        for (size_t j = 0; j < merged.size(); ++j) {
            distances[j] = merged[j].first;
            rows[j] = merged[j].second;
        }
    }
}

template void merge_entries(const SortedLists<uint32_t>& lists, const NewEntries& entries);
template void merge_entries(const SortedLists<uint64_t>& lists, const NewEntries& entries);

}  // namespace vicinal
