// Queries in blocks, coded to be compared with the stored rows.
#pragma once

#include <vector>

#include "join.hpp"
#include "tile.hpp"

namespace vicinal {

class QueryBlocks {
public:
    // Sorts the queries so that those of a block are near the same stored blocks, if the coder can tell.
    QueryBlocks(const Context& context, const Rows& queries);

    int64_t count() const { return (static_cast<int64_t>(order_.size()) + size_ - 1) / size_; }
    int64_t max_block_size() const { return std::min<int64_t>(size_, static_cast<int64_t>(order_.size())); }
    int size(int64_t block) const {
        return static_cast<int>(std::min<int64_t>(size_, static_cast<int64_t>(order_.size()) - block * size_));
    }
    // The position of the first query of a block, and the number of the given query at a position.
    int64_t first(int64_t block) const { return block * size_; }
    int32_t row(int64_t position) const { return order_[position]; }
    const Rows& rows() const { return queries_; }
    // The given query at a position, as a range of one.
    std::pair<const int32_t*, const int32_t*> as_range(int64_t position) const {
        return {&order_[position], &order_[position] + 1};
    }
    // The stored blocks near the queries of a block, the nearest first; at least one if any row is stored.
    const std::vector<int32_t>& near(int64_t block) const { return near_[block]; }

    // Number of tasks that each block of queries is split into, by ranges of stored blocks, so that few queries occupy
    // all threads.
    int64_t parts(int threads) const {
        return std::max<int64_t>(1, std::min<int64_t>(16 * threads / std::max<int64_t>(1, count()), stored_.blocks()));
    }

    void encode(int64_t block);
    void sketch(int64_t block);
    // Sorts the queries of each block by these radii of their positions. Returns the earlier place of each position.
    std::vector<int32_t> arrange(const std::vector<double>& radii);
    // The codes of a block from the centre of a region.
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
