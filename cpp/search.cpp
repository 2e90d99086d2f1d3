// Search: the k nearest stored rows of each query.
//
// A task is a block of queries and a range of stored blocks. Where sketches may help (sketch.hpp), the stored blocks
// near the queries are scanned first without sketches.
#include <algorithm>

#include "deferred_join.hpp"
#include "merge.hpp"
#include "sketch.hpp"
#include "topk_join.hpp"

namespace vicinal {

JoinPlan search_plan(const Context& context, QueryBlocks& queries) {
    JoinPlan plan;
    for (int64_t block = 0; block < queries.count(); ++block) plan.seeds.push_back(queries.near(block));
    std::vector<std::vector<int32_t>> near(queries.count());
    if (sketches_may_help(context.stored, JoinRows(context.stored, &queries), context.sketch, context.isa)) {
        for (int64_t block = 0; block < queries.count(); ++block) {
            near[block] = queries.near(block);
            plan.near.push_back({static_cast<int32_t>(block), near[block]});
        }
    }
    add_parts(std::move(near), context.stored.blocks(), queries.parts(context.pool.threads()), plan);
    return plan;
}

void search(const Context& context, const Rows& queries, int64_t k, const int64_t* groups, const int64_t* query_groups,
            int64_t* indices, float* distances) {
    const int64_t n = queries.matrix.n_vectors;
    context.stats.pairs = n * context.stored.rows().matrix.n_vectors;
    QueryBlocks blocks(context, queries);
    const JoinRows rows(context.stored, &blocks);
    const JoinPlan plan = search_plan(context, blocks);
    Lists lists(indices, distances, k);
    lists.clear(0, n);
    if (DeferredJoin::suits(context, rows, k)) {
        DeferredJoin(context, rows, plan, {query_groups, groups}, lists).run();
    } else {
        int64_t finished = 0;
        TopKJoin(context, rows, plan, {query_groups, groups}, lists).run(finished);
    }
    const Timer finishing;
    finish_search(context, n, lists);
    context.stats.seconds_finish = finishing.seconds();
}

}  // namespace vicinal
