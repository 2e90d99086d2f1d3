// Search: each query's k nearest stored rows.
//
// Queries are coded a block at a time. The scores of a block's queries with the stored block nearest to them give each
// query a first threshold; then tasks of one block of queries and a range of stored blocks go to the threads. Where
// sketches may pay (sketch.hpp), the stored blocks near the queries come first, and the others go through sketches. Pairs
// that pass wait until the tile is done, and are measured then.
#include <algorithm>
#include <limits>
#include <mutex>
#include <numeric>
#include <optional>

#include "join.hpp"
#include "merge.hpp"
#include "query_blocks.hpp"
#include "sketch.hpp"

namespace vicinal {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

class Search {
public:
    Search(const Context& context, const Rows& queries, int64_t k, const int64_t* groups, const int64_t* query_groups,
           int64_t* indices, float* distances)
        : context_(context),
          stored_(context.stored),
          queries_(queries),
          k_(k),
          groups_(groups),
          query_groups_(query_groups),
          lists_(indices, distances, k),
          blocks_(context, queries),
          radii_(queries.matrix.n_vectors, kInfinity),
          locks_(blocks_.count()),
          queue_limit_(static_cast<size_t>(blocks_.highest() * std::min<int64_t>(2 * k + 16, stored_.block()))) {
        for (int i = 0; i < context.pool.threads(); ++i) workers_.emplace_back(context, queries);
    }

    void run() {
        lists_.clear(0, static_cast<int64_t>(radii_.size()));
        const Timer seeding;
        context_.pool.run(blocks_.count(), [&](int worker, int64_t block) {
            blocks_.code(block);
            seed(workers_[worker].tiles, block);
        }, context_.watch);
        context_.stats.seconds_seed = seeding.seconds();
        const Timer scanning;
        scan();
        context_.stats.seconds_scan = scanning.seconds();
        const Timer finishing;
        for (const Worker& worker : workers_) context_.stats.candidates += worker.measure.count();
        finish();
        context_.stats.seconds_finish = finishing.seconds();
    }

private:
    struct Worker {
        Worker(const Context& context, const Rows& queries)
            : tiles(context.stored.layer(), context.stored.coder(), context.isa),
              measure(context.stored, &queries, context.isa) {}

        Tiles tiles;
        std::optional<Tiles> sketch;
        Measure measure;
        std::vector<Waiting> queue, later;
        std::vector<double> distances;  // of the queue's pairs
        std::vector<double> radii;
    };

    bool counts(int64_t query, int64_t position) const {
        return !groups_ || query_groups_[query] != groups_[stored_.row(position)];
    }

    void seed(Tiles& tiles, int64_t block) {
        if (stored_.blocks() == 0) return;
        const int32_t nearest = blocks_.near(block)[0];
        const Side& columns = stored_.side(nearest);
        const CodedBlock& coded = blocks_.at(block, columns.region);
        tiles.set_rows(coded);
        std::vector<double> unbounded(std::max<size_t>(coded.side.size, stored_.block()), kInfinity);
        std::vector<int32_t> row;
        tiles.scores(nearest, unbounded.data(), [&](int i, const int32_t* scores) {
            row.clear();
            for (int c = 0; c < columns.size; ++c) {
                if (counts(blocks_.query(block, i), stored_.first(nearest) + c)) row.push_back(scores[c]);
            }
            if (static_cast<int64_t>(row.size()) < k_) return;
            std::nth_element(row.begin(), row.begin() + (k_ - 1), row.end(), std::greater<>());
            const double upper = stored_.coder().upper(coded.side, i, columns, row[k_ - 1] + tiles.row_base(i));
            lower_radius(radii_, blocks_.query(block, i), stored_.coder().radius(upper));
        });
    }

    void scan() {
        std::vector<std::vector<int32_t>> columns(blocks_.count());
        for (auto& all : columns) {
            all.resize(stored_.blocks());
            std::iota(all.begin(), all.end(), 0);
        }
        if (sketches_may_pay(stored_, &queries_, k_, context_.sketch, context_.isa)) {
            context_.pool.run(blocks_.count(), [&](int worker, int64_t block) {
                const auto& near = blocks_.near(block);
                join(workers_[worker], block, near.data(), near.size());
            }, context_.watch);
            for (int64_t block = 0; block < blocks_.count(); ++block) {
                const auto& near = blocks_.near(block);
                std::erase_if(columns[block], [&](int32_t b) { return std::find(near.begin(), near.end(), b) != near.end(); });
            }
            prepare_sketch();
        }
        const int64_t parts = blocks_.parts(context_.pool.threads());
        context_.pool.run(blocks_.count() * parts, [&](int worker, int64_t task) {
            const auto& all = columns[task / parts];
            const auto size = static_cast<int64_t>(all.size());
            const int64_t first = size * (task % parts) / parts, last = size * (task % parts + 1) / parts;
            join(workers_[worker], task / parts, all.data() + first, static_cast<size_t>(last - first));
        }, context_.watch);
    }

    void prepare_sketch() {
        const bool turned = stored_.rotation() != nullptr;
        if (!take_sketches(stored_, &queries_, k_, context_.sketch, context_.isa, context_.pool, context_.watch)) return;
        if (!turned) {
            context_.pool.run(blocks_.count(), [&](int, int64_t block) { blocks_.code(block); }, context_.watch);
        }
        context_.stats.sketch = static_cast<int>(stored_.sketches().range().bytes);
        for (Worker& worker : workers_) worker.sketch.emplace(stored_.sketches(), stored_.coder(), context_.isa);
    }

    // A block of queries with the stored blocks named.
    void join(Worker& worker, int64_t block, const int32_t* others, size_t n_others) {
        worker.radii.resize(blocks_.size(block));
        const std::vector<double> none(stored_.block(), stored_.coder().nowhere());
        Tiles& tiles = worker.tiles;
        if (worker.sketch) worker.sketch->set_rows(blocks_.at(block, 0));
        for (size_t other = 0; other < n_others && !context_.pool.stopped(); ++other) {
            const int32_t columns = others[other];
            const int64_t first_column = stored_.first(columns);
            const CodedBlock& coded = blocks_.at(block, stored_.side(columns).region);
            tiles.set_rows(coded);
            for (int i = 0; i < coded.side.size; ++i) worker.radii[i] = read_radius(radii_, blocks_.query(block, i));
            const auto keep = [&](int row, int column) { return counts(blocks_.query(block, row), first_column + column); };
            const auto wait = [&](int first, const Survivor* pairs, size_t n) {
                const Candidate* candidates = tiles.candidates(first, pairs, n);
                for (size_t i = 0; i < n; ++i) {
                    const Candidate& c = candidates[i];
                    worker.queue.push_back(Waiting::of(blocks_.query(block, c.row), first_column + c.column, c.lower));
                }
                if (worker.queue.size() >= queue_limit_) measure(worker, block);
            };
            tiles.begin(columns, worker.radii.data(), none.data());
            if (!tiles.some()) continue;
            if (worker.sketch) {
                worker.sketch->begin(columns, worker.radii.data(), none.data());
                worker.sketch->scan(false, keep, [&](int first, Survivor* pairs, size_t n) {
                    wait(first, pairs, tiles.narrow(first, pairs, n));
                });
            } else {
                tiles.scan(false, keep, wait);
            }
            measure(worker, block);
        }
    }

    void measure(Worker& worker, int64_t block) {
        auto& queue = worker.queue;
        const auto drop = [&] {
            std::erase_if(queue, [&](const Waiting& pair) { return !(pair.lower <= read_radius(radii_, pair.row)); });
        };
        drop();
        std::sort(queue.begin(), queue.end(), [](const Waiting& a, const Waiting& b) {
            return a.row != b.row ? a.row < b.row : a.column < b.column;
        });
        in_rounds(queue, worker.later, k_, [&] {
            worker.distances.clear();
            worker.measure.run(queue.data(), queue.size(),
                               [&](int32_t, int32_t, double distance) { worker.distances.push_back(distance); });
            const std::lock_guard lock(locks_[block]);
            for (size_t i = 0; i < queue.size(); ++i) {
                const Neighbour found{worker.distances[i], static_cast<uint32_t>(stored_.row(queue[i].column))};
                if (lists_.offer(queue[i].row, found)) tighten(queue[i].row);
            }
        }, drop);
    }

    void tighten(int64_t query) {
        const double worst = lists_.worst(query);
        if (worst < kInfinity) lower_radius(radii_, query, stored_.coder().radius(worst));
    }

    void finish() {
        const std::vector<int64_t> position_of = positions(stored_);
        const int64_t chunk = 256, n = static_cast<int64_t>(radii_.size());
        context_.pool.run((n + chunk - 1) / chunk, [&](int, int64_t task) {
            std::vector<Neighbour> entries, expanded;
            for (int64_t query = task * chunk; query < std::min(n, (task + 1) * chunk); ++query) {
                lists_.sorted(query, entries);
                if (!position_of.empty()) {
                    expand(stored_, entries, position_of, k_, expanded);
                    entries.swap(expanded);
                }
                lists_.finish(query, entries);
            }
        }, context_.watch);
    }

    const Context& context_;
    Stored& stored_;
    Rows queries_;
    int64_t k_;
    const int64_t *groups_, *query_groups_;
    Lists lists_;
    QueryBlocks blocks_;
    Radii radii_;
    std::vector<std::mutex> locks_;
    size_t queue_limit_;
    std::vector<Worker> workers_;
};

}  // namespace

void search(const Context& context, const Rows& queries, int64_t k, const int64_t* groups, const int64_t* query_groups,
            int64_t* indices, float* distances) {
    context.stats.pairs = queries.matrix.n_vectors * context.stored.rows().matrix.n_vectors;
    Search(context, queries, k, groups, query_groups, indices, distances).run();
}

}  // namespace vicinal
