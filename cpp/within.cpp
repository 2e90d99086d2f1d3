// Within: all rows at most a radius away, of every stored row or of every query.
#include <algorithm>
#include <mutex>

#include "join.hpp"
#include "merge.hpp"
#include "query_blocks.hpp"

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
    pool.run(1, [&](int, int64_t) {  // as a task, so that the caller still ticks
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
    }, watch);
    const int64_t chunk = 256;
    pool.run((n + chunk - 1) / chunk, [&](int, int64_t task) {
        for (int64_t i = task * chunk; i < std::min(n, (task + 1) * chunk); ++i) {
            std::sort(sorted.begin() + result.indptr[i], sorted.begin() + result.indptr[i + 1]);
            for (int64_t e = result.indptr[i]; e < result.indptr[i + 1]; ++e) {
                result.indices[e] = sorted[e].row;
                result.distances[e] = static_cast<float>(sorted[e].distance);
            }
        }
    }, watch);
    return result;
}

struct Worker {
    Worker(const Context& context, const Rows* queries)
        : tiles(context.stored.layer(), context.stored.coder(), context.isa),
          measure(context.stored, queries, context.isa) {}

    Tiles tiles;
    Measure measure;
    std::vector<Waiting> queue;
};

std::vector<Worker> make_workers(const Context& context, const Rows* queries) {
    std::vector<Worker> workers;
    for (int i = 0; i < context.pool.threads(); ++i) workers.emplace_back(context, queries);
    return workers;
}

// Measures the candidates of a panel, whose row i is the row named row(i), and hands those within the radius to
// use(row, column, distance).
template <class Row, class Use>
void measure(Worker& worker, double radius, Row&& row, int64_t first_column, const Candidate* candidates, size_t n,
             Use&& use) {
    worker.queue.clear();
    for (size_t i = 0; i < n; ++i) {
        worker.queue.push_back(Waiting::of(row(candidates[i].row), first_column + candidates[i].column, 0));
    }
    worker.measure.run(worker.queue.data(), n, [&](int32_t row, int32_t column, double distance) {
        if (distance <= radius) use(row, column, distance);
    });
}

}  // namespace

Within within_self(const Context& context, double radius, const int64_t* groups) {
    const Stored& stored = context.stored;
    const int64_t n = stored.rows().matrix.n_vectors, blocks = stored.blocks();
    context.stats.pairs = n * (n - 1) / 2;
    std::vector<std::vector<Pair>> found(context.pool.threads());
    std::vector<Worker> workers = make_workers(context, nullptr);
    const std::vector<double> radii(stored.block(), stored.coder().radius(radius));
    const auto add = [&](std::vector<Pair>& pairs, int64_t a, int64_t b, double distance) {
        const auto [first_a, last_a] = stored.copies(a);
        const auto [first_b, last_b] = stored.copies(b);
        for (const int32_t* x = first_a; x != last_a && !context.pool.stopped(); ++x) {
            for (const int32_t* y = first_b; y != last_b; ++y) {
                if (*x == *y) continue;
                pairs.push_back({*x, *y, distance});
                if (a != b) pairs.push_back({*y, *x, distance});
            }
        }
    };
    context.pool.run(blocks, [&](int worker, int64_t task) {
        const int64_t row_block = task, first_row = stored.first(row_block);
        Worker& own = workers[worker];
        own.tiles.set_stored_rows(row_block);
        for (int64_t block = row_block; block < blocks && !context.pool.stopped(); ++block) {
            const int64_t first_column = stored.first(block);
            own.tiles.run(block, radii.data(), radii.data(), block == row_block,
                [&](int row, int column) {
                    return !groups ||
                           groups[stored.row(first_row + row)] != groups[stored.row(first_column + column)];
                },
                [&](const Candidate* candidates, size_t count) {
                    measure(own, radius, [&](int row) { return first_row + row; }, first_column, candidates, count,
                            [&](int32_t a, int32_t b, double distance) { add(found[worker], a, b, distance); });
                });
        }
    }, context.watch);
    for (const Worker& worker : workers) context.stats.candidates += worker.measure.count();
    if (stored.copies().any() && !groups) {
        context.pool.run(blocks, [&](int worker, int64_t block) {
            std::vector<double> x(padded(stored.rows().matrix.dim, 8));
            for (int64_t p = stored.first(block); p < stored.first(block + 1) && !context.pool.stopped(); ++p) {
                const auto [begin, end] = stored.copies(p);
                if (end - begin < 2) continue;
                double sum;
                context.isa.rows->load(stored.rows(), *begin, x.data());
                context.isa.rows->measure(stored.rows(), stored.coder().sum(), x.data(), begin, 1, &sum);
                const double distance = stored.coder().finish(sum);
                if (distance <= radius) add(found[worker], p, p, distance);
            }
        }, context.watch);
    }
    return collect(context.pool, context.watch, n, found);
}

Within within_queries(const Context& context, double radius, const Rows& queries, const int64_t* groups,
                      const int64_t* query_groups) {
    const Stored& stored = context.stored;
    context.stats.pairs = queries.matrix.n_vectors * stored.rows().matrix.n_vectors;
    std::vector<std::vector<Pair>> found(context.pool.threads());
    std::vector<Worker> workers = make_workers(context, &queries);
    const std::vector<double> radii(stored.block(), stored.coder().radius(radius));
    const std::vector<double> none(stored.block(), stored.coder().nowhere());
    QueryBlocks blocks(context, queries);
    context.pool.run(blocks.count(), [&](int, int64_t block) { blocks.code(block); }, context.watch);
    const int64_t parts = blocks.parts(context.pool.threads());
    context.pool.run(blocks.count() * parts, [&](int worker, int64_t task) {
        Worker& own = workers[worker];
        const int64_t asking = task / parts, part = task % parts, last = stored.blocks() * (part + 1) / parts;
        const auto query = [&](int row) { return blocks.query(asking, row); };
        for (int64_t block = stored.blocks() * part / parts; block < last && !context.pool.stopped(); ++block) {
            const CodedBlock& coded = blocks.at(asking, stored.side(block).region);
            own.tiles.set_rows(coded);
            const int64_t first_column = stored.first(block);
            own.tiles.run(block, radii.data(), none.data(), false,
                [&](int row, int column) {
                    return !groups || query_groups[query(row)] != groups[stored.row(first_column + column)];
                },
                [&](const Candidate* candidates, size_t count) {
                    measure(own, radius, query, first_column, candidates, count,
                            [&](int32_t from, int32_t column, double distance) {
                                const auto [copy, end] = stored.copies(column);
                                for (const int32_t* to = copy; to != end; ++to) {
                                    found[worker].push_back({from, *to, distance});
                                }
                            });
                });
        }
    }, context.watch);
    for (const Worker& worker : workers) context.stats.candidates += worker.measure.count();
    return collect(context.pool, context.watch, queries.matrix.n_vectors, found);
}

}  // namespace vicinal
