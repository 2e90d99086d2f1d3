// A self-join or search that measures pairs last.
//
// Codes give bounds of the distance of a pair. Its errors of rounding hardly ever all point in one direction, as the
// bounds allow, so the distance is about halfway. The k-th lowest such estimate of a row is its radius: pairs whose
// lower bound is above the radii of both rows are dropped, the others wait until all tiles are scanned. The first radii
// come from a sample (deferred_seed.cpp). At the end (deferred_settle.cpp) all pairs within the last radii are
// measured, and each list is made once from little more than its k entries. While radii come from bounds and distances
// (topk_join.hpp), a list takes up several times k entries and gives most of them up again.
//
// Proof. Estimates and samples prove nothing, but radii only become lower, so a pair whose distance is within the last
// radius of a row was never dropped for that row and is measured. If a row then has k distances within its radius, they
// are the k nearest. Else the radius was too low; the few such rows are searched again, with proven radii.
#pragma once

#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>

#include "join.hpp"
#include "join_rows.hpp"
#include "lowest_lists.hpp"
#include "measure.hpp"
#include "plan.hpp"

namespace vicinal {

class DeferredJoin {
public:
    // Whether this join is likely the fastest one, and its memory is in proportion to the result's.
    static bool suits(const Context& context, const JoinRows& rows, int64_t k);

    DeferredJoin(const Context& context, const JoinRows& rows, const JoinPlan& plan, const Groups& groups,
                 Lists& lists);

    void run();

private:
    static constexpr double kInfinity = std::numeric_limits<double>::infinity();

    struct Worker {
        explicit Worker(const DeferredJoin& join);

        Filter filter;
        Measure measure;
        std::vector<PendingPair> waiting, sorted;
        std::vector<float> estimates;  // of the pairs of the current tile, which wait last
        std::vector<uint32_t> starts;
        std::vector<double> row_radii, column_radii, distances;
        std::vector<float> uppers;
        std::vector<Neighbour> entries;
    };
    // The pairs that waited and are within the radius of a row, one entry for each such row.
    struct Measured {
        std::unique_ptr<Neighbour[]> entries;
        std::vector<uint32_t> starts, ends;  // of the entries of each position
    };

    // What is taken for the radius of a pair, rather too high than too low.
    static float estimate_of(float lower, float upper) {
        const float estimate = lower + 0.55f * (upper - lower);
        return estimate + 1e-6f * std::abs(estimate);
    }
    bool allowed(int64_t row, int64_t column) const {
        return !groups_.rows || groups_.rows[rows_.row(row)] != groups_.columns[stored_.row(column)];
    }
    bool near_enough(const PendingPair& pair) {
        return pair.lower <= read_radius(radii_, pair.row) ||
               (rows_.self() && pair.lower <= read_radius(radii_, pair.column));
    }

    void seed(int64_t row_block);
    void seed_from_sample(int64_t row_block, const std::vector<int32_t>& sample, double share);
    void scan(Worker& worker, int64_t row_block, int64_t column_block);
    void take(Worker& worker, int64_t row_block, int64_t column_block);
    void add(int64_t position, float estimate);
    void move(const std::vector<int32_t>& places);
    void read_radii(const JoinRows& rows, int64_t block, std::vector<double>& out);
    void prune(Worker& worker);
    void settle(Worker& worker);
    void offer(int64_t position, double distance, int64_t other);

    template <class Use>
    void each_range(Use&& use);
    void settle_all();
    void make_room(Measured& measured) const;
    void measure_all(Measured& measured);
    void measure(Worker& worker, const PendingPair* pairs, size_t n, Measured& measured);
    bool fill(Worker& worker, Measured& measured, int64_t position);
    void repeat(const std::vector<int64_t>& positions);

    const Context& context_;
    Stored& stored_;
    const JoinRows& rows_;
    const JoinPlan& plan_;
    Groups groups_;
    Lists& lists_;
    int64_t k_;
    Radii radii_;                   // by position
    LowestLists nearest_;           // the estimates of the nearest pairs of each position
    std::vector<int32_t> list_of_;  // the number of these of each position
    std::vector<double> none_, unbounded_;
    std::vector<int32_t> block_of_;  // each position
    std::vector<std::mutex> locks_;  // one for each block
    std::vector<Worker> workers_;
    size_t most_waiting_;
    std::atomic<bool> settled_ = false;  // whether lists have entries already
};

}  // namespace vicinal
