// See stored.hpp.
#include "stored.hpp"

#include <algorithm>
#include <limits>

namespace vicinal {
namespace {

constexpr int kBlockStep = 192;             // a multiple of kPanel and kRowStep
constexpr int64_t kBlockBytes = 320 << 10;  // the codes of a block stay in the second-level cache
constexpr int kMaxBlock = 768;
constexpr int64_t kUnknown = 8;  // rows are not sorted by radii while more than one of so many is infinite
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kFew = 16384;  // rows whose codes are kept one after the other too, for the pairs that pass a sketch

int choose_block(int64_t size, int64_t row_bytes) {
    const int64_t by_cache = kBlockBytes / row_bytes, by_count = size / 16;
    const int64_t block = std::min(by_cache, by_count) / kBlockStep * kBlockStep;
    return static_cast<int>(std::clamp<int64_t>(block, kBlockStep, kMaxBlock));
}

// Splits the rows into blocks of equal size; a block ends early at a break of the order.
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

}  // namespace

Stored::Stored(const Rows& rows, const Coder& coder, const int64_t* groups, const Isa& isa, Pool& pool,
               const Callbacks& callbacks)
    : Stored(rows, coder, find_copies(rows, groups, *isa.rows, pool, callbacks), isa, pool, callbacks) {}

Stored::Stored(const Rows& rows, const Coder& coder, Copies&& copies, const Isa& isa, Pool& pool,
               const Callbacks& callbacks)
    : Stored(rows, coder, std::move(copies), order_by_pivots(rows, copies.representatives, coder, isa, pool, callbacks),
             isa, pool, callbacks) {}

Stored::Stored(const Rows& rows, const Coder& coder, Copies&& copies, Order&& order, const Isa& isa, Pool& pool,
               const Callbacks& callbacks)
    : rows_(rows),
      coder_(&coder),
      copies_(std::move(copies)),
      blocks_(choose_firsts(order, coder)),
      panels_(blocks_.panels(), layout_of(coder, rows.matrix.dim)),
      layer_(blocks_, panels_, coder.sum() == Sum::products || coder.sum() == Sum::absolutes,
             coder.sum() == Sum::squares, false),
      order_(std::move(order.rows)),
      ops_(isa.rows),
      columns_(padded(blocks(), kProjected)),
      means_(rows.matrix.dim * columns_),
      squared_means_(columns_) {
    const int64_t n = size(), dim = rows.matrix.dim;
    if (coder.coarse()) {
        const bool products = coder.sum() == Sum::products;
        coarse_ = std::make_unique<Layer>(blocks_, panels_, products, !products, true);
    }
    pool.run(blocks(), callbacks, [&](int, int64_t b) {
        CodedBlock coded;
        const int64_t first = blocks_.first(b);
        const int count = blocks_.size(b);
        const double highest = *std::max_element(&order.peaks[first], &order.peaks[first] + count);
        coder.encode(rows_, &order_[first], count, coder.region(rows_, order_[first]), highest, coded);
        put(b, coded);
        std::vector<float> middle(dim);
        for (int i = 0; i < count; ++i) {
            const int8_t* code = &coded.codes[i * coder.row_bytes()];
            for (int64_t c = 0; c < dim; ++c) middle[c] += code[c];
        }
        for (int64_t c = 0; c < dim; ++c) {
            means_[c * columns_ + b] = middle[c] * static_cast<float>(coded.stats.scale / count);
            squared_means_[b] += means_[c * columns_ + b] * means_[c * columns_ + b];
        }
    });
    if (copies_.any()) {
        class_of_.resize(n);
        for (int64_t p = 0; p < n; ++p) {
            const auto& of = copies_.representatives;
            class_of_[p] = static_cast<int32_t>(std::lower_bound(of.begin(), of.end(), order_[p]) - of.begin());
        }
    }
    fingerprint_ = static_cast<uint64_t>(max_block_size());
    for (int32_t row : order_) fingerprint_ = (fingerprint_ ^ static_cast<uint64_t>(row)) * 0x9e3779b97f4a7c15u;
}

int64_t Stored::block_of(int64_t position) const {
    int64_t low = 0, high = blocks();
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        (first(middle) <= position ? low : high) = middle;
    }
    return low;
}

void Stored::put(int64_t block, const CodedBlock& coded) {
    panels_.pack(blocks_.panel(block), coded.codes.data(), coded.stats.size);
    layer_.put(block, coded);
    if (coarse_) coarse_->put(block, coded.coarse);
}

void Stored::encode(const Rows& rows, const int32_t* which, int n, int region, CodedBlock& out) const {
    double highest = 0;
    for (int i = 0; i < n; ++i) highest = std::max(highest, coder_->peak(rows, which[i], region));
    coder_->encode(rows, which, n, region, highest, out);
    if (projection_) sketch(rows, which, n, out.sketches);
}

void Stored::sketch(const Rows& rows, const int32_t* which, int n, Sketches& out) const {
    coder_->centred_coder()->sketch(rows, which, n, *projection_, out);
}

void Stored::add_sketches(std::unique_ptr<const Projection> projection, std::vector<double> highest_radii, Pool& pool,
                          const Callbacks& callbacks) {
    const std::vector<Projection::Size>& sizes = projection->sizes();
    const auto n_sizes = static_cast<int>(sizes.size());
    const int64_t bytes = projection->kept() + 4 * n_sizes;
    auto panels = std::make_unique<Panels>(blocks_.panels(), Layout{bytes, padded(bytes, kRowAlign), 4, 128});
    std::vector<Layer> sketches;
    for (int s = 0; s < n_sizes; ++s) {
        sketches.emplace_back(blocks_, *panels, s, n_sizes, sizes[s].columns + 4 * (s + 1), coder_->coarse());
    }
    pool.run(blocks(), callbacks, [&](int, int64_t block) {
        Sketches made;
        coder_->centred_coder()->sketch(rows_, &order_[blocks_.first(block)], blocks_.size(block), *projection, made);
        panels->pack(blocks_.panel(block), made.codes.data(), blocks_.size(block));
        for (int s = 0; s < n_sizes; ++s) sketches[s].put(block, made.sizes[s]);
    });
    if (size() < kFew) layer_.keep_columns(*ops_);
    projection_ = std::move(projection);
    sketch_panels_ = std::move(panels);
    sketches_ = std::move(sketches);
    highest_radii_ = std::move(highest_radii);
}

std::vector<int32_t> Stored::arrange(const std::vector<double>& radii, Pool& pool) {
    const auto unknown = std::ranges::count_if(radii, [](double radius) { return !(radius < kInfinity); });
    if (arranged_ || unknown > size() / kUnknown) return {};
    // Memory is taken first: rows of which some were moved and others not would be wrong.
    int64_t bytes = std::max(panels_.room_to_arrange(max_block_size()), int64_t{sizeof(double)} * max_block_size());
    if (sketch_panels_) bytes = std::max(bytes, sketch_panels_->room_to_arrange(max_block_size()));
    std::vector<Bytes> rooms;
    for (int i = 0; i < pool.threads(); ++i) rooms.emplace_back(bytes);
    std::vector<int32_t> places(size());
    // Without callbacks, which could interrupt it.
    pool.run(blocks(), {}, [&](int worker, int64_t block) {
        const int64_t first = blocks_.first(block), panel = blocks_.panel(block);
        const std::span<int32_t> order(&places[first], blocks_.size(block));
        void* room = rooms[worker].get();
        order_by(&radii[first], order);
        vicinal::arrange(&order_[first], order, room);
        if (!class_of_.empty()) vicinal::arrange(&class_of_[first], order, room);
        panels_.arrange(panel, order, room);
        layer_.arrange(block, order, room);
        if (coarse_) coarse_->arrange(block, order, room);
        if (sketch_panels_) sketch_panels_->arrange(panel, order, room);
        for (Layer& layer : sketches_) layer.arrange(block, order, room);
        for (int32_t& place : order) place += static_cast<int32_t>(first);
    });
    if (layer_.keeps_columns()) layer_.keep_columns(*ops_);
    arranged_ = true;
    return places;
}

void Stored::distances_to_means(const float* rows, int64_t n, int64_t stride, std::vector<float>& out) const {
    thread_local std::vector<float> products;
    products.resize(n * columns_);
    ops_->project(rows, n, stride, rows_.matrix.dim, means_.data(), columns_, products.data());
    out.resize(n * blocks());
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t b = 0; b < blocks(); ++b) {
            const float squared = squared_means_[b] - 2 * products[i * columns_ + b];
            out[i * blocks() + b] = squared < 1e30f ? squared : 1e30f;
        }
    }
}

void Stored::distances_between(int64_t block, std::vector<float>& out) const {
    std::vector<float> middle(rows_.matrix.dim);
    for (size_t c = 0; c < middle.size(); ++c) middle[c] = means_[c * columns_ + block];
    distances_to_means(middle.data(), 1, rows_.matrix.dim, out);
    for (int64_t other = 0; other < blocks(); ++other) {
        const float elsewhere = stats(other).region == stats(block).region ? 0 : 1e30f;
        out[other] += elsewhere;
    }
}

std::pair<const int32_t*, const int32_t*> Stored::copies(int64_t position) const {
    if (!copies_.any()) return {&order_[position], &order_[position] + 1};
    const int32_t place = class_of_[position];
    return {&copies_.members[copies_.starts[place]], copies_.members.data() + copies_.starts[place + 1]};
}

}  // namespace vicinal
