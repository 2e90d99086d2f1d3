// The stored rows: equal rows collapsed, ordered so that blocks are alike, coded, and packed into panels.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "coder.hpp"
#include "order.hpp"
#include "pool.hpp"
#include "rotation.hpp"

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

// How the codes of a row lie in a panel.
struct Layout {
    int64_t bytes;      // a multiple of width
    int64_t tail;       // bytes beyond them that only sketches have: a group or none
    int64_t row_bytes;  // of a row in a CodedBlock
    int width;          // coordinates that lie together
    uint8_t offset;     // what a panel's byte is above a row's
};

inline Layout layout_of(const Coder& coder, int64_t dim, bool tail = false) {
    const int width = coder.group_bytes();
    return {padded(dim, width), tail ? width : 0, coder.row_bytes(), width, coder.offset()};
}

// Bytes of each row's codes in their panel, whole groups: all but the tail, or from some coordinate to the tail.
struct Range {
    int64_t first, bytes;

    int64_t row_bytes() const { return padded(bytes, kRowAlign); }
};

// Codes packed in panels, as a ScanJob wants its columns.
class Panels {
public:
    Panels(int64_t panels, const Layout& layout);
    Panels(const CodedBlock& coded, const Layout& layout) : Panels((coded.side.size + kPanel - 1) / kPanel, layout) {
        pack(0, coded);
    }

    const Layout& layout() const { return layout_; }
    int groups(const Range& range) const { return static_cast<int>(range.bytes / layout_.width); }
    const uint8_t* at(int64_t panel, const Range& range) const {
        return bytes_.get() + kPanel * (panel * packed_ + range.first);
    }
    // Rows from the first of a panel on.
    void pack(int64_t panel, const CodedBlock& coded);
    // The codes of rows from the first of a panel on, one after the other, as a ScanJob wants its rows.
    void unpack(int64_t panel, int64_t size, const Range& range, int8_t* out) const;
    // The columns of a panel of the dot kernel one after the other, as they are; zeros up to row_bytes.
    void unpack_columns(int64_t panel, const Range& range, uint8_t* out) const;

private:
    Layout layout_;
    int64_t packed_;  // bytes of a row in a panel
    Bytes bytes_;
};

// Where the blocks of rows begin, and their panels.
class Blocks {
public:
    // firsts: the position of each block's first row, and the end.
    explicit Blocks(std::vector<int64_t> firsts);

    int64_t size() const { return firsts_.back(); }
    // The most rows that a block can have.
    int highest() const { return highest_; }
    int64_t count() const { return static_cast<int64_t>(firsts_.size()) - 1; }
    int64_t first(int64_t block) const { return firsts_[block]; }
    int size(int64_t block) const { return static_cast<int>(firsts_[block + 1] - firsts_[block]); }
    // The panel that a block's columns from this one on lie in.
    int64_t panel(int64_t block, int column = 0) const { return first_panels_[block] + column / kPanel; }
    int64_t panels() const { return first_panels_.back(); }

private:
    std::vector<int64_t> firsts_, first_panels_;
    int highest_ = 192;
};

// A range of the coded rows' bytes, and what the thresholds need to know of it.
class Layer {
public:
    Layer(const Blocks& blocks, const Panels& panels, const Range& range, bool shifts, bool lengths);

    const Blocks& blocks() const { return *blocks_; }
    const Side& side(int64_t block) const { return sides_[block]; }
    const Range& range() const { return range_; }
    int groups() const { return panels_->groups(range_); }
    // The codes of a block's columns from this one on, a panel.
    const uint8_t* at(int64_t block, int column) const { return panels_->at(blocks_->panel(block, column), range_); }
    // Those columns one after the other, and the codes of all of a block, as a ScanJob wants its rows.
    void unpack_columns(int64_t block, int column, uint8_t* out) const {
        panels_->unpack_columns(blocks_->panel(block, column), range_, out);
    }
    void unpack(int64_t block, int8_t* out) const {
        panels_->unpack(blocks_->panel(block), sides_[block].size, range_, out);
    }
    void put(int64_t block, const Marks& marks);

private:
    const Blocks* blocks_;
    const Panels* panels_;
    Range range_;
    std::vector<int32_t> squared_norms_, sums_;
    std::vector<float> slacks_, lengths_;
    std::vector<double> shifts_;
    std::vector<Side> sides_;
};

class Stored {
public:
    Stored(const Rows& rows, const Coder& coder, const int64_t* groups, const Isa& isa, Pool& pool, const Watch& watch);
    Stored(const Stored&) = delete;
    Stored& operator=(const Stored&) = delete;

    const Layer& layer() const { return layer_; }
    int64_t size() const { return blocks_.size(); }
    int block() const { return blocks_.highest(); }
    int64_t first(int64_t block) const { return blocks_.first(block); }
    int64_t blocks() const { return blocks_.count(); }
    const Side& side(int64_t block) const { return layer_.side(block); }
    // Turns the rows, so that they have sketches; for good. A call that is stopped leaves codes that belong to nothing,
    // until it is called again: with null it ends what was begun.
    void turn(std::unique_ptr<const Rotation> rotation, Pool& pool, const Watch& watch);
    bool half_turned() const { return half_turned_; }
    const Rotation* rotation() const { return rotation_.get(); }
    // The highest k that sketches are known to pay for; 0 where none is.
    int64_t sketches_pay_for() const { return pays_for_; }
    void let_sketches_pay_for(int64_t k) { pays_for_ = std::max(pays_for_, k); }
    // Of turned rows only.
    const Layer& sketches() const { return *sketches_; }
    // Codes other rows as the stored ones are coded, from the centre of a region.
    void code(const Rows& rows, const int32_t* which, int n, int region, CodedBlock& out) const;
    // The given row that lies at this position; the first of its copies.
    int32_t row(int64_t position) const { return order_[position]; }
    // The copies of the row at this position, itself among them.
    std::pair<const int32_t*, const int32_t*> copies(int64_t position) const;
    const Copies& copies() const { return copies_; }
    const Coder& coder() const { return *coder_; }
    const Rows& rows() const { return rows_; }
    // Of rows as the coder scales them from a region's centre, stride apart: how far each block's middle is, squared
    // and less the row's own square; n x blocks().
    void distances_to_middles(const float* rows, int64_t n, int64_t stride, std::vector<float>& out) const;
    // Blocks in an order of their distance from this one's middle.
    std::vector<int32_t> blocks_by_distance(int64_t block) const;
    // Names this order and these tiles.
    uint64_t fingerprint() const { return fingerprint_; }

private:
    Stored(const Rows& rows, const Coder& coder, Copies&& copies, const Isa& isa, Pool& pool, const Watch& watch);
    Stored(const Rows& rows, const Coder& coder, Copies&& copies, Order&& order, const Isa& isa, Pool& pool,
           const Watch& watch);

    void put(int64_t block, const CodedBlock& coded);
    void code_turned(const Rows& rows, const int32_t* which, int n, float* room, CodedBlock& out) const;

    Rows rows_;
    const Coder* coder_;
    Copies copies_;
    Blocks blocks_;
    Panels panels_;
    Layer layer_;
    std::unique_ptr<const Rotation> rotation_;
    std::unique_ptr<Layer> sketches_;
    bool half_turned_ = false;
    int64_t pays_for_ = 0;
    std::vector<int32_t> order_;
    std::vector<int32_t> class_of_;  // position -> representative's place in copies_, where there are copies
    const RowOps* ops_;
    int64_t columns_;                     // blocks, padded for a projection
    std::vector<float> middles_;          // of each block's codes, scaled: dim x columns_
    std::vector<float> middles_squared_;  // of each middle, its square
    uint64_t fingerprint_ = 0;
};

}  // namespace vicinal
