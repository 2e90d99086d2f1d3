// The three questions, asked of stored rows.
#pragma once

#include <chrono>

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
    int sketch;  // as Index has it
    Pool& pool;
    const Watch& watch;
    Stats& stats;
};

// Fills the result of a self-join; groups by given row, or null.
void self_join(const Context& context, int64_t k, const int64_t* groups, int64_t* indices, float* distances);

void search(const Context& context, const Rows& queries, int64_t k, const int64_t* groups, const int64_t* query_groups,
            int64_t* indices, float* distances);

// queries null: the stored rows themselves, each without itself; then query_groups is not read.
Within within(const Context& context, double radius, const Rows* queries, const int64_t* groups,
              const int64_t* query_groups);

}  // namespace vicinal
