// See navigable.hpp: coding of queries, and the walk.
#include "navigable.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace vicinal {
namespace {

constexpr size_t kHuge = 1 << 21;  // bytes of a huge page

// Floats as whole numbers in the same order.
uint32_t ordered(float value) {
    const auto bits = std::bit_cast<uint32_t>(value + 0.0f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

Step step_of(float distance, int32_t node) { return Step{ordered(distance)} << 32 | static_cast<uint32_t>(node) << 1; }

}  // namespace

template <class T>
void Lines<T>::Free::operator()(std::byte* p) const {
    ::operator delete(p, std::align_val_t{64});
}

template <class T>
void Lines<T>::resize(size_t size) {
    if (size > room_) {
        // Room for more, so that many small additions do not copy all each time.
        const size_t room = room_ ? std::max(size, room_ + room_ / 4) : std::max<size_t>(size, 1);
        const size_t bytes = room * sizeof(T);
        std::unique_ptr<std::byte, Free> larger(static_cast<std::byte*>(::operator new(bytes, std::align_val_t{64})));
#if defined(MADV_HUGEPAGE)
        if (bytes >= 2 * kHuge) {
            const auto first = (reinterpret_cast<uintptr_t>(larger.get()) + kHuge - 1) / kHuge * kHuge;
            const auto last = (reinterpret_cast<uintptr_t>(larger.get()) + bytes) / kHuge * kHuge;
            madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
        }
#endif
        if (size_) std::memcpy(larger.get(), bytes_.get(), size_ * sizeof(T));
        bytes_ = std::move(larger);
        room_ = room;
    }
    size_ = size;
}

template class Lines<uint8_t>;
template class Lines<float>;
template class Lines<int32_t>;

void code_query(const Navigable& graph, const RowOps& ops, const Rows& queries, int64_t query, Walk& walk) {
    const int64_t dim = graph.dim;
    walk.loaded.resize(padded(dim, 8));
    walk.moved.resize(padded(dim, 8));
    walk.query.code.assign(padded(std::max(dim, graph.row_bytes), 64), 0);
    ops.load(queries, query, walk.loaded.data());
    ops.centred(walk.loaded.data(), graph.scale.centre.data(), graph.scale.factor, dim, walk.moved.data());
    float peak = 0;
    for (int64_t c = 0; c < dim; ++c) peak = std::max(peak, std::fabs(walk.moved[c]));
    const float scale = peak > 1e-30f ? peak / static_cast<float>(graph.scale.max_code) : 1;
    const CodedRow coded = ops.quantise(walk.moved.data(), dim, scale, walk.query.code.data());
    std::fill(walk.query.code.begin() + dim, walk.query.code.end(), int8_t{0});
    walk.query.factor = scale / static_cast<float>(graph.scale.scale);
    walk.query.offset = 128 * coded.sum;
}

void code_node(Navigable& graph, const RowOps& ops, const Rows& rows, int64_t row, int64_t node) {
    const int64_t dim = graph.dim;
    std::vector<double> loaded(padded(dim, 8));
    std::vector<float> moved(loaded.size());
    std::vector<int8_t> code(padded(std::max<int64_t>(dim, graph.row_bytes), 64));
    ops.load(rows, row, loaded.data());
    ops.centred(loaded.data(), graph.scale.centre.data(), graph.scale.factor, dim, moved.data());
    const auto limit = static_cast<float>(graph.scale.scale * graph.scale.max_code);
    double square = 0;
    for (int64_t c = 0; c < dim; ++c) {
        square += static_cast<double>(moved[c]) * moved[c];
        moved[c] = std::clamp(moved[c], -limit, limit);
    }
    ops.quantise(moved.data(), dim, static_cast<float>(graph.scale.scale), code.data());
    std::fill(code.begin() + dim, code.end(), int8_t{0});
    for (int64_t c = 0; c < graph.row_bytes; ++c)
        graph.codes[node * graph.row_bytes + c] = static_cast<uint8_t>(code[c]) ^ 0x80;
    const double half = square / (2 * graph.scale.scale * graph.scale.scale);
    graph.bases[node] = half < 1e30 ? static_cast<float>(half) : kFarBase;
}

namespace {

// The distances of walk.named, as products of codes.
void compare(const Navigable& graph, const RowOps& ops, Walk& walk) {
    walk.products.resize(walk.named.size());
    ops.named_products(walk.query.code.data(), graph.codes.data(), graph.row_bytes, walk.named.data(),
                       walk.named.size(), walk.products.data());
}

Step step_to(const Navigable& graph, const Walk& walk, size_t i) {
    const int32_t node = walk.named[i];
    const float product = static_cast<float>(walk.products[i] - walk.query.offset);
    return step_of(graph.bases[node] - walk.query.factor * product, node);
}

// Inserts a step into the sorted pool of at most `width`; returns its place, or `width` where it is too far.
int64_t insert_step(std::vector<Step>& pool, int64_t width, Step step) {
    auto size = static_cast<int64_t>(pool.size());
    if (size == width) {
        if (step >= pool.back()) return width;
        --size;
    } else {
        pool.push_back(step);
    }
    const int64_t place = std::lower_bound(pool.begin(), pool.begin() + size, step) - pool.begin();
    std::memmove(&pool[place] + 1, &pool[place], (size - place) * sizeof(Step));
    pool[place] = step;
    return place;
}

// Whether the node was not seen before.
bool see(Walk& walk, int32_t node) {
    uint64_t& word = walk.seen[node >> 6];
    const uint64_t bit = uint64_t{1} << (node & 63);
    if (word & bit) return false;
    if (!word) walk.touched.push_back(node >> 6);
    word |= bit;
    return true;
}

}  // namespace

void nearest_starts(const Navigable& graph, const RowOps& ops, int64_t count, Walk& walk) {
    walk.named = graph.starts;
    compare(graph, ops, walk);
    walk.pool.clear();
    for (size_t i = 0; i < walk.named.size(); ++i) insert_step(walk.pool, count, step_to(graph, walk, i));
    walk.begin.clear();
    for (const Step step : walk.pool) walk.begin.push_back(node_of_step(step));
}

void walk_to(const Navigable& graph, const RowOps& ops, int64_t width, Walk& walk) {
    constexpr Step kExpanded = 1;
    const auto words = static_cast<size_t>((graph.size() + 63) / 64);
    if (walk.seen.size() < words) walk.seen.resize(words);
    walk.pool.clear();
    walk.pool.reserve(width);
    walk.named.clear();
    for (const int32_t node : walk.begin) {
        if (see(walk, node)) walk.named.push_back(node);
    }
    compare(graph, ops, walk);
    for (size_t i = 0; i < walk.named.size(); ++i) insert_step(walk.pool, width, step_to(graph, walk, i));
    for (int64_t next = 0; next < static_cast<int64_t>(walk.pool.size());) {
        if (walk.pool[next] & kExpanded) {
            ++next;
            continue;
        }
        const int32_t node = node_of_step(walk.pool[next]);
        walk.pool[next] |= kExpanded;
        if (next + 1 < static_cast<int64_t>(walk.pool.size())) {
            const auto* ahead = graph.links_of(node_of_step(walk.pool[next + 1]));
            for (int64_t i = 0; i < graph.degree; i += 16) __builtin_prefetch(ahead + i);
        }
        walk.named.clear();
        const int32_t* const links = graph.links_of(node);
        for (int64_t i = 0; i < graph.degree && links[i] != kNoNode; ++i) {
            if (!see(walk, links[i])) continue;
            __builtin_prefetch(&graph.bases[links[i]]);
            walk.named.push_back(links[i]);
        }
        compare(graph, ops, walk);
        int64_t lowest = next + 1;
        for (size_t i = 0; i < walk.named.size(); ++i)
            lowest = std::min(lowest, insert_step(walk.pool, width, step_to(graph, walk, i)));
        next = lowest;
    }
    for (const int32_t word : walk.touched) walk.seen[word] = 0;
    walk.touched.clear();
}

}  // namespace vicinal
