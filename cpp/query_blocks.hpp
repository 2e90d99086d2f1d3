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
        blocks_.resize(count() * coder_.regions());
    }

    int64_t count() const { return (queries_.matrix.n_vectors + size_ - 1) / size_; }
    int64_t first(int64_t block) const { return block * size_; }
    int size(int64_t block) const {
        return static_cast<int>(std::min<int64_t>(size_, queries_.matrix.n_vectors - first(block)));
    }
    // A block's codes from the centre of a region.
    const CodedBlock& at(int64_t block, int region) const { return blocks_[block * coder_.regions() + region]; }

    void code(int64_t block) {
        const int n = size(block);
        std::vector<int32_t> which(n);
        std::iota(which.begin(), which.end(), static_cast<int32_t>(first(block)));
        for (int region = 0; region < coder_.regions(); ++region) {
            double highest = 0;
            for (int i = 0; i < n; ++i) highest = std::max(highest, coder_.peak(queries_, first(block) + i, region));
            coder_.code(queries_, which.data(), n, region, highest, blocks_[block * coder_.regions() + region]);
        }
    }

private:
    const Coder& coder_;
    Rows queries_;
    int64_t size_;
    std::vector<CodedBlock> blocks_;
};

}  // namespace vicinal
