// The stored rows: equal rows collapsed, ordered so that blocks are alike, coded, and packed into panels.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "coder.hpp"
#include "order.hpp"
#include "pool.hpp"

namespace vicinal {

// Rows with equal values (and of one group, where there are groups) are one representative: the first of them.
struct Copies {
    std::vector<int32_t> representatives;
    std::vector<int32_t> members;  // of each representative, ascending, itself among them; empty where nothing is equal
    std::vector<int64_t> starts;

    bool any() const { return !members.empty(); }
};

Copies find_copies(const Rows& rows, const int64_t* groups, const RowOps& ops, Pool& pool, const Watch& watch);

class Bytes {
public:
    explicit Bytes(size_t size) : data_(static_cast<uint8_t*>(::operator new(size, std::align_val_t{64}))) {}
    uint8_t* get() const { return data_.get(); }

private:
    struct Free {
        void operator()(uint8_t* p) const { ::operator delete(p, std::align_val_t{64}); }
    };
    std::unique_ptr<uint8_t, Free> data_;
};

// How the codes of a row lie in memory.
struct Layout {
    int64_t dim;
    int64_t row_bytes;  // of a row in a row block
    int width;          // coordinates that lie together in a panel
    uint8_t offset;     // what a panel's byte is above a row's
};

inline Layout layout_of(const Coder& coder, int64_t dim) {
    return {dim, coder.row_bytes(), coder.group_bytes(), coder.offset()};
}

// Codes packed in panels, as a ScanJob wants its columns.
class Panels {
public:
    Panels(int64_t panels, const Layout& layout);
    Panels(const CodedBlock& coded, const Layout& layout) : Panels((coded.side.size + kPanel - 1) / kPanel, layout) {
        pack(0, coded);
    }

    const uint8_t* at(int64_t panel) const { return bytes_.get() + panel * kPanel * packed_; }
    int groups() const { return static_cast<int>(packed_ / layout_.width); }
    int64_t row_bytes() const { return layout_.row_bytes; }
    int dim() const { return static_cast<int>(layout_.dim); }
    // Rows from the first of a panel on.
    void pack(int64_t panel, const CodedBlock& coded);
    // The codes of rows from the first of a panel on, one after the other, as a ScanJob wants its rows.
    void unpack(int64_t panel, int64_t size, int8_t* out) const;
    // The columns of a panel of the dot kernel one after the other, as they are; zeros from groups to row_bytes.
    void unpack_columns(int64_t panel, uint8_t* out) const;

private:
    Layout layout_;
    int64_t packed_;  // bytes of a row in a panel
    Bytes bytes_;
};

// Blocks of coded rows: their panels, and what the thresholds need to know of them.
class Layer {
public:
    // firsts: the position of each block's first row, and the end.
    Layer(std::vector<int64_t> firsts, const Layout& layout, bool shifts, bool lengths);

    int64_t size() const { return firsts_.back(); }
    const std::vector<int64_t>& firsts() const { return firsts_; }
    // The most rows that a block can have.
    int block() const { return block_; }
    int64_t blocks() const { return static_cast<int64_t>(sides_.size()); }
    int64_t first(int64_t block) const { return firsts_[block]; }
    int count(int64_t block) const { return static_cast<int>(firsts_[block + 1] - firsts_[block]); }
    const Side& side(int64_t block) const { return sides_[block]; }
    const Panels& panels() const { return panels_; }
    // The panel that a block's columns from this one on lie in.
    int64_t panel(int64_t block, int column) const { return first_panels_[block] + column / kPanel; }
    void put(int64_t block, const CodedBlock& coded);
    // The codes of a block, one row after the other, as a ScanJob wants them.
    void unpack(int64_t block, int8_t* out) const { panels_.unpack(first_panels_[block], sides_[block].size, out); }

private:
    std::vector<int64_t> firsts_, first_panels_;
    int block_ = 192;
    Panels panels_;
    std::vector<int32_t> squared_norms_, sums_;
    std::vector<float> slacks_, lengths_;
    std::vector<double> shifts_;
    std::vector<Side> sides_;
};

class Stored {
public:
    Stored(const Rows& rows, const Coder& coder, const int64_t* groups, const Isa& isa, Pool& pool, const Watch& watch);

    const Layer& layer() const { return layer_; }
    int64_t size() const { return layer_.size(); }
    int block() const { return layer_.block(); }
    int64_t first(int64_t block) const { return layer_.first(block); }
    int64_t blocks() const { return layer_.blocks(); }
    const Side& side(int64_t block) const { return layer_.side(block); }
    // The given row that lies at this position; the first of its copies.
    int32_t row(int64_t position) const { return order_[position]; }
    // The copies of the row at this position, itself among them.
    std::pair<const int32_t*, const int32_t*> copies(int64_t position) const;
    const Copies& copies() const { return copies_; }
    const Coder& coder() const { return *coder_; }
    const Rows& rows() const { return rows_; }
    // Of rows as the coder scales them from a region's centre, stride apart: how far each block's middle is, squared and
    // less the row's own square; n x blocks().
    void distances_to_middles(const float* rows, int64_t n, int64_t stride, std::vector<float>& out) const;
    // Blocks in an order of their distance from this one's middle.
    std::vector<int32_t> blocks_by_distance(int64_t block) const;
    // Names this order and these tiles.
    uint64_t fingerprint() const { return fingerprint_; }

private:
    Stored(const Rows& rows, const Coder& coder, Copies&& copies, const Isa& isa, Pool& pool, const Watch& watch);
    Stored(const Rows& rows, const Coder& coder, Copies&& copies, Order&& order, const Isa& isa, Pool& pool,
           const Watch& watch);

    Rows rows_;
    const Coder* coder_;
    Copies copies_;
    Layer layer_;
    std::vector<int32_t> order_;
    std::vector<int32_t> class_of_;  // position -> representative's place in copies_, where there are copies
    const RowOps* ops_;
    int64_t columns_;                     // blocks, padded for a projection
    std::vector<float> middles_;          // of each block's codes, scaled: dim x columns_
    std::vector<float> middles_squared_;  // of each middle, its square
    uint64_t fingerprint_ = 0;
};

}  // namespace vicinal
