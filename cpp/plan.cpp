// See plan.hpp.
#include "plan.hpp"

#include <algorithm>

namespace vicinal {
namespace {

constexpr int64_t kStride = 16;  // column blocks in a task
constexpr int64_t kNear = 9;     // blocks near a block, with itself, that are scanned before the rest
constexpr size_t kSeed = 9;      // blocks that first thresholds for a large k come from
constexpr int64_t kNamed = 64;   // blocks whose tasks are named together

int64_t tasks_of(size_t columns) { return (static_cast<int64_t>(columns) + kStride - 1) / kStride; }

JoinPlan::Task task_of(int64_t row, const std::vector<int32_t>& columns, int64_t part) {
    const auto size = static_cast<int64_t>(columns.size());
    const auto first = columns.begin() + part * kStride, last = columns.begin() + std::min(size, (part + 1) * kStride);
    return {static_cast<int32_t>(row), {first, last}};
}

// The first `most` blocks by (distance, number), or all for -1, of those from `first` on.
std::vector<int32_t> nearest(const std::vector<float>& distances, int64_t first, int64_t most = -1) {
    std::vector<std::pair<float, int32_t>> all;
    const auto blocks = static_cast<int64_t>(distances.size());
    all.reserve(blocks - first);
    for (int64_t other = first; other < blocks; ++other) {
        all.emplace_back(distances[other], static_cast<int32_t>(other));
    }
    const auto end = most < 0 ? all.end() : all.begin() + std::min<int64_t>(most, static_cast<int64_t>(all.size()));
    std::partial_sort(all.begin(), end, all.end());
    std::vector<int32_t> sorted;
    sorted.reserve(end - all.begin());
    for (auto one = all.begin(); one != end; ++one) sorted.push_back(one->second);
    return sorted;
}

}  // namespace

void add_parts(std::vector<std::vector<int32_t>> near, int64_t stored_blocks, int64_t parts, JoinPlan& plan) {
    std::vector<int64_t> before = {0};  // the number of tasks before each block
    for (auto& blocks : near) {
        std::sort(blocks.begin(), blocks.end());
        before.push_back(before.back() + std::min(parts, stored_blocks - static_cast<int64_t>(blocks.size())));
    }
    plan.n_further = before.back();
    plan.further = [near = std::move(near), before = std::move(before), stored_blocks](int64_t number) {
        const int64_t block = std::upper_bound(before.begin(), before.end(), number) - before.begin() - 1;
        const int64_t part = number - before[block], parts = before[block + 1] - before[block];
        const std::vector<int32_t>& without = near[block];
        const int64_t size = stored_blocks - static_cast<int64_t>(without.size());
        const int64_t first = size * part / parts, last = size * (part + 1) / parts;
        JoinPlan::Task task{static_cast<int32_t>(block), {}};
        auto skip = without.begin();
        for (int64_t b = 0, place = 0; place < last; ++b) {
            if (skip != without.end() && *skip == b) ++skip;
            else if (place++ >= first) task.column_blocks.push_back(static_cast<int32_t>(b));
        }
        return task;
    };
}

SelfJoinPlan::SelfJoinPlan(int64_t blocks, Distances distances, Pool& pool, const Callbacks& callbacks)
    : blocks_(blocks), distances_(std::move(distances)), near_(blocks), further_(blocks + 1) {
    std::vector<Blocks> ranked(blocks);
    pool.run(blocks, callbacks, [&](int, int64_t block) {
        thread_local std::vector<float> own;
        distances_(block, own);
        ranked[block] = nearest(own, 0, kNear);
    });
    for (int32_t block = 0; block < blocks; ++block) {
        plan_.near.push_back({block, {block}});
        for (const int32_t other : ranked[block]) {
            const auto [low, high] = std::minmax(block, other);
            Blocks& later = near_[low];
            if (low == high || std::find(later.begin(), later.end(), high) != later.end()) continue;
            later.push_back(high);
        }
    }
    for (int64_t block = 0; block < blocks; ++block) {
        for (int64_t part = 0; part < tasks_of(near_[block].size()); ++part) {
            plan_.near.push_back(task_of(block, near_[block], part));
        }
        further_[block + 1] = further_[block] + tasks_of(blocks - 1 - block - near_[block].size());
        Blocks seeds = {static_cast<int32_t>(block)};
        for (const int32_t other : ranked[block]) {
            if (other != block && seeds.size() < kSeed) seeds.push_back(other);
        }
        plan_.seeds.push_back(std::move(seeds));
        std::sort(near_[block].begin(), near_[block].end());
    }
    plan_.n_further = further_[blocks];
    plan_.further = [this](int64_t number) { return further(number); };
}

std::vector<int32_t> SelfJoinPlan::far(int64_t block) const {
    thread_local std::vector<float> own;
    distances_(block, own);
    Blocks sorted = nearest(own, block + 1);
    const Blocks& near = near_[block];
    std::erase_if(sorted, [&](int32_t other) { return std::binary_search(near.begin(), near.end(), other); });
    return sorted;
}

std::shared_ptr<const std::vector<int32_t>> SelfJoinPlan::recent_far(int64_t block) const {
    Recent& recent = recent_[block % 2];
    const std::lock_guard lock(recent.mutex);
    if (recent.block != block) {
        recent.far = std::make_shared<const Blocks>(far(block));
        recent.block = block;
    }
    return recent.far;
}

JoinPlan::Task SelfJoinPlan::further(int64_t number) const {
    const int64_t block = std::upper_bound(further_.begin(), further_.end(), number) - further_.begin() - 1;
    return task_of(block, *recent_far(block), number - further_[block]);
}

uint64_t SelfJoinPlan::layout(uint64_t name, Pool& pool, const Callbacks& callbacks) const {
    const auto add = [&](uint64_t number) { name = (name ^ number) * 0x9e3779b97f4a7c15u; };
    const auto add_task = [&](const JoinPlan::Task& task) {
        add(static_cast<uint64_t>(task.row_block));
        for (const int32_t column : task.column_blocks) add(static_cast<uint64_t>(column));
    };
    for (const JoinPlan::Task& task : plan_.near) add_task(task);
    for (int64_t first = 0; first < blocks_; first += kNamed) {
        std::vector<Blocks> lists(std::min(kNamed, blocks_ - first));
        pool.run(static_cast<int64_t>(lists.size()), callbacks, [&](int, int64_t i) { lists[i] = far(first + i); });
        for (size_t i = 0; i < lists.size(); ++i) {
            const int64_t block = first + static_cast<int64_t>(i);
            for (int64_t part = 0; part < tasks_of(lists[i].size()); ++part) add_task(task_of(block, lists[i], part));
        }
    }
    return name;
}

}  // namespace vicinal
