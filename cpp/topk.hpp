// The k nearest neighbours so far of each row, kept in the memory of the result arrays: an entry is a float64 distance
// and a uint32 row number, which together take the bytes of the int64 index and the float32 distance. Each list is a
// heap whose root is the worst entry in the order (distance, row number).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

namespace vicinal {

struct Neighbour {
    double distance;
    uint32_t row;

    bool operator<(const Neighbour& other) const {
        return distance < other.distance || (distance == other.distance && row < other.row);
    }
};

inline constexpr Neighbour kNoNeighbour = {std::numeric_limits<double>::infinity(),
                                           std::numeric_limits<uint32_t>::max()};

class Lists {
public:
    static constexpr int64_t kChildren = 4;  // of a node of the heap
    static constexpr uint32_t kMark = 1u << 31;

    // With `raw`, `finish` leaves entries as they are, so that the lists can be filled further.
    Lists(int64_t* indices, float* distances, int64_t k, bool raw = false)
        : indices_(indices), distances_(distances), k_(k), raw_(raw) {}

    int64_t k() const { return k_; }

    void clear(int64_t first, int64_t last) {
        for (int64_t i = first * k_; i < last * k_; ++i) put(i, kNoNeighbour);
    }

    // Asks for the worst entry of a list that is read soon.
    void prefetch(int64_t list) const { __builtin_prefetch(indices_ + list * k_); }

    // The distance of the worst entry; infinity until the list has k entries.
    double worst(int64_t list) const { return get(list * k_).distance; }

    // Inserts the entry if it is better than the worst one; returns whether it was.
    bool offer(int64_t list, Neighbour entry) {
        if (!(entry.distance < kNoNeighbour.distance)) entry.distance = kNoNeighbour.distance;
        if (!(entry < get(list * k_))) return false;
        sink(list, 0, entry);
        return true;
    }

    // Inserts several entries, which may be reordered; `scratch` is working memory. Returns whether any was inserted.
    bool offer(int64_t list, std::vector<Neighbour>& entries, std::vector<Neighbour>& scratch) {
        const int64_t root = list * k_;
        for (Neighbour& entry : entries) entry.distance = std::min(entry.distance, kNoNeighbour.distance);
        std::erase_if(entries, [worst = get(root)](const Neighbour& entry) { return !(entry < worst); });
        if (static_cast<int64_t>(entries.size()) < std::max<int64_t>(8, k_ / 6)) {
            bool any = false;
            for (const Neighbour& entry : entries) any |= offer(list, entry);
            return any;
        }
        scratch.resize(k_);
        for (int64_t i = 0; i < k_; ++i) scratch[i] = get(root + i);
        scratch.insert(scratch.end(), entries.begin(), entries.end());
        std::nth_element(scratch.begin(), scratch.begin() + (k_ - 1), scratch.end());
        for (int64_t i = 0; i < k_; ++i) put(root + i, scratch[k_ - 1 - i]);
        order(list, 1);
        return true;
    }

    // Makes a list of the k nearest of these entries, which are reordered, in descending order.
    void fill(int64_t list, Neighbour* first, Neighbour* last) {
        const auto n = std::min<int64_t>(k_, last - first);
        if (n < last - first) std::nth_element(first, first + (n - 1), last);
        std::sort(first, first + n);
        for (int64_t i = 0; i < k_; ++i) put(list * k_ + k_ - 1 - i, i < n ? first[i] : kNoNeighbour);
    }

    // Entries can carry a mark: a bit of their row number, which is below it. Calls use(entry) for those without one,
    // and marks them. Marked entries are after others of the same distance, so they are the first that leave.
    template <class Use>
    void mark(int64_t list, Use&& use) {
        bool any = false;
        for (int64_t i = list * k_; i < (list + 1) * k_; ++i) {
            Neighbour entry = get(i);
            if (entry.row & kMark) continue;  // also where there is no entry
            use(entry);
            entry.row |= kMark;
            put(i, entry);
            any = true;
        }
        if (any) order(list, 0);
    }

    // Makes a list equal to another one.
    void copy(int64_t from, int64_t to) {
        for (int64_t i = 0; i < k_; ++i) put(to * k_ + i, get(from * k_ + i));
    }

    // Whether every entry is empty or names one of `rows` rows, and the heap is in order.
    bool valid(int64_t list, int64_t rows) const {
        for (int64_t i = 0; i < k_; ++i) {
            const Neighbour entry = get(list * k_ + i);
            if (entry.row != kNoNeighbour.row && entry.row >= rows) return false;
            if (i > 0 && get(list * k_ + (i - 1) / kChildren) < entry) return false;
        }
        return true;
    }

    // The entries in ascending order.
    void sorted(int64_t list, std::vector<Neighbour>& out) const {
        out.clear();
        for (int64_t i = list * k_; i < (list + 1) * k_; ++i) {
            const Neighbour entry = get(i);
            if (entry.row != kNoNeighbour.row) out.push_back(entry);
        }
        std::reverse(out.begin(), out.end());  // what `fill` has made is sorted then
        if (!std::is_sorted(out.begin(), out.end())) std::sort(out.begin(), out.end());
    }

    // Overwrites the list with the result: indices and distances, -1 and infinity where there are fewer than k.
    void finish(int64_t list, const std::vector<Neighbour>& entries) {
        if (raw_) {  // a list in descending order is a heap
            const auto some = static_cast<int64_t>(entries.size());
            for (int64_t i = 0; i < k_; ++i) put(list * k_ + k_ - 1 - i, i < some ? entries[i] : kNoNeighbour);
            return;
        }
        for (int64_t i = 0; i < k_; ++i) {
            const bool some = i < static_cast<int64_t>(entries.size());
            indices_[list * k_ + i] = some ? entries[i].row : int64_t{-1};
            distances_[list * k_ + i] =
                some ? static_cast<float>(entries[i].distance) : std::numeric_limits<float>::infinity();
        }
    }

private:
    // Makes a heap of the entries, whose places before `first` are in order.
    void order(int64_t list, int64_t first) {
        for (int64_t place = (k_ - 2 + kChildren) / kChildren - 1; place >= first; --place)
            sink(list, place, get(list * k_ + place));
    }

    // Puts an entry at a place of the heap and moves larger children up.
    void sink(int64_t list, int64_t place, Neighbour entry) {
        const int64_t root = list * k_;
        for (;;) {
            const int64_t first = kChildren * place + 1, last = std::min(first + kChildren, k_);
            if (first >= last) break;
            int64_t child = first;
            Neighbour larger = get(root + first);
            for (int64_t other = first + 1; other < last; ++other) {
                const Neighbour own = get(root + other);
                const bool more = larger < own;
                larger.distance = more ? own.distance : larger.distance;
                larger.row = more ? own.row : larger.row;
                child = more ? other : child;
            }
            if (!(entry < larger)) break;
            put(root + place, larger);
            place = child;
        }
        put(root + place, entry);
    }

    Neighbour get(int64_t i) const {
        Neighbour entry;
        std::memcpy(&entry.distance, indices_ + i, 8);
        std::memcpy(&entry.row, distances_ + i, 4);
        return entry;
    }
    void put(int64_t i, const Neighbour& entry) {
        std::memcpy(indices_ + i, &entry.distance, 8);
        std::memcpy(distances_ + i, &entry.row, 4);
    }

    int64_t* indices_;
    float* distances_;
    int64_t k_;
    bool raw_;
};

}  // namespace vicinal
