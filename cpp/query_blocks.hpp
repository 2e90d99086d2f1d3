// Queries coded as row blocks against stored rows, in the order given.
#pragma once

#include <numeric>
#include <vector>

#include "join.hpp"
#include "tile.hpp"

namespace vicinal {

class QueryBlocks {
public:
    QueryBlocks(const Context& context, const Rows& queries)
        : coder_(context.stored.coder()), queries_(queries), size_(context.stored.block()) {
        const int64_t n = queries.matrix.n_vectors;
        blocks_.resize((n + size_ - 1) / size_);
    }

    int64_t count() const { return static_cast<int64_t>(blocks_.size()); }
    int64_t first(int64_t block) const { return block * size_; }
    const CodedBlock& operator[](int64_t block) const { return blocks_[block]; }

    void code(int64_t block) {
        const int n = static_cast<int>(std::min<int64_t>(size_, queries_.matrix.n_vectors - first(block)));
        std::vector<int32_t> which(n);
        std::iota(which.begin(), which.end(), static_cast<int32_t>(first(block)));
        double highest = 0;
        for (int i = 0; i < n; ++i) highest = std::max(highest, coder_.peak(queries_, first(block) + i));
        coder_.code(queries_, which.data(), n, highest, blocks_[block]);
    }

private:
    const Coder& coder_;
    Rows queries_;
    int64_t size_;
    std::vector<CodedBlock> blocks_;
};

}  // namespace vicinal
