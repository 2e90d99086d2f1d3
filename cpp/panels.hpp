// Codes packed as the scan reads them: blocks of rows, their panels, and layers.
#pragma once

#include <algorithm>
#include <memory>
#include <new>
#include <numeric>
#include <optional>
#include <span>
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

// Puts values in another order: order[i] is the number of the value that comes to place i. `room` is for as many
// values.
template <class T>
void arrange(T* values, std::span<const int32_t> order, void* room) {
    auto* given = static_cast<T*>(room);
    std::copy_n(values, order.size(), given);
    for (size_t i = 0; i < order.size(); ++i) values[i] = given[order[i]];
}
template <class T>
void arrange(T* values, std::span<const int32_t> order) {
    std::vector<T> room(order.size());
    arrange(values, order, room.data());
}

// Writes the order that sorts values.
inline void order_by(const double* values, std::span<int32_t> order) {
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return values[a] < values[b]; });
}

// The layout of the codes of a row in a panel.
struct Layout {
    int64_t bytes;      // a multiple of width
    int64_t row_bytes;  // of a row that is not packed
    int width;          // bytes in a group
    uint8_t offset;     // added to each code
};

inline Layout layout_of(const Coder& coder, int64_t dim) {
    const int width = coder.group_bytes();
    return {padded(dim, width), coder.row_bytes(), width, coder.offset()};
}

// The packed codes of all rows.
class Panels {
public:
    Panels(int64_t panels, const Layout& layout);
    Panels(const CodedBlock& coded, const Layout& layout) : Panels((coded.stats.size + kPanel - 1) / kPanel, layout) {
        pack(0, coded.codes.data(), coded.stats.size);
    }

    const Layout& layout() const { return layout_; }
    int groups() const { return static_cast<int>(layout_.bytes / layout_.width); }
    const uint8_t* at(int64_t panel) const { return bytes_.get() + kPanel * panel * layout_.bytes; }
    // Packs rows into panels, from the first row of a panel on. The codes are padded with rows up to a whole panel.
    void pack(int64_t panel, const int8_t* codes, int size);
    // Unpacks `groups` groups of rows, from the first row of a panel on, into the rows of a ScanJob, row_bytes apart.
    void unpack(int64_t panel, int64_t size, int64_t first_group, int64_t groups, int64_t row_bytes, int8_t* out) const;
    // Puts the rows of a block, whose first panel this is, in another order: order[i] is the number of the row that
    // comes to place i. `room` has the size that room_to_arrange gives for this number of rows or more.
    void arrange(int64_t panel, std::span<const int32_t> order, void* room);
    int64_t room_to_arrange(int64_t rows) const { return 2 * coded_rows(rows) * layout_.row_bytes; }
    // Unpacks the columns of a panel of the dot kernel, without subtracting the offset, with zeros up to row_bytes.
    void unpack_columns(const RowOps& ops, int64_t panel, uint8_t* out) const {
        ops.unpack_columns(at(panel), groups(), layout_.row_bytes, out);
    }

private:
    Layout layout_;
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

// Codes of all rows, with the statistics of the blocks: the whole codes, or the sketches of one size.
//
// Sketches of all sizes share their panels (Sketches). Those of size number s have, of the groups of four bytes, their
// remainder and all that follows it up to their last coordinate. The s remainders of smaller sizes are among these; the
// codes of rows are zero there, so that they add nothing to a product.
class Layer {
public:
    static constexpr int kCodes = -1;
    // The whole codes. `coarse`: the scan reads them as coarse codes (coarse.hpp).
    Layer(const Blocks& blocks, const Panels& panels, bool shifts, bool lengths, bool coarse);
    // Sketches of size number `sketch` of `sizes`, of so many bytes.
    Layer(const Blocks& blocks, const Panels& panels, int sketch, int sizes, int64_t bytes, bool coarse);

    const Blocks& blocks() const { return *blocks_; }
    const BlockStats& stats(int64_t block) const { return block_stats_[block]; }
    int sketch() const { return sketch_; }
    bool coarse() const { return coarse_; }
    int64_t bytes() const { return groups_ * panels_->layout().width; }
    int64_t row_bytes() const { return row_bytes_; }
    int groups() const { return groups_; }
    // The packed codes of the panel that contains a column of a block.
    const uint8_t* at(int64_t block, int column) const {
        return panels_->at(blocks_->panel(block, column)) + first_group_ * kPanel * panels_->layout().width;
    }
    // The columns of that panel one after the other, as Panels::unpack_columns writes them: kept, or unpacked into
    // `room`.
    const uint8_t* columns(const RowOps& ops, int64_t block, int column, std::vector<uint8_t>& room) const {
        const int64_t panel = blocks_->panel(block, column), size = kPanel * row_bytes();
        if (kept_) return kept_->get() + panel * size;
        room.resize(size + 64);
        // Loads of a column that are not aligned take twice the time.
        uint8_t* out = room.data() + -reinterpret_cast<uintptr_t>(room.data()) % 64;
        panels_->unpack_columns(ops, panel, out);
        return out;
    }
    // Keeps the columns of all panels so, or, where they are kept, as they are now.
    void keep_columns(const RowOps& ops) {
        const int64_t size = kPanel * row_bytes();
        if (!kept_) kept_.emplace(blocks_->panels() * size);
        for (int64_t panel = 0; panel < blocks_->panels(); ++panel) {
            panels_->unpack_columns(ops, panel, kept_->get() + panel * size);
        }
    }
    // Unpacks all rows of a block as the scan reads them.
    void unpack(int64_t block, int8_t* out) const;
    // The same from the sketches of other rows.
    void unpack(const Sketches& sketches, int8_t* out) const;
    void put(int64_t block, const RowStats& rows);
    bool keeps_columns() const { return kept_.has_value(); }
    // As Panels::arrange, of the statistics of the rows.
    void arrange(int64_t block, std::span<const int32_t> order, void* room);

private:
    void finish(int64_t rows, int8_t* out) const;

    const Blocks* blocks_;
    const Panels* panels_;
    int sketch_ = kCodes;
    int64_t first_group_ = 0;
    int groups_;
    int64_t row_bytes_;
    std::optional<Bytes> kept_;
    bool coarse_;
    std::vector<int32_t> squared_norms_, sums_;
    std::vector<float> slacks_, lengths_;
    std::vector<double> shifts_;
    std::vector<BlockStats> block_stats_;
};

}  // namespace vicinal
