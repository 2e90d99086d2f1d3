// Search: each query's k nearest stored rows.
//
// Queries are coded a block at a time. The scores of a block's queries with the first stored rows give each query a first
// threshold; then tasks of one block of queries and a range of stored blocks go to the threads. Pairs that pass wait until
// the tile is done, and are measured then.
#include <algorithm>
#include <limits>
#include <mutex>

#include "join.hpp"
#include "merge.hpp"
#include "query_blocks.hpp"

namespace vicinal {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

class Search {
public:
    Search(const Context& context, const Rows& queries, int64_t k, const int64_t* groups, const int64_t* query_groups,
           int64_t* indices, float* distances)
        : context_(context),
          stored_(context.stored),
          k_(k),
          groups_(groups),
          query_groups_(query_groups),
          lists_(indices, distances, k),
          blocks_(context, queries),
          radii_(queries.matrix.n_vectors, kInfinity),
          locks_(blocks_.count()) {
        for (int i = 0; i < context.pool.threads(); ++i) {
            workers_.push_back({Tiles(stored_.layer(), stored_.coder(), context.isa), Measure(stored_, &queries, context.isa), {}, {}});
        }
    }

    void run() {
        lists_.clear(0, static_cast<int64_t>(radii_.size()));
        // Few blocks of queries: the stored rows are shared out among the threads.
        const int64_t wanted = 16 * context_.pool.threads();
        const int64_t parts = std::clamp<int64_t>(wanted / std::max<int64_t>(1, blocks_.count()), 1, stored_.blocks());
        const Timer seeding;
        context_.pool.run(blocks_.count(), [&](int worker, int64_t block) {
            blocks_.code(block);
            seed(workers_[worker].tiles, block);
        }, context_.watch);
        context_.stats.seconds_seed = seeding.seconds();
        const Timer scanning;
        context_.pool.run(blocks_.count() * parts, [&](int worker, int64_t task) {
            const int64_t part = task % parts;
            join(workers_[worker], task / parts, stored_.blocks() * part / parts, stored_.blocks() * (part + 1) / parts);
        }, context_.watch);
        context_.stats.seconds_scan = scanning.seconds();
        const Timer finishing;
        for (const Worker& worker : workers_) context_.stats.candidates += worker.measure.count();
        finish();
        context_.stats.seconds_finish = finishing.seconds();
    }

private:
    static constexpr size_t kQueue = 2048;

    struct Worker {
        Tiles tiles;
        Measure measure;
        std::vector<Waiting> queue;
        std::vector<double> radii;
    };

    bool counts(int64_t query, int64_t position) const {
        return !groups_ || query_groups_[query] != groups_[stored_.row(position)];
    }

    void seed(Tiles& tiles, int64_t block) {
        if (stored_.blocks() == 0) return;
        const CodedBlock& coded = blocks_.at(block, stored_.side(0).region);
        tiles.set_rows(coded.side, coded.codes.data());
        std::vector<double> unbounded(std::max<size_t>(coded.side.size, stored_.block()), kInfinity);
        std::vector<int32_t> scores, row;
        if (!tiles.scores(0, unbounded.data(), scores)) return;
        const Side& columns = stored_.side(0);
        const int64_t stride = padded(columns.size, kPanel);
        for (int i = 0; i < coded.side.size; ++i) {
            row.clear();
            for (int c = 0; c < columns.size; ++c) {
                if (counts(blocks_.first(block) + i, c)) row.push_back(scores[i * stride + c]);
            }
            if (static_cast<int64_t>(row.size()) < k_) continue;
            std::nth_element(row.begin(), row.begin() + (k_ - 1), row.end(), std::greater<>());
            const double upper = stored_.coder().upper(coded.side, i, columns, row[k_ - 1] + tiles.row_base(i));
            lower_radius(radii_, blocks_.first(block) + i, stored_.coder().radius(upper));
        }
    }

    void join(Worker& worker, int64_t block, int64_t first, int64_t last) {
        const int64_t first_query = blocks_.first(block);
        worker.radii.resize(blocks_.size(block));
        const std::vector<double> none(stored_.block(), stored_.coder().nowhere());
        for (int64_t columns = first; columns < last && !context_.pool.stopped(); ++columns) {
            const int64_t first_column = stored_.first(columns);
            const CodedBlock& coded = blocks_.at(block, stored_.side(columns).region);
            worker.tiles.set_rows(coded.side, coded.codes.data());
            for (int i = 0; i < coded.side.size; ++i) worker.radii[i] = read_radius(radii_, first_query + i);
            worker.tiles.run(columns, worker.radii.data(), none.data(), false,
                [&](int row, int column) { return counts(first_query + row, first_column + column); },
                [&](const Candidate* candidates, size_t n) {
                    for (size_t i = 0; i < n; ++i) {
                        const Candidate& c = candidates[i];
                        const int64_t query = first_query + c.row, column = first_column + c.column;
                        worker.queue.push_back(Waiting::of(query, column, c.lower));
                    }
                    if (worker.queue.size() >= kQueue) measure(worker, block);
                });
            measure(worker, block);
        }
    }

    void measure(Worker& worker, int64_t block) {
        std::erase_if(worker.queue, [&](const Waiting& pair) { return !(pair.lower <= read_radius(radii_, pair.row)); });
        std::sort(worker.queue.begin(), worker.queue.end(), [](const Waiting& a, const Waiting& b) {
            return a.row != b.row ? a.row < b.row : a.column < b.column;
        });
        worker.measure.run(worker.queue.data(), worker.queue.size(), [&](int32_t query, int32_t column, double distance) {
            const std::lock_guard lock(locks_[block]);
            if (lists_.offer(query, {distance, static_cast<uint32_t>(stored_.row(column))})) tighten(query);
        });
        worker.queue.clear();
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
    const Stored& stored_;
    int64_t k_;
    const int64_t *groups_, *query_groups_;
    Lists lists_;
    QueryBlocks blocks_;
    Radii radii_;
    std::vector<std::mutex> locks_;
    std::vector<Worker> workers_;
};

}  // namespace

void search(const Context& context, const Rows& queries, int64_t k, const int64_t* groups, const int64_t* query_groups,
            int64_t* indices, float* distances) {
    context.stats.pairs = queries.matrix.n_vectors * context.stored.rows().matrix.n_vectors;
    Search(context, queries, k, groups, query_groups, indices, distances).run();
}

}  // namespace vicinal
