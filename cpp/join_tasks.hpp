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

// Lets all workers use sketches, if these make the join faster. Sorts the rows of each block by their radii, and the
// stored rows, which happens once, where their radii are known; the radii are sorted with them. Returns the earlier
// place of each position of the rows, or nothing where no row was moved.
template <class Worker>
std::vector<int32_t> prepare_sketches(const Context& context, const JoinRows& rows, int64_t k, Radii& row_radii,
                                      Radii* column_radii, std::vector<Worker>& workers) {
    Stored& stored = context.stored;
    const bool sketched = stored.projection() != nullptr;
    if (!use_sketches(stored, rows, k, context.sketch, {&row_radii, column_radii}, context.isa, context.pool,
                      context.callbacks))
        return {};
    if (!sketched && !rows.self()) {
        context.pool.run(rows.blocks(), context.callbacks, [&](int, int64_t block) { rows.sketch(block); });
    }
    const auto move = [](Radii& radii, const std::vector<int32_t>& places) {
        if (!places.empty()) arrange(radii.data(), places);
    };
    if (column_radii) move(*column_radii, stored.arrange(*column_radii, context.pool));
    const std::vector<int32_t> places =
        rows.self() ? stored.arrange(row_radii, context.pool) : rows.queries()->arrange(row_radii);
    move(row_radii, places);
    context.stats.sketch = static_cast<int>(stored.sketch(stored.sketches() - 1).bytes());
    for (Worker& worker : workers) worker.filter.use_sketches(stored, context.isa);
    return places;
}

}  // namespace vicinal
