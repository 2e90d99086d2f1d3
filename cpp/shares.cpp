// See shares.hpp.
#include "shares.hpp"

#include <algorithm>
#include <bit>
#include <memory>

#include "merge.hpp"
#include "topk_join.hpp"

namespace vicinal {
namespace {

// The tasks of a share. What is near, but in another range, comes before the further tasks of the plan.
JoinPlan part_of(const JoinPlan& plan, const Share& share, int64_t blocks) {
    const auto range = [&](int64_t block) { return ((block + 1) * share.ranges - 1) / blocks; };
    JoinPlan part;
    part.seeds.resize(blocks);
    auto apart = std::make_shared<std::vector<JoinPlan::Task>>();
    for (const JoinPlan::Task& task : plan.near) {
        JoinPlan::Task here{task.row_block, {}}, there = here;
        for (const int32_t block : task.column_blocks) {
            (range(block) == range(task.row_block) ? here : there).column_blocks.push_back(block);
        }
        if (!there.column_blocks.empty()) apart->push_back(std::move(there));
        if (share.further || here.column_blocks.empty() || range(task.row_block) != share.first) continue;
        part.seeds[task.row_block] = plan.seeds[task.row_block];
        part.near.push_back(std::move(here));
    }
    if (!share.further) return part;
    const auto n_apart = static_cast<int64_t>(apart->size());
    const int64_t all = n_apart + plan.n_further, first = all * share.first / share.of;
    part.n_further = all * share.last / share.of - first;
    part.further = [&plan, apart, n_apart, first](int64_t number) {
        number += first;
        return number < n_apart ? (*apart)[number] : plan.further(number - n_apart);
    };
    return part;
}

bool overlap(const Share& a, const Share& b) {
    if (a.ranges != b.ranges || (a.further && b.further && a.of != b.of)) return true;
    return a.further == b.further && a.first < b.last && b.first < a.last;
}

}  // namespace

bool Shares::go_on(const Stored& stored, int64_t k, const Share& share) const {
    // The lists of copies are expanded at the end of a share.
    if (made_.empty() || stored.copies().any() || k != k_) return false;
    return std::none_of(made_.begin(), made_.end(), [&](const Share& made) { return overlap(made, share); });
}

Entries Shares::run(const Context& context, int64_t k, const Share& share, const int64_t* groups,
                    const double* limits) {
    const Stored& stored = context.stored;
    const int64_t n = stored.rows().matrix.n_vectors;
    distances_.resize(n * k);
    rows_.resize(n * k);
    Lists lists(distances_.data(), rows_.data(), k, true);
    if (!go_on(stored, k, share)) {
        lists.clear(0, n);
        made_.clear();
        k_ = k;
    }
    std::vector<Share> made = std::move(made_);
    made_.clear();  // an interrupted share leaves some of its entries in the lists
    const JoinRows rows(stored, nullptr);
    const JoinPlan part = part_of(plan_->plan(), share, stored.blocks());
    TopKJoin join(context, rows, part, {groups, groups}, lists);
    join.limit({limits, limits});
    join.resume();
    int64_t finished = 0;
    join.run(finished);
    const Timer finishing;
    if (stored.copies().any()) finish_self_join(context, groups, lists);
    made.push_back(share);
    const auto fresh = std::count_if(rows_.begin(), rows_.end(),
                                     [](float row) { return (std::bit_cast<uint32_t>(row) & Lists::kMark) == 0; });
    Entries out;
    out.counts.resize(n);
    out.rows.reserve(fresh);
    out.distances.reserve(fresh);
    for (int64_t list = 0; list < n; ++list) {
        lists.mark(list, [&](const Neighbour& entry) {
            if (entry.distance <= limits[list]) out.add(list, entry.distance, entry.row);
        });
    }
    made_ = std::move(made);
    context.stats.seconds_finish = finishing.seconds();
    return out;
}

}  // namespace vicinal
