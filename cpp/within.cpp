// All rows within a radius of each stored row or of each query.
#include <algorithm>
#include <optional>

#include "join.hpp"
#include "measure.hpp"

namespace vicinal {
namespace {

constexpr size_t kAtOnce = 1 << 20;  // pairs between two checks of whether to stop

struct Pair {
    int32_t from, to;
    double distance;
};

// Sorts the pairs into rows, each ascending by (distance, row).
RadiusResult collect(Pool& pool, const Callbacks& callbacks, int64_t n, std::vector<std::vector<Pair>>& parts) {
    RadiusResult result;
    std::vector<Neighbour> sorted;
    // Calls use(pair) for all pairs unless the run is stopped.
    const auto each = [&](std::vector<Pair>& pairs, auto&& use) {
        for (size_t first = 0; first < pairs.size() && !pool.stopped(); first += kAtOnce) {
            const size_t last = std::min(pairs.size(), first + kAtOnce);
            for (size_t i = first; i < last; ++i) use(pairs[i]);
        }
    };
    pool.run(1, callbacks, [&](int, int64_t) {  // as a task, so that progress is reported meanwhile
        result.indptr.assign(n + 1, 0);
        for (auto& pairs : parts) each(pairs, [&](const Pair& pair) { ++result.indptr[pair.from + 1]; });
        if (pool.stopped()) return;
        for (int64_t i = 0; i < n; ++i) result.indptr[i + 1] += result.indptr[i];
        sorted.resize(result.indptr[n]);
        std::vector<int64_t> next(result.indptr.begin(), result.indptr.end() - 1);
        for (auto& pairs : parts) {
            each(pairs, [&](const Pair& pair) {
                sorted[next[pair.from]++] = {pair.distance, static_cast<uint32_t>(pair.to)};
            });
            pairs = {};
        }
        if (pool.stopped()) return;
        result.indices.resize(sorted.size());
        result.distances.resize(sorted.size());
    });
    const int64_t chunk = 256;
    pool.run((n + chunk - 1) / chunk, callbacks, [&](int, int64_t task) {
        for (int64_t i = task * chunk; i < std::min(n, (task + 1) * chunk); ++i) {
            std::sort(sorted.begin() + result.indptr[i], sorted.begin() + result.indptr[i + 1]);
            for (int64_t e = result.indptr[i]; e < result.indptr[i + 1]; ++e) {
                result.indices[e] = sorted[e].row;
                result.distances[e] = static_cast<float>(sorted[e].distance);
            }
        }
    });
    return result;
}

struct Worker {
    Worker(const Context& context, const JoinRows& rows)
        : filter(context.stored, context.isa), measure(context.stored, rows, context.isa) {}

    Filter filter;
    Measure measure;
    std::vector<PendingPair> queue;
    std::vector<Pair> pairs;
};

class RadiusJoin {
public:
    RadiusJoin(const Context& context, double radius, const JoinRows& rows, const int64_t* groups,
               const int64_t* row_groups)
        : context_(context),
          stored_(context.stored),
          rows_(rows),
          groups_(groups),
          row_groups_(row_groups),
          radius_(radius),
          radii_(std::max<int64_t>(rows.max_block_size(), stored_.max_block_size()), stored_.coder().radius_of(radius)),
          none_(stored_.max_block_size(), stored_.coder().empty_radius()) {
        for (int i = 0; i < context.pool.threads(); ++i) workers_.emplace_back(context, rows);
    }

    RadiusResult run() {
        const int64_t parts = rows_.queries() ? rows_.queries()->parts(context_.pool.threads()) : 1;
        context_.pool.run(rows_.queries() ? rows_.blocks() : 0, context_.callbacks,
                          [&](int, int64_t block) { rows_.encode(block); });
        context_.pool.run(rows_.blocks() * parts, context_.callbacks, [&](int worker, int64_t task) {
            const int64_t part = task % parts, all = stored_.blocks();
            // A self-join scans the tiles on the diagonal and above it only.
            const int64_t first = rows_.self() ? task : all * part / parts;
            join(workers_[worker], task / parts, first, all * (part + 1) / parts);
        });
        for (const Worker& worker : workers_) context_.stats.candidates += worker.measure.count();
        if (rows_.self() && stored_.copies().any() && !groups_) {
            context_.pool.run(stored_.blocks(), context_.callbacks,
                              [&](int worker, int64_t block) { join_copies(workers_[worker], block); });
        }
        std::vector<std::vector<Pair>> pairs;
        for (Worker& worker : workers_) pairs.push_back(std::move(worker.pairs));
        return collect(context_.pool, context_.callbacks, rows_.rows().matrix.n_vectors, pairs);
    }

private:
    // Scans a block of rows with a range of stored blocks.
    void join(Worker& worker, int64_t row_block, int64_t first, int64_t last) {
        int loaded = -1;  // the region whose centre the loaded rows are coded from
        const int64_t first_row = rows_.first(row_block);
        for (int64_t block = first; block < last && !context_.pool.stopped(); ++block) {
            if (const int region = rows_.region(block); region != loaded) {
                rows_.load(worker.filter, row_block, region);
                loaded = region;
            }
            const int64_t first_column = stored_.first(block);
            const auto keep = [&](int row, int column) {
                return !groups_ ||
                       row_groups_[rows_.row(first_row + row)] != groups_[stored_.row(first_column + column)];
            };
            worker.filter.scan(
                block, radii_.data(), rows_.self() ? radii_.data() : none_.data(), rows_.self() && block == row_block,
                keep, [&](int panel, const Survivor* pairs, size_t n) {
                    worker.queue.clear();
                    for (size_t i = 0; i < n; ++i) {
                        worker.queue.push_back(
                            PendingPair::of(first_row + pairs[i].row, first_column + panel + pairs[i].column, 0));
                    }
                    worker.measure.run(worker.queue.data(), n, [&](int32_t row, int32_t column, double distance) {
                        if (distance <= radius_) add(worker, row, column, distance);
                    });
                });
        }
    }

    // Adds all pairs of a copy of the row and a copy of the column.
    void add(Worker& worker, int64_t row, int64_t column, double distance) {
        const auto [first_x, last_x] = rows_.copies(row);
        const auto [first_y, last_y] = stored_.copies(column);
        for (const int32_t* x = first_x; x != last_x && !context_.pool.stopped(); ++x) {
            for (const int32_t* y = first_y; y != last_y; ++y) {
                if (rows_.self() && *x == *y) continue;
                worker.pairs.push_back({*x, *y, distance});
                if (rows_.self() && row != column) worker.pairs.push_back({*y, *x, distance});
            }
        }
    }

    // Adds the pairs of copies of the same row.
    void join_copies(Worker& worker, int64_t block) {
        std::vector<double> x(padded(stored_.rows().matrix.dim, 8));
        for (int64_t p = stored_.first(block); p < stored_.first(block + 1) && !context_.pool.stopped(); ++p) {
            const auto [begin, end] = stored_.copies(p);
            if (end - begin < 2) continue;
            double sum;
            context_.isa.rows->load(stored_.rows(), *begin, x.data());
            context_.isa.rows->measure(stored_.rows(), stored_.coder().sum(), x.data(), begin, 1, &sum);
            const double distance = stored_.coder().distance_of(sum);
            if (distance <= radius_) add(worker, p, p, distance);
        }
    }

    const Context& context_;
    const Stored& stored_;
    const JoinRows& rows_;
    const int64_t *groups_, *row_groups_;
    double radius_;
    std::vector<double> radii_, none_;
    std::vector<Worker> workers_;
};

}  // namespace

RadiusResult within(const Context& context, double radius, const Rows* queries, const int64_t* groups,
                    const int64_t* query_groups) {
    const int64_t n = context.stored.rows().matrix.n_vectors;
    context.stats.pairs = queries ? queries->matrix.n_vectors * n : n * (n - 1) / 2;
    std::optional<QueryBlocks> blocks;
    if (queries) blocks.emplace(context, *queries);
    const JoinRows rows(context.stored, blocks ? &*blocks : nullptr);
    return RadiusJoin(context, radius, rows, groups, queries ? query_groups : groups).run();
}

}  // namespace vicinal
