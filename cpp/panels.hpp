// Codes packed as the scan reads them: blocks of rows, their panels, and layers of a panel.
#pragma once

#include <memory>
#include <new>
#include <vector>

#include "coder.hpp"

namespace vicinal {

// Uninitialised memory, aligned to 64 bytes.
class Bytes {
public:
    // With `lent`, these bytes of the caller's are used, which must outlive the object.
    explicit Bytes(size_t size, uint8_t* lent = nullptr)
        : data_(lent ? lent : static_cast<uint8_t*>(::operator new(size, std::align_val_t{64})),
                Free{lent != nullptr}) {}
    uint8_t* get() const { return data_.get(); }
    void free() { data_.reset(); }

private:
    struct Free {
        bool lent = false;
        void operator()(uint8_t* p) const {
            if (!lent) ::operator delete(p, std::align_val_t{64});
        }
    };
    std::unique_ptr<uint8_t, Free> data_;
};

// The layout of the codes of a row in a panel.
struct Layout {
    int64_t bytes;      // a multiple of width
    int64_t tail;       // further bytes that only sketches use: one group or none
    int64_t row_bytes;  // of a row in a CodedBlock
    int width;          // bytes in a group
    uint8_t offset;     // added to each code
};

inline Layout layout_of(const Coder& coder, int64_t dim, bool tail = false) {
    const int width = coder.group_bytes();
    return {padded(dim, width), tail ? width : 0, coder.row_bytes(), width, coder.offset()};
}

// A range of the bytes of each row in a panel, in whole groups: all but the tail, or some coordinate up to the end of
// the tail.
struct Range {
    int64_t first, bytes;

    int64_t row_bytes() const { return padded(bytes, kRowAlign); }
};

// The packed codes of all rows.
class Panels {
public:
    Panels(int64_t panels, const Layout& layout);
    Panels(const CodedBlock& coded, const Layout& layout) : Panels((coded.stats.size + kPanel - 1) / kPanel, layout) {
        pack(0, coded);
    }

    const Layout& layout() const { return layout_; }
    int groups(const Range& range) const { return static_cast<int>(range.bytes / layout_.width); }
    const uint8_t* at(int64_t panel, const Range& range) const {
        return bytes_.get() + kPanel * (panel * packed_ + range.first);
    }
    // Packs rows into panels, from the first row of a panel on.
    void pack(int64_t panel, const CodedBlock& coded);
    // Unpacks rows, from the first row of a panel on, into the rows of a ScanJob.
    void unpack(int64_t panel, int64_t size, const Range& range, int8_t* out) const;
    // Unpacks the columns of a panel of the dot kernel, without subtracting the offset, with zeros up to row_bytes.
    void unpack_columns(int64_t panel, const Range& range, uint8_t* out) const;

private:
    Layout layout_;
    int64_t packed_;  // bytes of a row in a panel
    Bytes bytes_;
};

// The blocks of rows and their panels.
class Blocks {
public:
    // firsts: the position of the first row of each block, and the number of rows.
    explicit Blocks(std::vector<int64_t> firsts);

    int64_t size() const { return firsts_.back(); }
    int max_block_size() const { return highest_; }
    int64_t count() const { return static_cast<int64_t>(firsts_.size()) - 1; }
    int64_t first(int64_t block) const { return firsts_[block]; }
    int size(int64_t block) const { return static_cast<int>(firsts_[block + 1] - firsts_[block]); }
    // The panel of a column of a block.
    int64_t panel(int64_t block, int column = 0) const { return first_panels_[block] + column / kPanel; }
    int64_t panels() const { return first_panels_.back(); }

private:
    std::vector<int64_t> firsts_, first_panels_;
    int highest_ = 192;
};

// A range of bytes of all coded rows, with the statistics of the blocks: the whole codes, or the sketches.
class Layer {
public:
    // `coarse`: the scan reads the codes as coarse codes (coarse.hpp).
    Layer(const Blocks& blocks, const Panels& panels, const Range& range, bool shifts, bool lengths, bool coarse);

    const Blocks& blocks() const { return *blocks_; }
    const BlockStats& stats(int64_t block) const { return block_stats_[block]; }
    const Range& range() const { return range_; }
    bool coarse() const { return coarse_; }
    int groups() const { return panels_->groups(range_); }
    // The packed codes of the panel that contains a column of a block.
    const uint8_t* at(int64_t block, int column) const { return panels_->at(blocks_->panel(block, column), range_); }
    // Unpacks that panel, or all rows of a block as the scan reads them.
    void unpack_columns(int64_t block, int column, uint8_t* out) const {
        panels_->unpack_columns(blocks_->panel(block, column), range_, out);
    }
    void unpack(int64_t block, int8_t* out) const;
    void put(int64_t block, const RowStats& rows);

private:
    const Blocks* blocks_;
    const Panels* panels_;
    Range range_;
    bool coarse_;
    std::vector<int32_t> squared_norms_, sums_;
    std::vector<float> slacks_, lengths_;
    std::vector<double> shifts_;
    std::vector<BlockStats> block_stats_;
};

}  // namespace vicinal
