// Tests the plan of a self-join alone, without rows: its tasks, their name, and its memory, which grows with the number
// of blocks and not with its square.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <random>

#include "check.hpp"
#include "plan.hpp"

namespace {

std::atomic<int64_t> live = 0, most = 0;

}  // namespace

// Sanitizers have an operator new of their own; there nothing is counted.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// Counts the bytes that are allocated at a time. GCC takes the inlined pair for a mismatch.
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
void* operator new(size_t size) {
    auto* at = static_cast<size_t*>(std::malloc(size + 16));
    if (!at) throw std::bad_alloc();
    *at = size;
    const int64_t now = live += static_cast<int64_t>(size);
    for (int64_t before = most; before < now && !most.compare_exchange_weak(before, now);) continue;
    return at + 16 / sizeof(size_t);
}

void operator delete(void* given) noexcept {
    if (!given) return;
    auto* at = static_cast<size_t*>(given) - 16 / sizeof(size_t);
    live -= static_cast<int64_t>(*at);
    std::free(at);
}

void operator delete(void* given, size_t) noexcept { operator delete(given); }
#endif

namespace {

using namespace vicinal;

constexpr size_t kStride = 16;
constexpr int32_t kNear = 9;

// Blocks on a line, some at one place, so that distances have ties.
std::vector<float> places_of(int64_t blocks) {
    std::mt19937_64 random(3);
    std::vector<float> places(blocks);
    for (float& place : places) place = static_cast<float>(random() % static_cast<uint64_t>(2 * blocks));
    return places;
}

SelfJoinPlan::Distances distances_of(const std::vector<float>& places) {
    return [&places](int64_t block, std::vector<float>& out) {
        out.resize(places.size());
        for (size_t i = 0; i < places.size(); ++i) out[i] = (places[i] - places[block]) * (places[i] - places[block]);
    };
}

// The plan by its definition, with all distances at once: near tasks, then further ones.
std::vector<JoinPlan::Task> defined(const SelfJoinPlan::Distances& distances, int32_t blocks, size_t& n_near) {
    std::vector<std::vector<int32_t>> nearest(blocks), near(blocks), far(blocks);
    std::vector<std::vector<bool>> taken(blocks, std::vector<bool>(blocks));
    std::vector<JoinPlan::Task> tasks;
    for (int32_t row = 0; row < blocks; ++row) {
        std::vector<float> own;
        distances(row, own);
        for (int32_t other = 0; other < blocks; ++other) nearest[row].push_back(other);
        std::stable_sort(nearest[row].begin(), nearest[row].end(),
                         [&](int32_t a, int32_t b) { return own[a] < own[b]; });
        tasks.push_back({row, {row}});
        taken[row][row] = true;
    }
    for (int32_t row = 0; row < blocks; ++row) {
        for (int32_t rank = 0; rank < std::min(blocks, kNear); ++rank) {
            const auto [low, high] = std::minmax(row, nearest[row][rank]);
            if (taken[low][high]) continue;
            taken[low][high] = true;
            near[low].push_back(high);
        }
    }
    for (int32_t row = 0; row < blocks; ++row) {
        for (const int32_t other : nearest[row]) {
            if (other > row && !taken[row][other]) far[row].push_back(other);
        }
    }
    for (const auto* lists : {&near, &far}) {
        if (lists == &far) n_near = tasks.size();
        for (int32_t row = 0; row < blocks; ++row) {
            const auto& all = (*lists)[row];
            for (size_t first = 0; first < all.size(); first += kStride) {
                const auto begin = all.begin() + static_cast<int64_t>(first);
                tasks.push_back(
                    {row, {begin, all.begin() + static_cast<int64_t>(std::min(first + kStride, all.size()))}});
            }
        }
    }
    return tasks;
}

void compare(int32_t blocks, Pool& pool) {
    const std::vector<float> places = places_of(blocks);
    const auto distances = distances_of(places);
    size_t n_near = 0;
    const std::vector<JoinPlan::Task> expected = defined(distances, blocks, n_near);
    const SelfJoinPlan tasks(blocks, distances, pool, {});
    const JoinPlan& plan = tasks.plan();
    CHECK(plan.n_near() == static_cast<int64_t>(n_near));
    CHECK(plan.size() == static_cast<int64_t>(expected.size()));
    std::vector<bool> seen(static_cast<size_t>(blocks) * blocks);
    uint64_t name = 11;
    const auto add = [&](uint64_t number) { name = (name ^ number) * 0x9e3779b97f4a7c15u; };
    size_t pairs = 0;
    bool same = true;
    for (size_t i = 0; same && i < expected.size(); ++i) {
        const JoinPlan::Task task = plan.task(static_cast<int64_t>(i));
        same = task.row_block == expected[i].row_block && task.column_blocks == expected[i].column_blocks;
        add(static_cast<uint64_t>(task.row_block));
        for (const int32_t column : task.column_blocks) {
            add(static_cast<uint64_t>(column));
            CHECK(column >= task.row_block && !seen[static_cast<size_t>(task.row_block) * blocks + column]);
            seen[static_cast<size_t>(task.row_block) * blocks + column] = true;
            ++pairs;
        }
    }
    CHECK(same);
    CHECK(pairs == static_cast<size_t>(blocks) * (blocks + 1) / 2);
    CHECK(tasks.layout(11, pool, {}) == name);
    CHECK(plan.seeds.size() == static_cast<size_t>(blocks));
    for (int32_t block = 0; block < blocks; ++block) {
        CHECK(plan.seeds[block][0] == block &&
              plan.seeds[block].size() == static_cast<size_t>(std::min(blocks, kNear)));
    }
}

// 10 million rows of 16 dimensions: blocks of 768.
void memory(Pool& pool) {
    constexpr int64_t kRows = 10'000'000, kBlock = 768, kBlocks = (kRows + kBlock - 1) / kBlock;
    const std::vector<float> places = places_of(kBlocks);
    most = live.load();
    const int64_t before = live;
    const SelfJoinPlan tasks(kBlocks, distances_of(places), pool, {});
    const int64_t size = tasks.plan().size();
    for (int64_t task = 0; task < size; task += size / 50) CHECK(!tasks.plan().task(task).column_blocks.empty());
    tasks.layout(1, pool, {});
    std::printf("%ld blocks, %ld tasks: %.1f MB\n", long(kBlocks), long(size),
                static_cast<double>(most - before) / 1e6);
    CHECK(most - before < 20'000'000);
}

void search_parts() {
    for (const int64_t blocks : {3, 10, 57}) {
        for (const int64_t parts : {1, 4, 32}) {
            const std::vector<std::vector<int32_t>> near = {{}, {0}, {2, 0, 1}};
            JoinPlan plan;
            add_parts(near, blocks, parts, plan);
            std::vector<std::vector<int32_t>> found(near.size());
            for (int64_t i = 0; i < plan.size(); ++i) {
                const JoinPlan::Task task = plan.task(i);
                CHECK(!task.column_blocks.empty());
                auto& own = found[task.row_block];
                own.insert(own.end(), task.column_blocks.begin(), task.column_blocks.end());
            }
            for (size_t i = 0; i < near.size(); ++i) {
                std::vector<int32_t> rest;
                for (int32_t b = 0; b < blocks; ++b) {
                    if (std::find(near[i].begin(), near[i].end(), b) == near[i].end()) rest.push_back(b);
                }
                CHECK(found[i] == rest);
            }
        }
    }
}

}  // namespace

int main() {
    Pool pool(3);
    for (const int32_t blocks : {0, 1, 2, 8, 9, 10, 40, 700}) compare(blocks, pool);
    search_parts();
    memory(pool);
    std::printf("%d failures\n", failures);
    return failures != 0;
}
