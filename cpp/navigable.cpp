// See navigable.hpp: the walk.
#include "navigable.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

namespace vicinal {
namespace {

constexpr size_t kHuge = 1 << 21;  // bytes of a huge page

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
template class Lines<NodeTerms>;
template class Lines<int32_t>;

namespace {

constexpr Step kExpanded = 1;

void fetch_links(const Navigable& graph, int32_t node) {
    const int32_t* const links = graph.links_of(node);
    for (int64_t i = 0; i < graph.degree; i += 16) __builtin_prefetch(links + i);
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

// Names the nodes that a node leads to and that were not seen before, and fetches what they are compared by.
void name_links(const Navigable& graph, int32_t node, Walk& walk) {
    walk.named.clear();
    const int32_t* const links = graph.links_of(node);
    for (int64_t i = 0; i < graph.degree && links[i] != kNoNode; ++i) {
        if (!see(walk, links[i])) continue;
        __builtin_prefetch(&graph.terms[links[i]]);
        const uint8_t* const code = graph.code(links[i]);
        for (int64_t c = 0; c < graph.row_bytes; c += 64) __builtin_prefetch(code + c);
        walk.named.push_back(links[i]);
    }
}

// Calls take(step) for each of walk.named.
template <class Take>
void each_step(const Navigable& graph, const RowOps& ops, Walk& walk, Take&& take) {
    const size_t n = walk.named.size();
    if (!graph.regions.empty()) {
        compare(graph, ops, walk.query, walk.named, false, walk.near);
        for (size_t i = 0; i < n; ++i) take(step_of(walk.near[i], walk.named[i]));
        return;
    }
    const CodedQuery& query = code_query(graph, ops, walk.query, 0);
    walk.products.resize(n);
    ops.named_products(query.code.data(), graph.codes.data(), graph.row_bytes, walk.named.data(), n,
                       walk.products.data());
    for (size_t i = 0; i < n; ++i) take(step_of(query.to(graph.terms[walk.named[i]], walk.products[i]), walk.named[i]));
}

}  // namespace

void nearest_starts(const Navigable& graph, const RowOps& ops, int64_t count, Walk& walk) {
    walk.named = graph.starts;
    walk.pool.clear();
    each_step(graph, ops, walk, [&](Step step) { insert_step(walk.pool, count, step); });
    walk.begin.clear();
    for (const Step step : walk.pool) walk.begin.push_back(node_of_step(step));
}

void walk_to(const Navigable& graph, const RowOps& ops, int64_t width, Walk& walk) {
    const auto words = static_cast<size_t>((graph.size() + 63) / 64);
    if (walk.seen.size() < words) walk.seen.resize(words);
    walk.pool.clear();
    walk.pool.reserve(width);
    walk.named.clear();
    if (walk.hidden != kNoNode) see(walk, walk.hidden);
    for (const int32_t node : walk.begin) {
        if (see(walk, node)) walk.named.push_back(node);
    }
    each_step(graph, ops, walk, [&](Step step) { insert_step(walk.pool, width, step); });
    for (int64_t next = 0; next < static_cast<int64_t>(walk.pool.size());) {
        if (walk.pool[next] & kExpanded) {
            ++next;
            continue;
        }
        const int32_t node = node_of_step(walk.pool[next]);
        walk.pool[next] |= kExpanded;
        if (next + 1 < static_cast<int64_t>(walk.pool.size())) fetch_links(graph, node_of_step(walk.pool[next + 1]));
        name_links(graph, node, walk);
        int64_t lowest = next + 1;
        each_step(graph, ops, walk, [&](Step step) {
            const int64_t place = insert_step(walk.pool, width, step);
            if (place >= lowest) return;
            lowest = place;
            fetch_links(graph, node_of_step(step));
        });
        next = lowest;
    }
    for (const int32_t word : walk.touched) walk.seen[word] = 0;
    walk.touched.clear();
}

}  // namespace vicinal
