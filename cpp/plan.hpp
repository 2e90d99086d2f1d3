// The tasks of a join, in order.
//
// The tasks of a self-join name each pair of blocks, and those of a large search nearly so. So only the first tasks are
// kept; the further ones are made when they are run, and the memory of a plan grows with the number of blocks, not with
// its square.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "pool.hpp"

namespace vicinal {

struct JoinPlan {
    struct Task {
        int32_t row_block;
        std::vector<int32_t> column_blocks;  // stored
    };

    std::vector<Task> near;  // these come first and never use sketches
    int64_t n_further = 0;
    std::function<Task(int64_t)> further;  // called by several threads
    // The stored blocks that the first thresholds of each block of rows come from. In a self-join the block itself is
    // the first.
    std::vector<std::vector<int32_t>> seeds;

    int64_t n_near() const { return static_cast<int64_t>(near.size()); }
    int64_t size() const { return n_near() + n_further; }
    Task task(int64_t number) const { return number < n_near() ? near[number] : further(number - n_near()); }
};

// The further tasks of a search: for each block of queries the stored blocks that are not near, in `parts` tasks.
void add_parts(std::vector<std::vector<int32_t>> near, int64_t stored_blocks, int64_t parts, JoinPlan& plan);

// The plan of a self-join: the diagonal, each block with the blocks near it, then the rest, the nearest first. Each
// pair of blocks occurs once.
class SelfJoinPlan {
public:
    // Writes the distance of a block to all others, or what sorts alike. Called by several threads.
    using Distances = std::function<void(int64_t block, std::vector<float>& out)>;

    SelfJoinPlan(int64_t blocks, Distances distances, Pool& pool, const Callbacks& callbacks);

    const JoinPlan& plan() const { return plan_; }
    // Identifies the tasks, beginning with the name of what they belong to.
    uint64_t layout(uint64_t name, Pool& pool, const Callbacks& callbacks) const;

private:
    using Blocks = std::vector<int32_t>;

    // The blocks after this one that are not near it, the nearest first.
    Blocks far(int64_t block) const;
    std::shared_ptr<const Blocks> recent_far(int64_t block) const;
    JoinPlan::Task further(int64_t number) const;

    int64_t blocks_;
    Distances distances_;
    std::vector<Blocks> near_;      // of each block, the later ones
    std::vector<int64_t> further_;  // the number of further tasks before each block
    JoinPlan plan_;

    // The tasks of a block come one after the other, so that all threads need the lists of one or two blocks.
    struct Recent {
        std::mutex mutex;
        int64_t block = -1;
        std::shared_ptr<const Blocks> far;
    };
    mutable Recent recent_[2];
};

}  // namespace vicinal
