// Shares of a self-join: several processes make one together, each with all rows.
//
// The lists of a process stay from one share to the next, so that what it found bounds what it compares. A share gives
// what is new in them. Entries that were given are marked.
#pragma once

#include <vector>

#include "join.hpp"
#include "topk.hpp"

namespace vicinal {

class Shares {
public:
    // `plan` is that of the stored rows, whose shares these are; k and the groups are the same for all.
    Shares(std::unique_ptr<const SelfJoinPlan> plan, uint64_t layout) : plan_(std::move(plan)), layout_(layout) {}

    uint64_t layout() const { return layout_; }
    // limits: of each given row, the distance beyond which no entry is wanted.
    Entries run(const Context& context, int64_t k, const Share& share, const int64_t* groups, const double* limits);

private:
    // Whether the lists can go on: a share that is made again would put its pairs into them twice.
    bool go_on(const Stored& stored, int64_t k, const Share& share) const;

    std::unique_ptr<const SelfJoinPlan> plan_;
    uint64_t layout_;
    int64_t k_ = 0;
    std::vector<int64_t> distances_;
    std::vector<float> rows_;
    std::vector<Share> made_;  // whose entries are in the lists; empty while a share runs
};

}  // namespace vicinal
