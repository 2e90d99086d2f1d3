// Within: all rows at most a radius away, of every stored row or of every query.
#include <algorithm>
#include <optional>

#include "join.hpp"
#include "measure.hpp"

namespace vicinal {
namespace {

constexpr size_t kAtOnce = 1 << 20;  // pairs between two looks at whether to stop

struct Pair {
    int32_t from, to;
    double distance;
};

// Puts pairs into rows, each row ascending by (distance, row).
Within collect(Pool& pool, const Watch& watch, int64_t n, std::vector<std::vector<Pair>>& found) {
    Within result;
    std::vector<Neighbour> sorted;
    // Hands on all pairs, a few at a time, unless the caller has had enough.
    const auto each = [&](std::vector<Pair>& pairs, auto&& use) {
        for (size_t first = 0; first < pairs.size() && !pool.stopped(); first += kAtOnce) {
            const size_t last = std::min(pairs.size(), first + kAtOnce);
            for (size_t i = first; i < last; ++i) use(pairs[i]);
        }
    };
    pool.run(1, watch, [&](int, int64_t) {  // as a task, so that the caller still ticks
        result.indptr.assign(n + 1, 0);
        for (auto& pairs : found) each(pairs, [&](const Pair& pair) { ++result.indptr[pair.from + 1]; });
        if (pool.stopped()) return;
        for (int64_t i = 0; i < n; ++i) result.indptr[i + 1] += result.indptr[i];
        sorted.resize(result.indptr[n]);
        std::vector<int64_t> next(result.indptr.begin(), result.indptr.end() - 1);
        for (auto& pairs : found) {
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
    pool.run((n + chunk - 1) / chunk, watch, [&](int, int64_t task) {
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
        : tiles(context.stored.layer(), context.stored.coder(), context.isa),
          measure(context.stored, rows, context.isa) {}

    Tiles tiles;
    Measure measure;
    std::vector<Waiting> queue;
    std::vector<Pair> found;
};

class WithinJoin {
public:
    WithinJoin(const Context& context, double radius, const JoinRows& rows, const int64_t* groups,
               const int64_t* row_groups)
        : context_(context),
          stored_(context.stored),
          rows_(rows),
          groups_(groups),
          row_groups_(row_groups),
          radius_(radius),
          radii_(std::max<int64_t>(rows.highest(), stored_.block()), stored_.coder().radius(radius)),
          none_(stored_.block(), stored_.coder().nowhere()) {
        for (int i = 0; i < context.pool.threads(); ++i) workers_.emplace_back(context, rows);
    }

    Within run() {
        const int64_t parts = rows_.queries() ? rows_.queries()->parts(context_.pool.threads()) : 1;
        context_.pool.run(rows_.queries() ? rows_.blocks() : 0, context_.watch,
                          [&](int, int64_t block) { rows_.code(block); });
        context_.pool.run(rows_.blocks() * parts, context_.watch, [&](int worker, int64_t task) {
            const int64_t part = task % parts, all = stored_.blocks();
            // Of a self-join's tiles those on the diagonal and beyond it.
            const int64_t first = rows_.self() ? task : all * part / parts;
            join(workers_[worker], task / parts, first, all * (part + 1) / parts);
        });
        for (const Worker& worker : workers_) context_.stats.candidates += worker.measure.count();
        if (rows_.self() && stored_.copies().any() && !groups_) {
            context_.pool.run(stored_.blocks(), context_.watch,
                              [&](int worker, int64_t block) { join_copies(workers_[worker], block); });
        }
        std::vector<std::vector<Pair>> found;
        for (Worker& worker : workers_) found.push_back(std::move(worker.found));
        return collect(context_.pool, context_.watch, rows_.rows().matrix.n_vectors, found);
    }

private:
    // A block of rows with a range of stored blocks.
    void join(Worker& worker, int64_t row_block, int64_t first, int64_t last) {
        int loaded = -1;  // the centre that the rows are coded from
        const int64_t first_row = rows_.first(row_block);
        for (int64_t block = first; block < last && !context_.pool.stopped(); ++block) {
            if (const int region = rows_.region(block); region != loaded) {
                rows_.load(worker.tiles, row_block, region);
                loaded = region;
            }
            const int64_t first_column = stored_.first(block);
            const auto keep = [&](int row, int column) {
                return !groups_ ||
                       row_groups_[rows_.row(first_row + row)] != groups_[stored_.row(first_column + column)];
            };
            worker.tiles.begin(block, radii_.data(), rows_.self() ? radii_.data() : none_.data());
            worker.tiles.scan(
                rows_.self() && block == row_block, keep, [&](int panel, const Survivor* pairs, size_t n) {
                    worker.queue.clear();
                    for (size_t i = 0; i < n; ++i) {
                        worker.queue.push_back(
                            Waiting::of(first_row + pairs[i].row, first_column + panel + pairs[i].column, 0));
                    }
                    worker.measure.run(worker.queue.data(), n, [&](int32_t row, int32_t column, double distance) {
                        if (distance <= radius_) add(worker, row, column, distance);
                    });
                });
        }
    }

    // The pairs that a pair stands for: copies of its row with copies of its column.
    void add(Worker& worker, int64_t row, int64_t column, double distance) {
        const auto [first_x, last_x] = rows_.copies(row);
        const auto [first_y, last_y] = stored_.copies(column);
        for (const int32_t* x = first_x; x != last_x && !context_.pool.stopped(); ++x) {
            for (const int32_t* y = first_y; y != last_y; ++y) {
                if (rows_.self() && *x == *y) continue;
                worker.found.push_back({*x, *y, distance});
                if (rows_.self() && row != column) worker.found.push_back({*y, *x, distance});
            }
        }
    }

    // The copies of each stored row of a block with each other.
    void join_copies(Worker& worker, int64_t block) {
        std::vector<double> x(padded(stored_.rows().matrix.dim, 8));
        for (int64_t p = stored_.first(block); p < stored_.first(block + 1) && !context_.pool.stopped(); ++p) {
            const auto [begin, end] = stored_.copies(p);
            if (end - begin < 2) continue;
            double sum;
            context_.isa.rows->load(stored_.rows(), *begin, x.data());
            context_.isa.rows->measure(stored_.rows(), stored_.coder().sum(), x.data(), begin, 1, &sum);
            const double distance = stored_.coder().finish(sum);
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

Within within(const Context& context, double radius, const Rows* queries, const int64_t* groups,
              const int64_t* query_groups) {
    const int64_t n = context.stored.rows().matrix.n_vectors;
    context.stats.pairs = queries ? queries->matrix.n_vectors * n : n * (n - 1) / 2;
    std::optional<QueryBlocks> blocks;
    if (queries) blocks.emplace(context, *queries);
    const JoinRows rows(context.stored, blocks ? &*blocks : nullptr);
    return WithinJoin(context, radius, rows, groups, queries ? query_groups : groups).run();
}

}  // namespace vicinal
