// The self-join: each row's k nearest others.
//
// The scores of the tiles on the diagonal give every row a first threshold (k rows are surely that near); then all tiles
// are scanned, the diagonal first. A tile (I, J) with I < J serves the rows of I and the rows of J, so that each pair is
// met once. Pairs that pass wait until the tile is done, and are measured then, unless a threshold has left them behind.
// A block's lists have one lock, held only to enter what was measured.
#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <stdexcept>

#include "join.hpp"
#include "merge.hpp"
#include "tile.hpp"

namespace vicinal {
namespace {

constexpr int64_t kStride = 16;  // column blocks in a task
constexpr size_t kQueue = 2048;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

class SelfJoin {
public:
    SelfJoin(const Context& context, int64_t k, const int64_t* groups, int64_t* indices, float* distances)
        : context_(context),
          stored_(context.stored),
          k_(k),
          groups_(groups),
          lists_(indices, distances, k),
          radii_(stored_.size(), kInfinity),
          locks_(stored_.blocks()) {
        const int threads = context.pool.threads();
        for (int i = 0; i < threads; ++i) {
            workers_.push_back({Tiles(stored_, context.isa), Measure(stored_, nullptr, context.isa), {}, {}, {}, {}});
        }
        for (int64_t row = 0; row < stored_.blocks(); ++row) tasks_.push_back({row, row, row + 1});
        for (int64_t row = 0; row < stored_.blocks(); ++row) {
            for (int64_t column = row + 1; column < stored_.blocks(); column += kStride) {
                tasks_.push_back({row, column, std::min(column + kStride, stored_.blocks())});
            }
        }
    }

    void run() {
        const auto& watch = context_.watch;
        Checkpoint state;
        state.layout = (stored_.fingerprint() ^ static_cast<uint64_t>(k_)) * 0x9e3779b97f4a7c15u + kStride;
        if (watch.resume) {
            if (watch.resume->layout != state.layout) throw std::invalid_argument("the checkpoint belongs to another join");
            state.finished = watch.resume->finished;
            for (int64_t p = 0; p < stored_.size(); ++p) {
                if (!lists_.valid(stored_.row(p), stored_.rows().matrix.n_vectors)) {
                    throw std::invalid_argument("the checkpoint is damaged");
                }
                tighten(p);
            }
        } else {
            for (int64_t p = 0; p < stored_.size(); ++p) lists_.clear(stored_.row(p), stored_.row(p) + 1);
        }
        context_.pool.run(stored_.blocks(), [&](int worker, int64_t block) { seed(worker, block); }, watch);
        const auto save = [&] { watch.save(state); };
        context_.pool.run(state.finished, static_cast<int64_t>(tasks_.size()),
                          [&](int worker, int64_t task) { join(workers_[worker], tasks_[task]); }, watch,
                          watch.save ? std::function<void()>(save) : std::function<void()>());
        for (const Worker& worker : workers_) context_.stats.candidates += worker.measure.count();
        spread_copies(context_, groups_, lists_);
    }

private:
    struct Task {
        int64_t row, first, last;
    };

    struct Worker {
        Tiles tiles;
        Measure measure;
        std::vector<Waiting> queue;
        std::vector<double> distances;  // of the queue's pairs
        std::vector<double> row_radii, column_radii;
    };

    // Gives the rows of a block their first thresholds.
    void seed(int worker, int64_t block) {
        const Side& side = stored_.side(block);
        const int64_t first = block * stored_.block();
        Tiles& tiles = workers_[worker].tiles;
        tiles.set_stored_rows(block);
        std::vector<int32_t> scores, row;
        if (!tiles.scores(block, &radii_[first], scores)) return;
        const int64_t stride = padded(side.size, kPanel);
        for (int i = 0; i < side.size; ++i) {
            int32_t* own = &scores[i * stride];
            row.clear();
            if (!groups_ && k_ <= kPanel / 4 && side.size > 2 * kPanel) {
                // The highest of every 64th column: distinct columns, so the k-th of them bounds the k-th of all.
                own[i] = std::numeric_limits<int32_t>::min();
                row.assign(own, own + kPanel);
                for (int64_t c = kPanel; c < side.size / kPanel * kPanel; c += kPanel) {
                    for (int j = 0; j < kPanel; ++j) row[j] = std::max(row[j], own[c + j]);
                }
            } else {
                for (int c = 0; c < side.size; ++c) {
                    if (c != i && counts(first + i, first + c)) row.push_back(own[c]);
                }
            }
            if (static_cast<int64_t>(row.size()) < k_) continue;
            std::nth_element(row.begin(), row.begin() + (k_ - 1), row.end(), std::greater<>());
            const double upper = stored_.coder().upper(side, i, side, row[k_ - 1] + tiles.row_base(i));
            lower_radius(radii_, first + i, stored_.coder().radius(upper));
        }
    }

    bool counts(int64_t a, int64_t b) const { return !groups_ || groups_[stored_.row(a)] != groups_[stored_.row(b)]; }

    void join(Worker& worker, const Task& task) {
        worker.tiles.set_stored_rows(task.row);
        const int64_t first_row = task.row * stored_.block();
        for (int64_t block = task.first; block < task.last && !context_.pool.stopped(); ++block) {
            const int64_t first_column = block * stored_.block();
            copy_radii(task.row, worker.row_radii);
            copy_radii(block, worker.column_radii);
            worker.tiles.run(block, worker.row_radii.data(), worker.column_radii.data(), block == task.row,
                [&](int row, int column) { return counts(first_row + row, first_column + column); },
                [&](const Candidate* candidates, size_t n) {
                    for (size_t i = 0; i < n; ++i) {
                        const Candidate& c = candidates[i];
                        worker.queue.push_back(Waiting::of(first_row + c.row, first_column + c.column, c.lower));
                    }
                    if (worker.queue.size() >= kQueue) measure(worker, task.row, block);
                });
            measure(worker, task.row, block);
        }
    }

    void copy_radii(int64_t block, std::vector<double>& out) {
        out.resize(stored_.side(block).size);
        for (size_t i = 0; i < out.size(); ++i) out[i] = read_radius(radii_, block * stored_.block() + i);
    }

    void measure(Worker& worker, int64_t row_block, int64_t column_block) {
        auto& queue = worker.queue;
        std::erase_if(queue, [&](const Waiting& pair) {
            return !(pair.lower <= read_radius(radii_, pair.row) || pair.lower <= read_radius(radii_, pair.column));
        });
        std::sort(queue.begin(), queue.end(), [](const Waiting& a, const Waiting& b) {
            return a.row != b.row ? a.row < b.row : a.column < b.column;
        });
        worker.distances.clear();
        worker.measure.run(queue.data(), queue.size(),
                           [&](int32_t, int32_t, double distance) { worker.distances.push_back(distance); });
        {
            const std::lock_guard lock(locks_[row_block]);
            for (size_t i = 0; i < queue.size(); ++i) offer(queue[i].row, queue[i].column, worker.distances[i]);
        }
        {
            const std::lock_guard lock(locks_[column_block]);
            for (size_t i = 0; i < queue.size(); ++i) offer(queue[i].column, queue[i].row, worker.distances[i]);
        }
        queue.clear();
    }

    void offer(int64_t to, int64_t other, double distance) {
        if (lists_.offer(stored_.row(to), {distance, static_cast<uint32_t>(stored_.row(other))})) tighten(to);
    }

    void tighten(int64_t position) {
        const double worst = lists_.worst(stored_.row(position));
        if (worst < kInfinity) lower_radius(radii_, position, stored_.coder().radius(worst));
    }

    const Context& context_;
    const Stored& stored_;
    int64_t k_;
    const int64_t* groups_;
    Lists lists_;
    Radii radii_;
    std::vector<std::mutex> locks_;
    std::vector<Worker> workers_;
    std::vector<Task> tasks_;
};

}  // namespace

void self_join(const Context& context, int64_t k, const int64_t* groups, int64_t* indices, float* distances) {
    const int64_t n = context.stored.rows().matrix.n_vectors;
    context.stats.pairs = n * (n - 1) / 2;
    SelfJoin(context, k, groups, indices, distances).run();
}

}  // namespace vicinal
