// Codes packed as the scan reads them: blocks of rows, their panels, and layers of a panel's bytes.
#pragma once

#include <memory>
#include <new>
#include <vector>

#include "coder.hpp"

namespace vicinal {

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

}  // namespace vicinal
