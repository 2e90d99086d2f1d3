// Queries in blocks, as row blocks against stored rows.
#pragma once

#include <vector>

#include "join.hpp"
#include "tile.hpp"

namespace vicinal {

class QueryBlocks {
public:
    // Puts queries next to each other that are near the same stored blocks, where the coder can tell.
    QueryBlocks(const Context& context, const Rows& queries);

    int64_t count() const { return (static_cast<int64_t>(order_.size()) + size_ - 1) / size_; }
    // The most queries that a block has.
    int64_t highest() const { return std::min<int64_t>(size_, static_cast<int64_t>(order_.size())); }
    int size(int64_t block) const {
        return static_cast<int>(std::min<int64_t>(size_, static_cast<int64_t>(order_.size()) - block * size_));
    }
    // The position of a block's first query, and the given query at a position.
    int64_t first(int64_t block) const { return block * size_; }
    int32_t row(int64_t position) const { return order_[position]; }
    const Rows& rows() const { return queries_; }
    // The given query at a position, as a range.
    std::pair<const int32_t*, const int32_t*> itself(int64_t position) const {
        return {&order_[position], &order_[position] + 1};
    }
    // The stored blocks that a block's queries are near, the nearest first; at least one where any row is stored.
    const std::vector<int32_t>& near(int64_t block) const { return near_[block]; }

    // Ranges of stored blocks that a block's work comes in, so that few queries occupy all threads too; 1 or more.
    int64_t parts(int threads) const {
        return std::max<int64_t>(1, std::min<int64_t>(16 * threads / std::max<int64_t>(1, count()), stored_.blocks()));
    }

    void code(int64_t block);
    // A block's codes from the centre of a region.
    const CodedBlock& at(int64_t block, int region) const { return blocks_[block * coder_.regions() + region]; }

private:
    void sort(const CentredCoder& coder, const Context& context);

    const Stored& stored_;
    const Coder& coder_;
    Rows queries_;
    int64_t size_;
    std::vector<int32_t> order_;
    std::vector<std::vector<int32_t>> near_;
    std::vector<CodedBlock> blocks_;
};

}  // namespace vicinal
