// The driver of self-join and search: finds the k nearest stored rows of every row of a join.
//
// The scores of a few tiles give every row a first threshold, an upper bound of the distance to its k-th neighbour.
// Then the tasks of a plan are scanned, those most likely to contain neighbours first; the later ones go through
// sketches where that is faster (sketch.hpp). Pairs that pass the scan are queued and measured at the end of the tile
// or of the task, those with the lowest bounds first, unless a threshold that has become lower meanwhile excludes them.
//
// In a self-join a pair counts for both of its rows, so each pair is scanned once. In a search it counts for the query
// only, and in a cross join for the query and for the stored row, each of which has a list.
#pragma once

#include <functional>
#include <mutex>

#include "join.hpp"
#include "join_rows.hpp"
#include "measure.hpp"
#include "plan.hpp"

namespace vicinal {

// Distances beyond which a join wants no pair: of each given query and each given stored row.
struct Limits {
    const double* queries;
    const double* stored;
};

// The lists of the stored rows in a cross join, one for each given row, and the number by which they name the first
// query.
struct ColumnLists {
    Lists& lists;
    int64_t first_query;
};

class TopKJoin {
public:
    // `lists` has one list for each row of the join, in the order in which the rows were given. `columns` null: pairs
    // count for the rows of the join alone, or, in a self-join, for both.
    TopKJoin(const Context& context, const JoinRows& rows, const JoinPlan& plan, const Groups& groups, Lists& lists,
             const ColumnLists* columns = nullptr);

    // Computes thresholds from the lists, which an earlier run has filled.
    void resume();
    // Excludes pairs farther apart than both of these distances, which are given for each query and each stored row. In
    // a self-join both are one.
    void limit(const Limits& limits);
    // Runs the tasks from number `finished` on and keeps `finished` up to date. Calls `save`, if there is one, between
    // tasks, at the interval that the callbacks set.
    void run(int64_t& finished, const std::function<void()>& save = {});

private:
    struct Worker {
        explicit Worker(const TopKJoin& join);

        Filter filter;
        Measure measure;
        std::vector<PendingPair> queue, later;
        std::vector<double> distances;  // of the queue's pairs
        std::vector<uint32_t> starts, order, columns;
        std::vector<Neighbour> entries, scratch;
        std::vector<double> row_radii, column_radii;
    };
    // An entry for the list `list` of the row at a position.
    struct Offer {
        int64_t position, list;
        Neighbour entry;
    };
    // What the rows, or the columns, of a join keep.
    struct Side {
        Lists* lists = nullptr;
        Radii radii;                    // by position
        std::vector<std::mutex> locks;  // one for the lists of each block
    };

    bool allowed(int64_t row, int64_t column) const {
        return !groups_.rows || groups_.rows[rows_.row(row)] != groups_.columns[stored_.row(column)];
    }

    void seed(Worker& worker, int64_t row_block);
    void seed_from_scores(Worker& worker, int64_t row_block, int64_t column_block);
    void seed_from_survivors(Worker& worker, int64_t row_block, const std::vector<int32_t>& column_blocks);
    void join(Worker& worker, const JoinPlan::Task& task);
    void scan(Worker& worker, int64_t row_block, int64_t column_block);
    const double* row_radii(Worker& worker, int64_t block);
    const double* column_radii(Worker& worker, int64_t block);

    void measure(Worker& worker, int64_t row_block);
    void prune(std::vector<PendingPair>& queue);
    void insert(Worker& worker, int64_t row_block);
    void insert_columns(Worker& worker);
    template <class Get>
    void offer(Worker& worker, Side& side, size_t n, Get&& get);
    void update_radius(Side& side, int64_t position, int64_t list);

    const Context& context_;
    Stored& stored_;
    const JoinRows& rows_;
    const JoinPlan& plan_;
    Groups groups_;
    int64_t k_;
    Side row_side_, own_column_side_;
    Side* column_side_;  // that of the rows in a self-join; null in a search: no pair counts for the columns
    int64_t first_query_;
    std::vector<double> none_;  // the radii of columns in a search
    std::vector<double> unbounded_;
    std::vector<int32_t> blocks_from_;  // where pairs count for columns: the block of every kPanel-th position
    std::vector<Worker> workers_;
    size_t queue_limit_;
};

}  // namespace vicinal
