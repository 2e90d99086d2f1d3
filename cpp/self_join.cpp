// The self-join: each row's k nearest others.
//
// The scores of the tiles on the diagonal give every row a first threshold (k rows are surely that near); then all tiles
// are scanned, the diagonal first. A tile (I, J) with I < J serves the rows of I and the rows of J, so that each pair is
// met once. The tiles far from the diagonal go through sketches first where that pays (sketch.hpp). Pairs that pass wait
// until the tile is done, or the task where k is large, and are measured then in rounds, the most promising of each row
// first, unless a threshold has left them behind. A block's lists have one lock, held only to enter what was measured.
#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <numeric>
#include <optional>
#include <stdexcept>

#include "join.hpp"
#include "merge.hpp"
#include "sketch.hpp"
#include "tile.hpp"

namespace vicinal {
namespace {

constexpr size_t kStride = 16;  // column blocks in a task
constexpr int32_t kNear = 9;    // blocks that are joined first, itself among them
constexpr int32_t kSeed = 9;    // blocks that thresholds for a large k come from
constexpr int64_t kCheap = 128;  // bytes of a row up to which scanning costs less than measuring
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
        for (int i = 0; i < context.pool.threads(); ++i) workers_.emplace_back(context);
        queue_limit_ = static_cast<size_t>(stored_.block() * std::min<int64_t>(2 * k + 16, stored_.block()));
        for (int64_t p = 0, block = 0; p < stored_.size(); p += kPanel) {
            while (stored_.first(block + 1) <= p) ++block;
            blocks_from_.push_back(static_cast<int32_t>(block));
        }
        plan();
    }

    void run() {
        const auto& watch = context_.watch;
        Checkpoint state;
        state.layout = layout();
        if (watch.resume) {
            if (watch.resume->layout != state.layout) throw std::invalid_argument("the checkpoint belongs to another join");
            state.finished = watch.resume->finished;
            if (state.finished < 0 || state.finished > static_cast<int64_t>(tasks_.size())) {
                throw std::invalid_argument("the checkpoint is damaged");
            }
            for (int64_t p = 0; p < stored_.size(); ++p) {
                if (!lists_.valid(stored_.row(p), stored_.rows().matrix.n_vectors)) {
                    throw std::invalid_argument("the checkpoint is damaged");
                }
                tighten(p);
            }
        } else {
            for (int64_t p = 0; p < stored_.size(); ++p) lists_.clear(stored_.row(p), stored_.row(p) + 1);
        }
        const Timer seeding;
        context_.pool.run(stored_.blocks(), [&](int worker, int64_t block) { seed(workers_[worker], block); }, watch);
        context_.stats.seconds_seed = seeding.seconds();
        const Timer scanning;
        const auto save = [&] { watch.save(state); };
        const auto run = [&](int64_t last) {
            context_.pool.run(state.finished, last, [&](int worker, int64_t task) { join(workers_[worker], tasks_[task]); },
                              watch, watch.save ? std::function<void()>(save) : std::function<void()>(),
                              static_cast<int64_t>(tasks_.size()));
        };
        run(near_tasks_);
        prepare_sketch();
        run(static_cast<int64_t>(tasks_.size()));
        context_.stats.seconds_scan = scanning.seconds();
        const Timer finishing;
        for (const Worker& worker : workers_) context_.stats.candidates += worker.measure.count();
        spread_copies(context_, groups_, lists_);
        context_.stats.seconds_finish = finishing.seconds();
    }

private:
    struct Task {
        int32_t row;
        std::vector<int32_t> columns;
    };

    // Names what a position among the tasks, and the lists, mean.
    uint64_t layout() const {
        uint64_t name = stored_.fingerprint() ^ static_cast<uint64_t>(k_);
        const auto add = [&](uint64_t number) { name = (name ^ number) * 0x9e3779b97f4a7c15u; };
        add(Lists::kChildren);
        for (const Task& task : tasks_) {
            add(static_cast<uint64_t>(task.row));
            for (const int32_t column : task.columns) add(static_cast<uint64_t>(column));
        }
        return name;
    }

    // The diagonal, then each block with those near it, then the rest.
    void plan() {
        const auto blocks = static_cast<int32_t>(stored_.blocks());
        std::vector<std::vector<int32_t>> near(blocks), far(blocks);
        std::vector<std::vector<bool>> taken(blocks, std::vector<bool>(blocks));
        nearest_.resize(blocks);
        context_.pool.run(blocks, [&](int, int64_t row) { nearest_[row] = stored_.blocks_by_distance(row); },
                          context_.watch);
        for (int32_t row = 0; row < blocks; ++row) {
            tasks_.push_back({row, {row}});
            taken[row][row] = true;
            for (int32_t rank = 0; rank < std::min(blocks, kNear); ++rank) {
                const auto [low, high] = std::minmax(row, nearest_[row][rank]);
                if (taken[low][high]) continue;
                taken[low][high] = true;
                near[low].push_back(high);
            }
        }
        for (int32_t row = 0; row < blocks; ++row) {
            for (int32_t other : nearest_[row]) {
                if (other > row && !taken[row][other]) far[row].push_back(other);
            }
        }
        for (const auto& columns : {near, far}) {
            near_tasks_ = static_cast<int64_t>(tasks_.size());
            for (int32_t row = 0; row < blocks; ++row) {
                const auto& all = columns[row];
                for (size_t first = 0; first < all.size(); first += kStride) {
                    const auto begin = all.begin() + first;
                    tasks_.push_back({row, {begin, begin + std::min<size_t>(kStride, all.size() - first)}});
                }
            }
        }
    }

    void prepare_sketch() {
        if (near_tasks_ == static_cast<int64_t>(tasks_.size())) return;
        if (!take_sketches(stored_, nullptr, k_, context_.sketch, context_.isa, context_.pool, context_.watch)) return;
        context_.stats.sketch = static_cast<int>(stored_.sketches().range().bytes);
        for (Worker& worker : workers_) worker.sketch.emplace(stored_.sketches(), stored_.coder(), context_.isa);
    }

    struct Worker {
        explicit Worker(const Context& context)
            : tiles(context.stored.layer(), context.stored.coder(), context.isa),
              measure(context.stored, nullptr, context.isa) {}

        Tiles tiles;
        std::optional<Tiles> sketch;
        Measure measure;
        std::vector<Waiting> queue, later;
        std::vector<double> distances;  // of the queue's pairs
        std::vector<uint32_t> starts, order, columns;
        std::vector<Neighbour> entries, scratch;
        std::vector<double> row_radii, column_radii;
    };

    // Gives the rows of a block their first thresholds: from its own tile, and where k is so large that the tile says
    // little or a scan is cheap, from the nearest other blocks too.
    void seed(Worker& worker, int64_t block) {
        worker.tiles.set_stored_rows(block);
        seed_from_diagonal(worker, block);
        if (k_ <= kSmall || (6 * k_ <= stored_.block() && stored_.coder().row_bytes() > kCheap)) return;
        const Side& side = stored_.side(block);
        const Coder& coder = stored_.coder();
        const int64_t first_row = stored_.first(block);
        const std::vector<double> none(stored_.block(), coder.nowhere());
        std::vector<std::vector<double>> uppers(side.size);
        for (int64_t rank = 0; rank < std::min<int64_t>(kSeed, stored_.blocks()); ++rank) {
            if (context_.pool.stopped()) return;
            const int32_t block_of_columns = nearest_[block][rank];
            const Side& columns = stored_.side(block_of_columns);
            const int64_t first_column = stored_.first(block_of_columns);
            copy_radii(block, worker.row_radii);
            worker.tiles.begin(block_of_columns, worker.row_radii.data(), none.data());
            if (!worker.tiles.whole()) continue;
            const auto keep = [&](int row, int column) {
                return first_row + row != first_column + column && counts(first_row + row, first_column + column);
            };
            worker.tiles.scan(false, keep, [&](int, const Survivor* pairs, size_t n) {
                for (size_t i = 0; i < n; ++i) {
                    const int row = pairs[i].row;
                    uppers[row].push_back(coder.upper(side, row, columns, pairs[i].score));
                }
            });
            for (int i = 0; i < side.size; ++i) {
                auto& found = uppers[i];
                if (static_cast<int64_t>(found.size()) < k_) continue;
                std::nth_element(found.begin(), found.begin() + (k_ - 1), found.end());
                found.resize(k_);
                lower_radius(radii_, first_row + i, coder.radius(found.back()));
            }
        }
    }

    void seed_from_diagonal(Worker& worker, int64_t block) {
        const Side& side = stored_.side(block);
        const int64_t first = stored_.first(block);
        // The highest score of every so many columns: columns all distinct, so the k-th of them bounds the k-th of all.
        const int64_t whole = side.size / kPanel * kPanel;
        const int64_t lanes = std::min(whole, padded(3 * k_, kPanel));
        if (lanes < k_) return;
        std::vector<int32_t> highest(lanes);
        worker.tiles.scores(block, &radii_[first], [&](int i, int32_t* own) {
            constexpr int32_t kNone = std::numeric_limits<int32_t>::min();
            own[i] = kNone;
            if (groups_) {
                for (int c = 0; c < side.size; ++c) {
                    if (!counts(first + i, first + c)) own[c] = kNone;
                }
            }
            std::fill(highest.begin(), highest.end(), kNone);
            for (int64_t c = 0; c < whole; c += lanes) {
                const int64_t width = std::min(lanes, whole - c);
                for (int64_t j = 0; j < width; ++j) highest[j] = std::max(highest[j], own[c + j]);
            }
            std::nth_element(highest.begin(), highest.begin() + (k_ - 1), highest.end(), std::greater<>());
            if (highest[k_ - 1] == kNone) return;
            const double upper = stored_.coder().upper(side, i, side, highest[k_ - 1] + worker.tiles.row_base(i));
            lower_radius(radii_, first + i, stored_.coder().radius(upper));
        });
    }

    bool counts(int64_t a, int64_t b) const { return !groups_ || groups_[stored_.row(a)] != groups_[stored_.row(b)]; }

    void join(Worker& worker, const Task& task) {
        Tiles& tiles = worker.tiles;
        tiles.set_stored_rows(task.row);
        if (worker.sketch) worker.sketch->set_stored_rows(task.row);
        const int64_t first_row = stored_.first(task.row);
        for (const int32_t block : task.columns) {
            if (context_.pool.stopped()) return;
            const int64_t first_column = stored_.first(block);
            copy_radii(task.row, worker.row_radii);
            copy_radii(block, worker.column_radii);
            const auto keep = [&](int row, int column) { return counts(first_row + row, first_column + column); };
            const auto wait = [&](int first, const Survivor* pairs, size_t n) {
                const Candidate* candidates = tiles.candidates(first, pairs, n);
                for (size_t i = 0; i < n; ++i) {
                    const Candidate& c = candidates[i];
                    worker.queue.push_back(Waiting::of(first_row + c.row, first_column + c.column, c.lower));
                }
                if (worker.queue.size() >= queue_limit_) measure(worker, task.row);
            };
            tiles.begin(block, worker.row_radii.data(), worker.column_radii.data());
            if (!tiles.some()) continue;
            if (worker.sketch && tiles.one_region()) {
                worker.sketch->begin(block, worker.row_radii.data(), worker.column_radii.data());
                worker.sketch->scan(false, keep, [&](int first, Survivor* pairs, size_t n) {
                    wait(first, pairs, tiles.narrow(first, pairs, n));
                });
            } else {
                tiles.scan(block == task.row, keep, wait);
            }
            if (k_ <= kSmall) measure(worker, task.row);
        }
        measure(worker, task.row);
    }

    void copy_radii(int64_t block, std::vector<double>& out) {
        out.resize(stored_.side(block).size);
        for (size_t i = 0; i < out.size(); ++i) out[i] = read_radius(radii_, stored_.first(block) + i);
    }

    void measure(Worker& worker, int64_t row_block) {
        auto& queue = worker.queue;
        auto& later = worker.later;
        drop(queue);
        if (queue.empty()) return;
        // Sorted by row, by counting.
        const int64_t first_row = stored_.first(row_block);
        auto& starts = worker.starts;
        starts.assign(stored_.block() + 1, 0);
        for (const Waiting& pair : queue) ++starts[pair.row - first_row + 1];
        std::partial_sum(starts.begin(), starts.end(), starts.begin());
        later.resize(queue.size());
        for (const Waiting& pair : queue) later[starts[pair.row - first_row]++] = pair;
        queue.swap(later);
        in_rounds(queue, later, k_, [&] { enter(worker, row_block); }, [&] { drop(queue); });
    }

    void drop(std::vector<Waiting>& queue) {
        std::erase_if(queue, [&](const Waiting& pair) {
            return !(pair.lower <= read_radius(radii_, pair.row) || pair.lower <= read_radius(radii_, pair.column));
        });
    }

    void enter(Worker& worker, int64_t row_block) {
        const auto& queue = worker.queue;
        if (queue.empty()) return;
        worker.distances.clear();
        worker.measure.run(queue.data(), queue.size(),
                           [&](int32_t, int32_t, double distance) { worker.distances.push_back(distance); });
        {
            const std::lock_guard lock(locks_[row_block]);
            offer(worker, queue.size(), [&](size_t i) {
                return Offer{queue[i].row, queue[i].column, worker.distances[i]};
            });
        }
        // By blocks of columns and by columns, by counting.
        auto& starts = worker.starts;
        auto& order = worker.order;
        auto& columns = worker.columns;
        order.resize(queue.size());
        columns.resize(queue.size());
        starts.assign(stored_.blocks() + 1, 0);
        for (const Waiting& pair : queue) ++starts[block_of(pair.column) + 1];
        std::partial_sum(starts.begin(), starts.end(), starts.begin());
        for (size_t i = 0; i < queue.size(); ++i) order[starts[block_of(queue[i].column)]++] = static_cast<uint32_t>(i);
        const std::vector<uint32_t> ends(starts.begin(), starts.end() - 1);
        size_t begin = 0;
        for (int64_t block = 0; block < stored_.blocks(); begin = ends[block++]) {
            const size_t end = ends[block];
            if (begin == end) continue;
            const int64_t first = stored_.first(block);
            starts.assign(stored_.side(block).size + 1, 0);
            for (size_t i = begin; i < end; ++i) ++starts[queue[order[i]].column - first + 1];
            std::partial_sum(starts.begin(), starts.end(), starts.begin());
            for (size_t i = begin; i < end; ++i) {
                columns[begin + starts[queue[order[i]].column - first]++] = order[i];
            }
            const std::lock_guard lock(locks_[block]);
            offer(worker, end - begin, [&](size_t i) {
                const uint32_t pair = columns[begin + i];
                return Offer{queue[pair].column, queue[pair].row, worker.distances[pair]};
            });
        }
    }

    // The block that a position lies in.
    int64_t block_of(int64_t position) const {
        int64_t block = blocks_from_[position / kPanel];
        while (stored_.first(block + 1) <= position) ++block;
        return block;
    }

    struct Offer {
        int64_t to, other;
        double distance;
    };

    // Offers of one list follow each other.
    template <class Get>
    void offer(Worker& worker, size_t n, Get&& get) {
        for (size_t i = 0; i < n;) {
            const int64_t to = get(i).to;
            const double radius = read_radius(radii_, to);
            worker.entries.clear();
            for (; i < n; ++i) {
                const Offer own = get(i);
                if (own.to != to) break;
                // Spares the list a visit.
                if (stored_.coder().radius(own.distance) > radius) continue;
                worker.entries.push_back({own.distance, static_cast<uint32_t>(stored_.row(own.other))});
            }
            if (!worker.entries.empty() && lists_.offer(stored_.row(to), worker.entries, worker.scratch)) tighten(to);
        }
    }

    void tighten(int64_t position) {
        const double worst = lists_.worst(stored_.row(position));
        if (worst < kInfinity) lower_radius(radii_, position, stored_.coder().radius(worst));
    }

    const Context& context_;
    Stored& stored_;
    int64_t k_;
    const int64_t* groups_;
    Lists lists_;
    Radii radii_;
    std::vector<std::mutex> locks_;
    std::vector<Worker> workers_;
    std::vector<std::vector<int32_t>> nearest_;  // blocks, from each block
    std::vector<Task> tasks_;
    std::vector<int32_t> blocks_from_;           // the block of every kPanel-th position
    int64_t near_tasks_ = 0;  // those on the diagonal and near it, which come first
    size_t queue_limit_;
};

}  // namespace

void self_join(const Context& context, int64_t k, const int64_t* groups, int64_t* indices, float* distances) {
    const int64_t n = context.stored.rows().matrix.n_vectors;
    context.stats.pairs = n * (n - 1) / 2;
    SelfJoin(context, k, groups, indices, distances).run();
}

}  // namespace vicinal
