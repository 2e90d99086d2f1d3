// What each thread of a GraphJoin needs for itself.
#pragma once

#include "graph_join.hpp"

namespace vicinal {

// Distinct numbers and how often each was added: a hash table of open addressing.
class Counts {
public:
    void clear();
    void add(uint32_t number) {
        for (uint32_t place = (number * 0x9e3779b1u) >> shift_;; place = (place + 1) & mask()) {
            if (table_[place].number == number) {
                ++table_[place].count;
                return;
            }
            if (table_[place].number != kEmpty) continue;
            table_[place] = {number, 1};
            used_.push_back(place);
            if (2 * used_.size() > table_.size()) grow();
            return;
        }
    }
    // The numbers added most often, at most `most`, in ascending order.
    void take(int64_t most, std::vector<int32_t>& out);

private:
    static constexpr uint32_t kEmpty = ~uint32_t{0};
    struct Entry {
        uint32_t number = kEmpty, count = 0;
    };
    uint32_t mask() const { return static_cast<uint32_t>(table_.size()) - 1; }
    void grow();

    int shift_ = 20;
    std::vector<Entry> table_ = std::vector<Entry>(4096);
    std::vector<uint32_t> used_;
};

struct GraphJoin::Worker {
    explicit Worker(const NodeCodes& codes) : patch(codes), survivors(kRowStep * kPanel) {}

    // Copies the lists of nodes, and gives back what has been inserted into the copies.
    void take_lists(NodeLists& lists, const int32_t* own, int64_t n);
    int64_t give_lists(NodeLists& lists, const int32_t* own, int64_t n);
    void offer(int64_t list, Key key, int64_t width) {
        Key* const own = &keys[list * width];
        if (!insert_key(own, width, key)) return;
        worst[list] = rank_of(own[width - 1]);
        dirty[list] = 1;
    }

    Patch patch;
    std::vector<Survivor> survivors;
    std::vector<Key> keys, nearest;
    std::vector<Rank> worst, other_worst;
    std::vector<uint8_t> dirty;
    std::vector<int32_t> row_thresholds, column_thresholds, nodes;
    Counts counts;
};

}  // namespace vicinal
