// The nearest nodes found so far of each node: sorted keys of rank and node. A list is the best entries of all pairs
// that were ever offered to it, so it does not depend on the order of the offers, nor on the threads that make them.
#pragma once

#include <algorithm>
#include <cstring>
#include <mutex>
#include <vector>

#include "node_codes.hpp"

namespace vicinal {

using Key = uint64_t;  // rank and node
inline constexpr Key kNoKey = ~Key{0};

inline Key key_of(Rank rank, int32_t node) { return Key{rank} << 32 | static_cast<uint32_t>(node); }
inline Rank rank_of(Key key) { return static_cast<Rank>(key >> 32); }
inline int32_t node_of(Key key) { return static_cast<int32_t>(key & 0xffffffffu); }

// Inserts a key into a sorted list, if it is better than the worst one and not there; returns whether it was.
inline bool insert_key(Key* list, int64_t width, Key key) {
    if (key >= list[width - 1]) return false;
    int64_t place = width - 1;
    while (place > 0 && list[place - 1] > key) --place;
    if (place > 0 && list[place - 1] == key) return false;
    std::memmove(list + place + 1, list + place, (width - 1 - place) * sizeof(Key));
    list[place] = key;
    return true;
}

class NodeLists {
public:
    NodeLists(int64_t nodes, int64_t width) : width_(width), keys_(nodes * width, kNoKey), locks_((nodes + 63) / 64) {}

    int64_t width() const { return width_; }
    int64_t size() const { return static_cast<int64_t>(keys_.size()) / width_; }
    // Without a lock: for a list that no thread changes meanwhile.
    const Key* at(int64_t node) const { return &keys_[node * width_]; }

    void copy(int64_t node, Key* out) {
        const std::lock_guard lock(locks_[node / 64]);
        std::copy_n(at(node), width_, out);
    }
    Rank worst(int64_t node) {
        const std::lock_guard lock(locks_[node / 64]);
        return rank_of(at(node)[width_ - 1]);
    }
    // Inserts sorted or unsorted keys; returns how many were inserted.
    int64_t insert(int64_t node, const Key* keys, int64_t n) {
        const std::lock_guard lock(locks_[node / 64]);
        Key* const own = &keys_[node * width_];
        int64_t inserted = 0;
        for (int64_t i = 0; i < n; ++i) inserted += insert_key(own, width_, keys[i]);
        return inserted;
    }

private:
    int64_t width_;
    std::vector<Key> keys_;
    std::vector<std::mutex> locks_;  // one for the lists of 64 nodes
};

}  // namespace vicinal
