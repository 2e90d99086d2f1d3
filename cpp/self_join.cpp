// Self-join: the k nearest other rows of each row.
//
// Only tiles (I, J) with I <= J are scanned, in the order of plan.hpp, so each pair occurs once.
#include <algorithm>
#include <memory>
#include <stdexcept>

#include "deferred_join.hpp"
#include "merge.hpp"
#include "topk_join.hpp"

namespace vicinal {
namespace {

void check(const Checkpoint& saved, uint64_t layout, const JoinPlan& plan, const Lists& lists, const Stored& stored) {
    if (saved.layout != layout) throw std::invalid_argument("the checkpoint belongs to another join");
    bool valid = saved.finished >= 0 && saved.finished <= plan.size();
    for (int64_t p = 0; valid && p < stored.size(); ++p) {
        valid = lists.valid(stored.row(p), stored.rows().matrix.n_vectors);
    }
    if (!valid) throw std::invalid_argument("the checkpoint is damaged");
}

}  // namespace

std::unique_ptr<const SelfJoinPlan> stored_plan(const Stored& stored, Pool& pool, const Callbacks& callbacks) {
    const auto distances = [&](int64_t block, std::vector<float>& out) { stored.distances_between(block, out); };
    return std::make_unique<const SelfJoinPlan>(stored.blocks(), distances, pool, callbacks);
}

void self_join(const Context& context, const int64_t* groups, Lists& lists) {
    const int64_t k = lists.k();
    const Stored& stored = context.stored;
    const Callbacks& callbacks = context.callbacks;
    const int64_t n = stored.rows().matrix.n_vectors;
    context.stats.pairs = n * (n - 1) / 2;
    const JoinRows rows(stored, nullptr);
    const std::unique_ptr<const SelfJoinPlan> tasks = stored_plan(stored, context.pool, callbacks);
    const JoinPlan& plan = tasks->plan();
    if (DeferredJoin::suits(context, rows, k)) {
        lists.clear(0, n);
        DeferredJoin(context, rows, plan, {groups, groups}, lists).run();
        const Timer finishing;
        finish_self_join(context, groups, lists);
        context.stats.seconds_finish = finishing.seconds();
        return;
    }
    TopKJoin join(context, rows, plan, {groups, groups}, lists);
    Checkpoint state;
    if (callbacks.resume || callbacks.save) {
        // Identifies the tasks and the format of the lists, so that a checkpoint of another join is refused.
        const uint64_t name = stored.fingerprint() ^ static_cast<uint64_t>(k);
        state.layout = tasks->layout((name ^ Lists::kChildren) * 0x9e3779b97f4a7c15u, context.pool, callbacks);
    }
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
