// See panels.hpp.
#include "panels.hpp"

#include <algorithm>
#include <cstring>

#include "coarse.hpp"

namespace vicinal {

Panels::Panels(int64_t panels, const Layout& layout)
    : layout_(layout),
      // The scan may read up to 64 bytes a column beyond the last panel; the rows have zeros there.
      bytes_(panels * kPanel * layout.bytes + 64 * kPanel) {
    std::memset(bytes_.get() + panels * kPanel * layout.bytes, 0, 64 * kPanel);
}

template <int kWidth>
static void pack_panel(const int8_t* rows, int64_t row_bytes, int64_t groups, uint8_t offset, uint8_t* out) {
    for (int64_t g = 0; g < groups; ++g) {
        for (int c = 0; c < kPanel; ++c, out += kWidth) {
            const int8_t* code = rows + c * row_bytes + g * kWidth;
            for (int b = 0; b < kWidth; ++b) out[b] = static_cast<uint8_t>(code[b] + offset);
        }
    }
}

template <int kWidth>
static void unpack_panel(const uint8_t* in, int64_t count, int64_t row_bytes, int64_t groups, uint8_t offset,
                         int8_t* rows) {
    for (int64_t c = 0; c < count; ++c) {
        const uint8_t* packed = in + c * kWidth;
        for (int64_t g = 0; g < groups; ++g, packed += kPanel * kWidth) {
            for (int b = 0; b < kWidth; ++b) rows[g * kWidth + b] = static_cast<int8_t>(packed[b] - offset);
        }
        rows += row_bytes;
    }
}

void Panels::pack(int64_t panel, const int8_t* codes, int size) {
    const auto run = layout_.width == 4 ? pack_panel<4> : pack_panel<8>;
    for (int first = 0; first < size; first += kPanel, ++panel) {
        run(codes + first * layout_.row_bytes, layout_.row_bytes, groups(), layout_.offset,
            bytes_.get() + panel * kPanel * layout_.bytes);
    }
}

void Panels::unpack(int64_t panel, int64_t size, int64_t first_group, int64_t groups, int64_t row_bytes,
                    int8_t* out) const {
    const auto run = layout_.width == 4 ? unpack_panel<4> : unpack_panel<8>;
    std::memset(out, 0, padded(size, kRowStep) * row_bytes);
    for (int64_t first = 0; first < size; first += kPanel) {
        run(at(panel + first / kPanel) + first_group * kPanel * layout_.width, std::min<int64_t>(kPanel, size - first),
            row_bytes, groups, layout_.offset, out + first * row_bytes);
    }
}

void Panels::arrange(int64_t panel, std::span<const int32_t> order, void* room) {
    const auto size = static_cast<int64_t>(order.size());
    const int64_t row_bytes = layout_.row_bytes, bytes = coded_rows(size) * row_bytes;
    auto* rows = static_cast<int8_t*>(room);
    int8_t* arranged = rows + bytes;
    unpack(panel, size, 0, groups(), row_bytes, rows);
    std::memset(arranged, 0, bytes);
    for (int64_t i = 0; i < size; ++i) std::memcpy(arranged + i * row_bytes, rows + order[i] * row_bytes, row_bytes);
    pack(panel, arranged, static_cast<int>(size));
}

static std::vector<int64_t> panels_before(const std::vector<int64_t>& firsts) {
    std::vector<int64_t> panels(firsts.size());
    for (size_t b = 1; b < firsts.size(); ++b)
        panels[b] = panels[b - 1] + (firsts[b] - firsts[b - 1] + kPanel - 1) / kPanel;
    return panels;
}

Blocks::Blocks(std::vector<int64_t> firsts) : firsts_(std::move(firsts)), first_panels_(panels_before(firsts_)) {
    for (int64_t b = 0; b < count(); ++b) highest_ = std::max(highest_, size(b));
}

Layer::Layer(const Blocks& blocks, const Panels& panels, bool shifts, bool lengths, bool coarse)
    : blocks_(&blocks),
      panels_(&panels),
      groups_(panels.groups()),
      row_bytes_(panels.layout().row_bytes),
      coarse_(coarse),
      squared_norms_(blocks.size()),
      sums_(blocks.size()),
      slacks_(blocks.size()),
      lengths_(lengths ? blocks.size() : 0),
      shifts_(shifts ? blocks.size() : 0),
      block_stats_(blocks.count()) {}

Layer::Layer(const Blocks& blocks, const Panels& panels, int sketch, int sizes, int64_t bytes, bool coarse)
    : Layer(blocks, panels, false, false, coarse) {
    sketch_ = sketch;
    first_group_ = sizes - 1 - sketch;
    groups_ = static_cast<int>(bytes / 4);
    row_bytes_ = padded(bytes, kRowAlign);
}

// Clears the remainders of smaller sizes.
void Layer::finish(int64_t rows, int8_t* out) const {
    for (int64_t i = 0; sketch_ > 0 && i < rows; ++i) std::memset(out + i * row_bytes_ + 4, 0, 4 * sketch_);
    if (coarse_) halve(out, rows * row_bytes_);
}

void Layer::unpack(int64_t block, int8_t* out) const {
    const int64_t rows = block_stats_[block].size;
    panels_->unpack(blocks_->panel(block), rows, first_group_, groups_, row_bytes_, out);
    finish(rows, out);
}

void Layer::unpack(const Sketches& sketches, int8_t* out) const {
    const int64_t rows = sketches.sizes[sketch_].stats.size;
    std::memset(out, 0, padded(rows, kRowStep) * row_bytes_);
    for (int64_t i = 0; i < rows; ++i) {
        std::memcpy(out + i * row_bytes_, &sketches.codes[i * sketches.row_bytes + 4 * first_group_], bytes());
    }
    finish(rows, out);
}

void Layer::put(int64_t block, const RowStats& coded) {
    const int64_t first = blocks_->first(block), count = coded.stats.size;
    std::copy_n(coded.squared_norms.begin(), count, &squared_norms_[first]);
    std::copy_n(coded.sums.begin(), count, &sums_[first]);
    std::copy_n(coded.slacks.begin(), count, &slacks_[first]);
    if (!shifts_.empty()) std::copy_n(coded.shifts.begin(), count, &shifts_[first]);
    if (!lengths_.empty() && !coded.lengths.empty()) std::copy_n(coded.lengths.begin(), count, &lengths_[first]);
    BlockStats stats = coded.stats;
    stats.squared_norms = &squared_norms_[first];
    stats.sums = &sums_[first];
    stats.slacks = &slacks_[first];
    stats.shifts = shifts_.data() + (shifts_.empty() ? 0 : first);
    stats.lengths = lengths_.empty() || coded.lengths.empty() ? nullptr : &lengths_[first];
    block_stats_[block] = stats;
}

void Layer::arrange(int64_t block, std::span<const int32_t> order, void* room) {
    const int64_t first = blocks_->first(block);
    const auto arrange = [&](auto& values) {
        if (!values.empty()) vicinal::arrange(&values[first], order, room);
    };
    arrange(squared_norms_);
    arrange(sums_);
    arrange(slacks_);
    arrange(lengths_);
    arrange(shifts_);
}

}  // namespace vicinal
