// A self-join of few rows that measures pairs last.
//
// The codes give an upper bound of each pair's distance besides the lower one. The k-th lowest upper bound of a row is
// a radius that excludes pairs, so that a scan needs no distances. Pairs that pass wait until all tiles are scanned.
// Most are then excluded by the final radii, and the rest are measured, those with the lowest bounds first. In a join
// of many rows (topk_join.hpp) so many pairs would not fit in memory, and narrower radii save more than the distances
// cost.
#pragma once

#include <mutex>

#include "join.hpp"
#include "join_rows.hpp"
#include "measure.hpp"
#include "plan.hpp"

namespace vicinal {

class LazyJoin {
public:
    // Whether this join is likely the faster one.
    static bool suits(const Context& context, int64_t k);

    // `groups`, one for each given row, may be null. The lists are those of the stored rows.
    LazyJoin(const Context& context, const JoinPlan& plan, const int64_t* groups, Lists& lists);

    void run();

private:
    struct Bounded {
        PendingPair pair;
        float upper;
    };
    struct Worker {
        explicit Worker(const LazyJoin& join);

        Filter filter;
        int64_t loaded = -1;  // the block of rows that the filter holds
        Measure measure;
        std::vector<Bounded> found;  // of the current tile
        std::vector<PendingPair> waiting, queue, later;
        std::vector<double> row_radii, column_radii;
        std::vector<float> uppers;
        std::vector<uint32_t> starts;
    };

    bool allowed(int64_t row, int64_t column) const {
        return !groups_ || groups_[stored_.row(row)] != groups_[stored_.row(column)];
    }
    bool near_enough(const PendingPair& pair) {
        return pair.lower <= read_radius(radii_, pair.row) || pair.lower <= read_radius(radii_, pair.column);
    }

    void seed(Worker& worker, int64_t block);
    void prepare_sketches();
    void scan(Worker& worker, int64_t row_block, int64_t column_block);
    void take(Worker& worker, int64_t row_block, int64_t column_block);
    void lower(int64_t position, float upper);
    void read_radii(int64_t block, std::vector<double>& out);
    void sort_by_row(std::vector<PendingPair>& pairs, Worker& worker) const;
    void settle(Worker& worker);
    void settle_all();
    void insert(Worker& worker);
    void offer(int64_t position, double distance, int64_t other);

    const Context& context_;
    const Stored& stored_;
    const JoinPlan& plan_;
    const int64_t* groups_;
    Lists& lists_;
    int64_t k_;
    JoinRows rows_;
    Radii radii_;                // by position
    std::vector<float> uppers_;  // the k lowest upper bounds of each position, the highest first
    std::vector<double> unbounded_;
    std::vector<int32_t> block_of_;  // each position
    std::vector<std::mutex> locks_;  // one for each block
    std::vector<Worker> workers_;
    size_t most_waiting_;
};

}  // namespace vicinal
