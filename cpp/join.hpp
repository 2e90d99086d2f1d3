// The calls of an index: self-join, search, cross join and neighbours within a radius.
#pragma once

#include <chrono>

#include "plan.hpp"
#include "pool.hpp"
#include "stored.hpp"
#include "topk.hpp"

namespace vicinal {

class Timer {
public:
    double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

struct Context {
    Stored& stored;
    const Isa& isa;
    int sketch;  // coordinates of the largest sketch; 0 for none, -1 to choose
    Pool& pool;
    const Callbacks& callbacks;
    Stats& stats;
};

// Fill the result arrays. groups, one for each given row, may be null.
void self_join(const Context& context, const int64_t* groups, Lists& lists);

std::unique_ptr<const SelfJoinPlan> stored_plan(const Stored& stored, Pool& pool, const Callbacks& callbacks);

class QueryBlocks;
// The tasks of a search.
JoinPlan search_plan(const Context& context, QueryBlocks& queries);
void search(const Context& context, const Rows& queries, int64_t k, const int64_t* groups, const int64_t* query_groups,
            int64_t* indices, float* distances);

void cross_join(const Context& context, const Rows& queries, int64_t k, const int64_t* groups,
                const int64_t* query_groups, const RawLists& query_lists, const RawLists& stored_lists,
                int64_t first_query);

// queries null: the neighbours of each stored row, without itself; query_groups is then not read.
RadiusResult within(const Context& context, double radius, const Rows* queries, const int64_t* groups,
                    const int64_t* query_groups);

}  // namespace vicinal
