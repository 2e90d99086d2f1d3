// See stored.hpp.
#include "stored.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "order.hpp"

namespace vicinal {
namespace {

constexpr int64_t kChunk = 256;             // rows a task reads
constexpr int kBlockStep = 192;             // a multiple of kPanel and of kRowStep
constexpr int64_t kBlockBytes = 320 << 10;  // a block's codes stay in the second-level cache
constexpr int kBlockHighest = 768;

int choose_block(int64_t size, int64_t row_bytes) {
    const int64_t by_cache = kBlockBytes / row_bytes, by_count = size / 16;
    const int64_t block = std::min(by_cache, by_count) / kBlockStep * kBlockStep;
    return static_cast<int>(std::clamp<int64_t>(block, kBlockStep, kBlockHighest));
}

// Blocks of equal size, but for those that end where the order breaks.
std::vector<int64_t> choose_firsts(const Order& order, const Coder& coder) {
    const auto size = static_cast<int64_t>(order.rows.size());
    const int block = choose_block(size, coder.row_bytes());
    std::vector<int64_t> firsts, ends = order.breaks;
    ends.push_back(size);
    int64_t first = 0;
    for (int64_t end : ends) {
        for (; first < end; first = std::min(first + block, end)) firsts.push_back(first);
    }
    firsts.push_back(size);
    return firsts;
}

bool equal_rows(const Rows& rows, int32_t a, int32_t b, const RowOps& ops, std::vector<double>& x,
                std::vector<double>& y) {
    ops.load(rows, a, x.data());
    ops.load(rows, b, y.data());
    return std::equal(x.begin(), x.end(), y.begin());
}

}  // namespace

Copies find_copies(const Rows& rows, const int64_t* groups, const RowOps& ops, Pool& pool, const Watch& watch) {
    Rows raw = rows;
    raw.inverse_norms = nullptr;
    const int64_t n = raw.matrix.n_vectors, width = padded(raw.matrix.dim, 8);
    std::vector<std::pair<uint64_t, int32_t>> hashes(n);
    pool.run((n + kChunk - 1) / kChunk, watch, [&](int, int64_t task) {
        thread_local std::vector<double> x;
        x.resize(width);
        for (int64_t i = task * kChunk; i < std::min(n, (task + 1) * kChunk); ++i) {
            ops.load(raw, i, x.data());
            const uint64_t group = groups ? static_cast<uint64_t>(groups[i]) * 0x9e3779b97f4a7c15u : 0;
            hashes[i] = {ops.hash(x.data(), raw.matrix.dim) ^ group, static_cast<int32_t>(i)};
        }
    });
    std::sort(hashes.begin(), hashes.end());

    // The first row of each class, or the row itself.
    std::vector<int32_t> first(n);
    std::iota(first.begin(), first.end(), 0);
    std::vector<double> x(width), y(width);
    bool any = false;
    for (int64_t begin = 0, end; begin < n; begin = end) {
        for (end = begin + 1; end < n && hashes[end].first == hashes[begin].first; ++end) {
            const int32_t row = hashes[end].second;
            for (int64_t earlier = begin; earlier < end; ++earlier) {
                const int32_t other = hashes[earlier].second;
                if (first[other] != other || (groups && groups[other] != groups[row])) continue;
                if (!equal_rows(raw, other, row, ops, x, y)) continue;
                first[row] = other;
                any = true;
                break;
            }
        }
    }
    Copies copies;
    std::vector<int32_t> place(any ? n : 0);
    for (int64_t i = 0; i < n; ++i) {
        if (first[i] != i) continue;
        if (any) place[i] = static_cast<int32_t>(copies.representatives.size());
        copies.representatives.push_back(static_cast<int32_t>(i));
    }
    if (!any) return copies;
    copies.starts.assign(copies.representatives.size() + 1, 0);
    for (int64_t i = 0; i < n; ++i) ++copies.starts[place[first[i]] + 1];
    std::partial_sum(copies.starts.begin(), copies.starts.end(), copies.starts.begin());
    copies.members.resize(n);
    std::vector<int64_t> next(copies.starts.begin(), copies.starts.end() - 1);
    for (int64_t i = 0; i < n; ++i) copies.members[next[place[first[i]]]++] = static_cast<int32_t>(i);
    return copies;
}

Panels::Panels(int64_t panels, const Layout& layout)
    : layout_(layout),
      packed_(layout.bytes + layout.tail),
      // A tile of the last panel may read up to 64 bytes a column beyond its end (and meets zeros in the rows).
      bytes_(panels * kPanel * packed_ + 64 * kPanel) {
    std::memset(bytes_.get() + panels * kPanel * packed_, 0, 64 * kPanel);
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

// The columns of a panel one after the other; groups of four bytes of four columns change places at once.
static void columns_of_four(const uint8_t* in, int64_t row_bytes, int64_t groups, uint8_t* out) {
    using Words = uint32_t __attribute__((vector_size(16)));
    int64_t g = 0;
    for (; g + 4 <= groups; g += 4) {
        for (int c = 0; c < kPanel; c += 4) {
            Words a, b, d, e;
            const uint8_t* from = in + (g * kPanel + c) * 4;
            std::memcpy(&a, from, 16);
            std::memcpy(&b, from + 4 * kPanel, 16);
            std::memcpy(&d, from + 8 * kPanel, 16);
            std::memcpy(&e, from + 12 * kPanel, 16);
            const Words ab = __builtin_shuffle(a, b, Words{0, 4, 1, 5}),
                        de = __builtin_shuffle(d, e, Words{0, 4, 1, 5});
            const Words AB = __builtin_shuffle(a, b, Words{2, 6, 3, 7}),
                        DE = __builtin_shuffle(d, e, Words{2, 6, 3, 7});
            const Words columns[4] = {__builtin_shuffle(ab, de, Words{0, 1, 4, 5}),
                                      __builtin_shuffle(ab, de, Words{2, 3, 6, 7}),
                                      __builtin_shuffle(AB, DE, Words{0, 1, 4, 5}),
                                      __builtin_shuffle(AB, DE, Words{2, 3, 6, 7})};
            for (int j = 0; j < 4; ++j) std::memcpy(out + (c + j) * row_bytes + 4 * g, &columns[j], 16);
        }
    }
    for (; g < groups; ++g) {
        for (int c = 0; c < kPanel; ++c) std::memcpy(out + c * row_bytes + 4 * g, in + (g * kPanel + c) * 4, 4);
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

void Panels::pack(int64_t panel, const CodedBlock& coded) {
    const auto run = layout_.width == 4 ? pack_panel<4> : pack_panel<8>;
    for (int64_t first = 0; first < coded.side.size; first += kPanel) {
        uint8_t* out = bytes_.get() + (panel + first / kPanel) * kPanel * packed_;
        run(&coded.codes[first * layout_.row_bytes], layout_.row_bytes, layout_.bytes / layout_.width, layout_.offset,
            out);
        if (layout_.tail == 0) continue;
        uint8_t* tail = out + kPanel * layout_.bytes;
        std::memset(tail, 0, kPanel * layout_.tail);
        if (!coded.tails.empty()) {
            run(reinterpret_cast<const int8_t*>(&coded.tails[first]), layout_.tail, 1, layout_.offset, tail);
        }
    }
}

void Panels::unpack(int64_t panel, int64_t size, const Range& range, int8_t* out) const {
    const auto run = layout_.width == 4 ? unpack_panel<4> : unpack_panel<8>;
    std::memset(out, 0, padded(size, kRowStep) * range.row_bytes());
    for (int64_t first = 0; first < size; first += kPanel) {
        run(at(panel + first / kPanel, range), std::min<int64_t>(kPanel, size - first), range.row_bytes(),
            groups(range), layout_.offset, out + first * range.row_bytes());
    }
}

void Panels::unpack_columns(int64_t panel, const Range& range, uint8_t* out) const {
    const int64_t row_bytes = range.row_bytes();
    for (int c = 0; c < kPanel; ++c) std::memset(out + c * row_bytes + range.bytes, 0, row_bytes - range.bytes);
    columns_of_four(at(panel, range), row_bytes, groups(range), out);
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

Layer::Layer(const Blocks& blocks, const Panels& panels, const Range& range, bool shifts, bool lengths)
    : blocks_(&blocks),
      panels_(&panels),
      range_(range),
      squared_norms_(blocks.size()),
      sums_(blocks.size()),
      slacks_(blocks.size()),
      lengths_(lengths ? blocks.size() : 0),
      shifts_(shifts ? blocks.size() : 0),
      sides_(blocks.count()) {}

void Layer::put(int64_t block, const Marks& coded) {
    const int64_t first = blocks_->first(block), count = coded.side.size;
    std::copy_n(coded.squared_norms.begin(), count, &squared_norms_[first]);
    std::copy_n(coded.sums.begin(), count, &sums_[first]);
    std::copy_n(coded.slacks.begin(), count, &slacks_[first]);
    if (!shifts_.empty()) std::copy_n(coded.shifts.begin(), count, &shifts_[first]);
    if (!lengths_.empty() && !coded.lengths.empty()) std::copy_n(coded.lengths.begin(), count, &lengths_[first]);
    Side side = coded.side;
    side.squared_norms = &squared_norms_[first];
    side.sums = &sums_[first];
    side.slacks = &slacks_[first];
    side.shifts = shifts_.data() + (shifts_.empty() ? 0 : first);
    side.lengths = lengths_.empty() || coded.lengths.empty() ? nullptr : &lengths_[first];
    sides_[block] = side;
}

Stored::Stored(const Rows& rows, const Coder& coder, const int64_t* groups, const Isa& isa, Pool& pool,
               const Watch& watch)
    : Stored(rows, coder, find_copies(rows, groups, *isa.rows, pool, watch), isa, pool, watch) {}

Stored::Stored(const Rows& rows, const Coder& coder, Copies&& copies, const Isa& isa, Pool& pool, const Watch& watch)
    : Stored(rows, coder, std::move(copies), order_by_pivots(rows, copies.representatives, coder, isa, pool, watch),
             isa, pool, watch) {}

Stored::Stored(const Rows& rows, const Coder& coder, Copies&& copies, Order&& order, const Isa& isa, Pool& pool,
               const Watch& watch)
    : rows_(rows),
      coder_(&coder),
      copies_(std::move(copies)),
      blocks_(choose_firsts(order, coder)),
      panels_(blocks_.panels(), layout_of(coder, rows.matrix.dim, coder.sum() == Sum::squares)),
      layer_(blocks_, panels_, {0, panels_.layout().bytes},
             coder.sum() == Sum::products || coder.sum() == Sum::absolutes, coder.sum() == Sum::squares),
      order_(std::move(order.rows)),
      ops_(isa.rows),
      columns_(padded(blocks(), kProjected)),
      middles_(rows.matrix.dim * columns_),
      middles_squared_(columns_) {
    const int64_t n = size(), dim = rows.matrix.dim;
    pool.run(blocks(), watch, [&](int, int64_t b) {
        CodedBlock coded;
        const int64_t first = blocks_.first(b);
        const int count = blocks_.size(b);
        code(rows_, &order_[first], count, coder.region(rows_, order_[first]), coded);
        put(b, coded);
        std::vector<float> middle(dim);
        for (int i = 0; i < count; ++i) {
            const int8_t* code = &coded.codes[i * coder.row_bytes()];
            for (int64_t c = 0; c < dim; ++c) middle[c] += code[c];
        }
        for (int64_t c = 0; c < dim; ++c) {
            middles_[c * columns_ + b] = middle[c] * static_cast<float>(coded.side.scale / count);
            middles_squared_[b] += middles_[c * columns_ + b] * middles_[c * columns_ + b];
        }
    });
    if (copies_.any()) {
        class_of_.resize(n);
        for (int64_t p = 0; p < n; ++p) {
            const auto& of = copies_.representatives;
            class_of_[p] = static_cast<int32_t>(std::lower_bound(of.begin(), of.end(), order_[p]) - of.begin());
        }
    }
    fingerprint_ = static_cast<uint64_t>(block());
    for (int32_t row : order_) fingerprint_ = (fingerprint_ ^ static_cast<uint64_t>(row)) * 0x9e3779b97f4a7c15u;
}

void Stored::put(int64_t block, const CodedBlock& coded) {
    panels_.pack(blocks_.panel(block), coded);
    layer_.put(block, coded);
    if (sketches_) sketches_->put(block, coded.sketch);
}

void Stored::code(const Rows& rows, const int32_t* which, int n, int region, CodedBlock& out) const {
    if (rotation_) {
        const auto room = std::make_unique_for_overwrite<float[]>(n * rotation_->dim_padded());
        return code_turned(rows, which, n, room.get(), out);
    }
    double highest = 0;
    for (int i = 0; i < n; ++i) highest = std::max(highest, coder_->peak(rows, which[i], region));
    coder_->code(rows, which, n, region, highest, out);
}

void Stored::code_turned(const Rows& rows, const int32_t* which, int n, float* room, CodedBlock& out) const {
    coder_->centred_coder()->code_rotated(rows, which, n, *rotation_, room, out);
}

void Stored::turn(std::unique_ptr<const Rotation> rotation, Pool& pool, const Watch& watch) {
    // In one piece, which goes back at once: what threads of their own take and give stays with the process. Before
    // anything changes, for it may be refused.
    const int64_t each = block() * (rotation ? *rotation : *rotation_).dim_padded();
    const auto room = std::make_unique_for_overwrite<float[]>(pool.threads() * each);
    if (rotation) {
        const Layout& layout = panels_.layout();
        const Range range{rotation->first(), layout.bytes - rotation->first() + layout.tail};
        auto sketches = std::make_unique<Layer>(blocks_, panels_, range, false, false);
        rotation_ = std::move(rotation);
        sketches_ = std::move(sketches);
    }
    half_turned_ = true;
    pool.run(blocks(), watch, [&](int worker, int64_t b) {
        CodedBlock coded;
        code_turned(rows_, &order_[blocks_.first(b)], blocks_.size(b), &room[worker * each], coded);
        put(b, coded);
    });
    half_turned_ = false;
}

void Stored::distances_to_middles(const float* rows, int64_t n, int64_t stride, std::vector<float>& out) const {
    thread_local std::vector<float> products;
    products.resize(n * columns_);
    ops_->project(rows, n, stride, rows_.matrix.dim, middles_.data(), columns_, products.data());
    out.resize(n * blocks());
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t b = 0; b < blocks(); ++b) {
            const float squared = middles_squared_[b] - 2 * products[i * columns_ + b];
            out[i * blocks() + b] = squared < 1e30f ? squared : 1e30f;
        }
    }
}

std::vector<int32_t> Stored::blocks_by_distance(int64_t block) const {
    std::vector<float> middle(rows_.matrix.dim), squared;
    for (size_t c = 0; c < middle.size(); ++c) middle[c] = middles_[c * columns_ + block];
    distances_to_middles(middle.data(), 1, rows_.matrix.dim, squared);
    std::vector<std::pair<float, int32_t>> others;
    for (int64_t other = 0; other < blocks(); ++other) {
        const float elsewhere = side(other).region == side(block).region ? 0 : 1e30f;
        others.emplace_back(elsewhere + squared[other], static_cast<int32_t>(other));
    }
    std::sort(others.begin(), others.end());
    std::vector<int32_t> sorted;
    for (const auto& other : others) sorted.push_back(other.second);
    return sorted;
}

std::pair<const int32_t*, const int32_t*> Stored::copies(int64_t position) const {
    if (!copies_.any()) return {&order_[position], &order_[position] + 1};
    const int32_t place = class_of_[position];
    return {&copies_.members[copies_.starts[place]], copies_.members.data() + copies_.starts[place + 1]};
}

}  // namespace vicinal
