// Self-join: the k nearest other rows of each row.
//
// The tiles on the diagonal are scanned first, then each block with the blocks near it, then the rest. Only tiles (I,
// J) with I <= J are scanned, so each pair occurs once.
#include <algorithm>
#include <stdexcept>

#include "merge.hpp"
#include "topk_join.hpp"

namespace vicinal {
namespace {

constexpr size_t kStride = 16;  // column blocks in a task
constexpr int32_t kNear = 9;    // blocks near a block, with itself, that are scanned before the rest
constexpr size_t kSeed = 9;     // blocks that first thresholds for a large k come from

using BlockLists = std::vector<std::vector<int32_t>>;

void add_tasks(const BlockLists& columns, JoinPlan& plan) {
    for (size_t row = 0; row < columns.size(); ++row) {
        const auto& all = columns[row];
        for (size_t first = 0; first < all.size(); first += kStride) {
            const auto begin = all.begin() + static_cast<int64_t>(first);
            const auto end = begin + static_cast<int64_t>(std::min(kStride, all.size() - first));
            plan.tasks.push_back({static_cast<int32_t>(row), {begin, end}});
        }
    }
}

JoinPlan plan_tasks(const Context& context) {
    const Stored& stored = context.stored;
    const auto blocks = static_cast<int32_t>(stored.blocks());
    BlockLists nearest(blocks), near(blocks), far(blocks);
    context.pool.run(blocks, context.callbacks,
                     [&](int, int64_t row) { nearest[row] = stored.blocks_by_distance(row); });
    JoinPlan plan;
    std::vector<std::vector<bool>> taken(blocks, std::vector<bool>(blocks));
    for (int32_t row = 0; row < blocks; ++row) {
        plan.tasks.push_back({row, {row}});
        taken[row][row] = true;
        for (int32_t rank = 0; rank < std::min(blocks, kNear); ++rank) {
            const auto [low, high] = std::minmax(row, nearest[row][rank]);
            if (taken[low][high]) continue;
            taken[low][high] = true;
            near[low].push_back(high);
        }
    }
    for (int32_t row = 0; row < blocks; ++row) {
        for (int32_t other : nearest[row]) {
            if (other > row && !taken[row][other]) far[row].push_back(other);
        }
    }
    add_tasks(near, plan);
    plan.near_tasks = static_cast<int64_t>(plan.tasks.size());
    add_tasks(far, plan);
    for (int32_t row = 0; row < blocks; ++row) {
        std::vector<int32_t> seeds = {row};
        for (const int32_t other : nearest[row]) {
            if (other != row && seeds.size() < kSeed) seeds.push_back(other);
        }
        plan.seeds.push_back(std::move(seeds));
    }
    return plan;
}

// Identifies the tasks and the format of the lists, so that a checkpoint of another join is refused.
uint64_t layout_of(const Stored& stored, int64_t k, const JoinPlan& plan) {
    uint64_t name = stored.fingerprint() ^ static_cast<uint64_t>(k);
    const auto add = [&](uint64_t number) { name = (name ^ number) * 0x9e3779b97f4a7c15u; };
    add(Lists::kChildren);
    for (const JoinPlan::Task& task : plan.tasks) {
        add(static_cast<uint64_t>(task.row_block));
        for (const int32_t column : task.column_blocks) add(static_cast<uint64_t>(column));
    }
    return name;
}

void check(const Checkpoint& saved, uint64_t layout, const JoinPlan& plan, const Lists& lists, const Stored& stored) {
    if (saved.layout != layout) throw std::invalid_argument("the checkpoint belongs to another join");
    bool valid = saved.finished >= 0 && saved.finished <= static_cast<int64_t>(plan.tasks.size());
    for (int64_t p = 0; valid && p < stored.size(); ++p) {
        valid = lists.valid(stored.row(p), stored.rows().matrix.n_vectors);
    }
    if (!valid) throw std::invalid_argument("the checkpoint is damaged");
}

}  // namespace

void self_join(const Context& context, const int64_t* groups, Lists& lists) {
    const int64_t k = lists.k();
    const Stored& stored = context.stored;
    const Callbacks& callbacks = context.callbacks;
    const int64_t n = stored.rows().matrix.n_vectors;
    context.stats.pairs = n * (n - 1) / 2;
    const JoinRows rows(stored, nullptr);
    const JoinPlan plan = plan_tasks(context);
    TopKJoin join(context, rows, plan, {groups, groups}, lists);
    Checkpoint state{0, layout_of(stored, k, plan)};
    if (callbacks.resume) {
        check(*callbacks.resume, state.layout, plan, lists, stored);
        state.finished = callbacks.resume->finished;
        join.resume();
    } else {
        lists.clear(0, n);
    }
    join.run(state.finished, callbacks.save ? [&] { callbacks.save(state); } : std::function<void()>());
    const Timer finishing;
    finish_self_join(context, groups, lists);
    context.stats.seconds_finish = finishing.seconds();
}

}  // namespace vicinal
