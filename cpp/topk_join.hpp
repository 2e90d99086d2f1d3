// The driver of self-join and search: finds the k nearest stored rows of every row of a join.
//
// The scores of a few tiles give every row a first threshold: so many stored rows are surely that near. Then the tasks
// of a plan are scanned, those most likely to hold neighbours first; the later ones go through sketches where that is
// faster (sketch.hpp). Pairs that pass wait until the tile is done, or the task, and are measured then in rounds, the
// most promising of each row first, unless a lower threshold has excluded them meanwhile.
//
// In a self-join a pair counts for both of its rows, so that each pair is scanned once. In a search it counts for the
// query alone.
#pragma once

#include <functional>
#include <mutex>
#include <optional>

#include "join.hpp"
#include "join_rows.hpp"
#include "measure.hpp"

namespace vicinal {

// What a join does in which order.
struct JoinPlan {
    struct Task {
        int32_t row_block;
        std::vector<int32_t> column_blocks;  // stored
    };

    std::vector<Task> tasks;
    int64_t near_tasks = 0;  // of them, those that come first and never go through sketches
    // Of each block of rows, the stored blocks that first thresholds come from; in a self-join the block itself first.
    std::vector<std::vector<int32_t>> seeds;
};

// Rows of equal group are no neighbours of each other; both null where there are no groups.
struct Groups {
    const int64_t* rows;
    const int64_t* columns;
};

class TopKJoin {
public:
    // The lists are numbered as the given rows of the join.
    TopKJoin(const Context& context, const JoinRows& rows, const JoinPlan& plan, const Groups& groups, Lists& lists);

    // Takes thresholds from lists that an earlier run has filled.
    void resume();
    // Runs the tasks from `finished` on, which counts them; save, where given, is called between tasks as the watch
    // asks.
    void run(int64_t& finished, const std::function<void()>& save = {});

private:
    struct Worker {
        explicit Worker(const TopKJoin& join);

        Tiles tiles;
        std::optional<Tiles> sketch;
        Measure measure;
        std::vector<Waiting> queue, later;
        std::vector<double> distances;  // of the queue's pairs
        std::vector<uint32_t> starts, order, columns;
        std::vector<Neighbour> entries, scratch;
        std::vector<double> row_radii, column_radii;
    };
    struct Offer {
        int64_t to, other;  // positions
        double distance;
    };

    bool counts(int64_t row, int64_t column) const {
        return !groups_.rows || groups_.rows[rows_.row(row)] != groups_.columns[stored_.row(column)];
    }

    void seed(Worker& worker, int64_t row_block);
    void seed_from_scores(Worker& worker, int64_t row_block, int64_t column_block);
    void seed_from_survivors(Worker& worker, int64_t row_block, const std::vector<int32_t>& column_blocks);
    void prepare_sketches();
    void join(Worker& worker, const JoinPlan::Task& task);
    void scan(Worker& worker, int64_t row_block, int64_t column_block);
    const double* row_radii(Worker& worker, int64_t block);
    const double* column_radii(Worker& worker, int64_t block);

    void measure(Worker& worker, int64_t row_block);
    void drop(std::vector<Waiting>& queue);
    void enter(Worker& worker, int64_t row_block);
    void enter_columns(Worker& worker);
    template <class Get>
    void offer(Worker& worker, size_t n, Get&& get);
    void tighten(int64_t position);

    const Context& context_;
    Stored& stored_;
    const JoinRows& rows_;
    const JoinPlan& plan_;
    Groups groups_;
    Lists& lists_;
    int64_t k_;
    Radii radii_;               // by position
    std::vector<double> none_;  // the radii of columns that no pair counts for
    std::vector<double> unbounded_;
    std::vector<std::mutex> locks_;     // of the lists of each block of rows
    std::vector<int32_t> blocks_from_;  // self-join: the block of every kPanel-th position
    std::vector<Worker> workers_;
    size_t queue_limit_;
};

}  // namespace vicinal
