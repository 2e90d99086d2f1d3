// The rows of a join, in blocks: the stored rows themselves (a self-join), or queries.
#pragma once

#include "query_blocks.hpp"
#include "tile.hpp"

namespace vicinal {

class JoinRows {
public:
    // queries null: the stored rows.
    JoinRows(const Stored& stored, QueryBlocks* queries) : stored_(stored), queries_(queries) {}

    // Whether the rows are the stored ones, so that each pair counts for both of its rows.
    bool self() const { return queries_ == nullptr; }
    QueryBlocks* queries() const { return queries_; }
    // The rows as they were given, and the number among them of the row at a position.
    const Rows& rows() const { return queries_ ? queries_->rows() : stored_.rows(); }
    int32_t row(int64_t position) const { return queries_ ? queries_->row(position) : stored_.row(position); }

    int64_t size() const { return queries_ ? queries_->rows().matrix.n_vectors : stored_.size(); }
    int64_t blocks() const { return queries_ ? queries_->count() : stored_.blocks(); }
    int64_t first(int64_t block) const { return queries_ ? queries_->first(block) : stored_.first(block); }
    int size(int64_t block) const { return queries_ ? queries_->size(block) : stored_.side(block).size; }
    // The most rows of a block.
    int64_t highest() const { return queries_ ? queries_->highest() : stored_.block(); }

    // Codes a block of queries; stored rows have their codes.
    void code(int64_t block) const {
        if (queries_) queries_->code(block);
    }
    // The centre that a block must be coded from to be compared with a block of columns; one for stored rows.
    int region(int64_t column_block) const { return queries_ ? stored_.side(column_block).region : 0; }
    void load(Tiles& tiles, int64_t block, int region) const {
        if (queries_) tiles.set_rows(queries_->at(block, region));
        else tiles.set_stored_rows(block);
    }
    // The given rows that are equal to the row at a position, itself among them; queries are not collapsed.
    std::pair<const int32_t*, const int32_t*> copies(int64_t position) const {
        return queries_ ? queries_->itself(position) : stored_.copies(position);
    }

private:
    const Stored& stored_;
    QueryBlocks* queries_;
};

}  // namespace vicinal
