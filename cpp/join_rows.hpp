// The rows of a join, in blocks: the stored rows (self-join) or queries (search). A position numbers the rows in the
// order of the blocks.
#pragma once

#include "query_blocks.hpp"
#include "tile.hpp"

namespace vicinal {

// The group of each row and of each stored row. A row and a stored row of the same group are not neighbours. Both null
// where there are no groups.
struct Groups {
    const int64_t* rows;
    const int64_t* columns;
};

class JoinRows {
public:
    // queries null: a self-join.
    JoinRows(const Stored& stored, QueryBlocks* queries) : stored_(stored), queries_(queries) {}

    // Whether this is a self-join, in which each pair counts for both rows.
    bool self() const { return queries_ == nullptr; }
    QueryBlocks* queries() const { return queries_; }
    // The rows as given, and the number of the row at a position among them.
    const Rows& rows() const { return queries_ ? queries_->rows() : stored_.rows(); }
    int32_t row(int64_t position) const { return queries_ ? queries_->row(position) : stored_.row(position); }

    int64_t size() const { return queries_ ? queries_->rows().matrix.n_vectors : stored_.size(); }
    int64_t blocks() const { return queries_ ? queries_->count() : stored_.blocks(); }
    int64_t first(int64_t block) const { return queries_ ? queries_->first(block) : stored_.first(block); }
    int size(int64_t block) const { return queries_ ? queries_->size(block) : stored_.stats(block).size; }
    int64_t max_block_size() const { return queries_ ? queries_->max_block_size() : stored_.max_block_size(); }

    // Codes a block of queries. Stored rows are coded already.
    void encode(int64_t block) const {
        if (queries_) queries_->encode(block);
    }
    // Makes the sketches of a coded block of queries.
    void sketch(int64_t block) const {
        if (queries_) queries_->sketch(block);
    }
    // The region from whose centre a block must be coded to be compared with a block of columns. Stored rows have one
    // code only.
    int region(int64_t column_block) const { return queries_ ? stored_.stats(column_block).region : 0; }
    void load(Tiles& tiles, int64_t block, int region) const {
        if (queries_) tiles.set_rows(queries_->at(block, region));
        else tiles.set_stored_rows(block);
    }
    void load(Filter& filter, int64_t block, int region) const {
        filter.load([&](Tiles& tiles) { load(tiles, block, region); });
    }
    // The given rows equal to the row at a position, with itself. Equal queries are not merged.
    std::pair<const int32_t*, const int32_t*> copies(int64_t position) const {
        return queries_ ? queries_->as_range(position) : stored_.copies(position);
    }

private:
    const Stored& stored_;
    QueryBlocks* queries_;
};

}  // namespace vicinal
