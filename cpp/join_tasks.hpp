// What joins do alike: the blocks of a task, and the use of sketches.
#pragma once

#include "join.hpp"
#include "join_rows.hpp"
#include "sketch.hpp"

namespace vicinal {

// Calls use(block) for each block of columns of a task, whose rows are in the filter, until the pool is stopped.
template <class Use>
void each_block(const Context& context, const JoinRows& rows, const JoinPlan::Task& task, Filter& filter, Use&& use) {
    int loaded = -1;  // the region whose centre the rows are coded from
    for (const int32_t block : task.column_blocks) {
        if (context.pool.stopped()) return;
        if (const int region = rows.region(block); region != loaded) {
            rows.load(filter, task.row_block, region);
            loaded = region;
        }
        use(block);
    }
}

// Lets all workers use sketches, if these make the join faster.
template <class Worker>
void prepare_sketches(const Context& context, const JoinRows& rows, int64_t k, const Limits& limits,
                      std::vector<Worker>& workers) {
    Stored& stored = context.stored;
    const bool sketched = stored.projection() != nullptr;
    const Rows* queries = rows.self() ? nullptr : &rows.rows();
    if (!use_sketches(stored, queries, k, context.sketch, limits, context.isa, context.pool, context.callbacks)) return;
    if (!sketched && !rows.self()) {
        context.pool.run(rows.blocks(), context.callbacks, [&](int, int64_t block) { rows.sketch(block); });
    }
    context.stats.sketch = static_cast<int>(stored.sketches().bytes());
    for (Worker& worker : workers) worker.filter.use_sketches(stored, context.isa);
}

}  // namespace vicinal
