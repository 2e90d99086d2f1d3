// Cross join: the k nearest stored rows of each query, and the k nearest queries of each stored row. Each pair is
// scanned once and counts for both.
//
// Limits that are known before, such as the distances of the k nearest rows found elsewhere, take the place of first
// thresholds: few pairs pass, and lists with fewer than k entries are usual.
#include <algorithm>

#include "merge.hpp"
#include "sketch.hpp"
#include "topk_join.hpp"

namespace vicinal {
namespace {

constexpr size_t kNear = 3;      // stored blocks near a block of queries that are scanned before the rest
constexpr int64_t kChunk = 256;  // positions in a task

// First each block of queries with the stored blocks near it, which lowers the limits of both sides, then the rest,
// which may use sketches.
JoinPlan plan_tasks(const Context& context, const QueryBlocks& queries) {
    JoinPlan plan;
    plan.seeds.resize(queries.count());
    std::vector<std::vector<int32_t>> near(queries.count());
    for (int64_t block = 0; block < queries.count(); ++block) {
        near[block] = queries.near(block);
        near[block].resize(std::min(near[block].size(), kNear));
        plan.near.push_back({static_cast<int32_t>(block), near[block]});
    }
    add_parts(std::move(near), context.stored.blocks(), queries.parts(context.pool.threads()), plan);
    return plan;
}

// Gives each copy of a stored row the list of the first.
void finish_columns(const Context& context, Lists& lists) {
    const Stored& stored = context.stored;
    if (!stored.copies().any()) return;
    context.pool.run((stored.size() + kChunk - 1) / kChunk, context.callbacks, [&](int, int64_t task) {
        for (int64_t p = task * kChunk; p < std::min(stored.size(), (task + 1) * kChunk); ++p) {
            const int32_t first = stored.row(p);
            for (auto [copy, end] = stored.copies(p); copy != end; ++copy) {
                if (*copy != first) lists.copy(first, *copy);
            }
        }
    });
}

}  // namespace

void cross_join(const Context& context, const Rows& queries, int64_t k, const int64_t* groups,
                const int64_t* query_groups, const RawLists& query_lists, const RawLists& stored_lists,
                int64_t first_query) {
    const int64_t n = queries.matrix.n_vectors;
    context.stats.pairs = n * context.stored.rows().matrix.n_vectors;
    QueryBlocks blocks(context, queries);
    const JoinRows rows(context.stored, &blocks);
    const JoinPlan plan = plan_tasks(context, blocks);
    Lists lists(query_lists.distances, query_lists.rows, k, true);
    Lists columns(stored_lists.distances, stored_lists.rows, k, true);
    lists.clear(0, n);
    const ColumnLists column_lists{columns, first_query};
    TopKJoin join(context, rows, plan, {query_groups, groups}, lists, &column_lists);
    join.limit({query_lists.limits, stored_lists.limits});
    join.resume();
    int64_t finished = 0;
    join.run(finished);
    const Timer finishing;
    finish_search(context, n, lists);
    finish_columns(context, columns);
    context.stats.seconds_finish = finishing.seconds();
}

}  // namespace vicinal
