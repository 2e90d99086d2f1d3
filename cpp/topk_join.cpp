// See topk_join.hpp.
#include "topk_join.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "join_tasks.hpp"

namespace vicinal {
namespace {

constexpr int64_t kCheapRowBytes = 128;  // up to so many bytes a row, a scan costs less than exact distances
constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

TopKJoin::Worker::Worker(const TopKJoin& join)
    : filter(join.stored_, join.context_.isa), measure(join.stored_, join.rows_, join.context_.isa) {}

TopKJoin::TopKJoin(const Context& context, const JoinRows& rows, const JoinPlan& plan, const Groups& groups,
                   Lists& lists, const ColumnLists* columns)
    : context_(context),
      stored_(context.stored),
      rows_(rows),
      plan_(plan),
      groups_(groups),
      k_(lists.k()),
      row_side_{&lists, Radii(rows.size(), kInfinity), std::vector<std::mutex>(rows.blocks())},
      column_side_(rows.self() ? &row_side_
                   : columns   ? &own_column_side_
                               : nullptr),
      first_query_(columns ? columns->first_query : 0),
      none_(stored_.max_block_size(), stored_.coder().empty_radius()),
      unbounded_(std::max<int64_t>(rows.max_block_size(), stored_.max_block_size()), kInfinity),
      queue_limit_(
          static_cast<size_t>(rows.max_block_size() * std::min<int64_t>(2 * k_ + 16, stored_.max_block_size()))) {
    for (int i = 0; i < context.pool.threads(); ++i) workers_.emplace_back(*this);
    if (!column_side_) return;
    if (columns) {
        own_column_side_.lists = &columns->lists;
        own_column_side_.radii.assign(stored_.size(), kInfinity);
        own_column_side_.locks = std::vector<std::mutex>(stored_.blocks());
    }
    for (int64_t p = 0, block = 0; p < stored_.size(); p += kPanel) {
        while (stored_.first(block + 1) <= p) ++block;
        blocks_from_.push_back(static_cast<int32_t>(block));
    }
}

void TopKJoin::resume() {
    const auto update = [&](Side& side, int64_t n, auto&& list_of) {
        constexpr int64_t kAhead = 16;  // lists are in another order than positions
        for (int64_t position = 0; position < n; ++position) {
            if (position + kAhead < n) side.lists->prefetch(list_of(position + kAhead));
            update_radius(side, position, list_of(position));
        }
    };
    update(row_side_, rows_.size(), [&](int64_t position) { return rows_.row(position); });
    if (column_side_ != &own_column_side_) return;
    update(*column_side_, stored_.size(), [&](int64_t position) { return stored_.row(position); });
}

void TopKJoin::limit(const Limits& limits) {
    const Coder& coder = stored_.coder();
    for (int64_t position = 0; !rows_.self() && position < rows_.size(); ++position) {
        lower_radius(row_side_.radii, position, coder.radius_of(limits.queries[rows_.row(position)]));
    }
    for (int64_t position = 0; position < stored_.size(); ++position) {
        double highest = -kInfinity;  // copies share a list
        for (auto [copy, end] = stored_.copies(position); copy != end; ++copy) {
            highest = std::max(highest, limits.stored[*copy]);
        }
        lower_radius(column_side_->radii, position, coder.radius_of(highest));
    }
}

void TopKJoin::run(int64_t& finished, const std::function<void()>& save) {
    const Timer seeding;
    context_.pool.run(rows_.blocks(), context_.callbacks, [&](int worker, int64_t block) {
        rows_.encode(block);
        seed(workers_[worker], block);
    });
    context_.stats.seconds_seed = seeding.seconds();
    const Timer scanning;
    const int64_t all = plan_.size();
    const auto run = [&](int64_t last) {
        context_.pool.run(
            finished, last, context_.callbacks,
            [&](int worker, int64_t task) { join(workers_[worker], plan_.task(task)); }, save, all);
    };
    run(plan_.n_near());
    if (plan_.n_further > 0) {
        Radii* columns = column_side_ == &own_column_side_ ? &own_column_side_.radii : nullptr;
        prepare_sketches(context_, rows_, k_, row_side_.radii, columns, workers_);
    }
    run(all);
    context_.stats.seconds_scan = scanning.seconds();
    for (const Worker& worker : workers_) context_.stats.candidates += worker.measure.count();
}

// Gives the rows of a block their first thresholds: from one tile and, where k is too large for one tile or a scan is
// cheap, from several tiles.
void TopKJoin::seed(Worker& worker, int64_t row_block) {
    const std::vector<int32_t>& seeds = plan_.seeds[row_block];
    if (seeds.empty()) return;
    seed_from_scores(worker, row_block, seeds[0]);
    if (k_ <= kSmall || (6 * k_ <= stored_.max_block_size() && stored_.coder().row_bytes() > kCheapRowBytes)) return;
    if (rows_.self()) seed_from_survivors(worker, row_block, seeds);
}

// Takes the highest score in each of several disjoint sets of columns. The k-th highest of these belongs to k distinct
// columns, so it gives an upper bound of the distance to the k-th neighbour.
void TopKJoin::seed_from_scores(Worker& worker, int64_t row_block, int64_t column_block) {
    constexpr int32_t kNone = std::numeric_limits<int32_t>::min();
    Tiles& tiles = worker.filter.tiles;
    rows_.load(tiles, row_block, rows_.region(column_block));
    const BlockStats& columns = stored_.stats(column_block);
    const int64_t first_row = rows_.first(row_block), first_column = stored_.first(column_block);
    const bool diagonal = rows_.self() && row_block == column_block;
    const int64_t lanes = std::min<int64_t>(columns.size, padded(3 * k_, kPanel));
    if (lanes < k_) return;
    std::vector<int32_t> highest(lanes);
    tiles.scores(column_block, unbounded_.data(), [&](int i, int32_t* scores) {
        if (diagonal) scores[i] = kNone;
        if (groups_.rows) {
            for (int c = 0; c < columns.size; ++c) {
                if (!allowed(first_row + i, first_column + c)) scores[c] = kNone;
            }
        }
        std::fill(highest.begin(), highest.end(), kNone);
        for (int64_t c = 0; c < columns.size; c += lanes) {
            const int64_t width = std::min<int64_t>(lanes, columns.size - c);
            for (int64_t j = 0; j < width; ++j) highest[j] = std::max(highest[j], scores[c + j]);
        }
        std::nth_element(highest.begin(), highest.begin() + (k_ - 1), highest.end(), std::greater<>());
        if (highest[k_ - 1] == kNone) return;
        const double upper = stored_.coder().upper_bound(tiles.rows(), i, columns, highest[k_ - 1] + tiles.row_base(i));
        lower_radius(row_side_.radii, first_row + i, stored_.coder().radius_of(upper));
    });
}

// Takes the k lowest upper bounds among the pairs that pass in several tiles.
void TopKJoin::seed_from_survivors(Worker& worker, int64_t row_block, const std::vector<int32_t>& column_blocks) {
    const Coder& coder = stored_.coder();
    Tiles& tiles = worker.filter.tiles;
    const int64_t first_row = rows_.first(row_block);
    std::vector<std::vector<double>> uppers(rows_.size(row_block));
    for (const int32_t block : column_blocks) {
        if (context_.pool.stopped()) return;
        const BlockStats& columns = stored_.stats(block);
        const int64_t first_column = stored_.first(block);
        tiles.begin(block, row_radii(worker, row_block), none_.data());
        if (!tiles.has_upper_bounds()) continue;
        const bool diagonal = rows_.self() && block == row_block;
        const auto keep = [&](int row, int column) {
            return !(diagonal && row == column) && allowed(first_row + row, first_column + column);
        };
        tiles.scan(false, keep, [&](int, const Survivor* pairs, size_t n) {
            for (size_t i = 0; i < n; ++i) {
                uppers[pairs[i].row].push_back(coder.upper_bound(tiles.rows(), pairs[i].row, columns, pairs[i].score));
            }
        });
        for (size_t i = 0; i < uppers.size(); ++i) {
            auto& own = uppers[i];
            if (static_cast<int64_t>(own.size()) < k_) continue;
            std::nth_element(own.begin(), own.begin() + (k_ - 1), own.end());
            own.resize(k_);
            lower_radius(row_side_.radii, first_row + static_cast<int64_t>(i), coder.radius_of(own.back()));
        }
    }
}

void TopKJoin::join(Worker& worker, const JoinPlan::Task& task) {
    each_block(context_, rows_, task, worker.filter, [&](int32_t block) {
        scan(worker, task.row_block, block);
        if (k_ <= kSmall || !column_side_) measure(worker, task.row_block);
    });
    if (context_.pool.stopped()) return;
    measure(worker, task.row_block);
}

// Adds to the queue the pairs of the loaded rows and a block of columns that pass.
void TopKJoin::scan(Worker& worker, int64_t row_block, int64_t column_block) {
    Tiles& tiles = worker.filter.tiles;
    const int64_t first_row = rows_.first(row_block), first_column = stored_.first(column_block);
    const double* rows = row_radii(worker, row_block);
    const double* columns = column_radii(worker, column_block);
    const auto keep = [&](int row, int column) { return allowed(first_row + row, first_column + column); };
    const auto wait = [&](int first, const Survivor* pairs, size_t n) {
        const Candidate* candidates = tiles.candidates(first, pairs, n);
        for (size_t i = 0; i < n; ++i) {
            const Candidate& c = candidates[i];
            worker.queue.push_back(PendingPair::of(first_row + c.row, first_column + c.column, c.lower));
        }
        if (worker.queue.size() >= queue_limit_) measure(worker, row_block);
    };
    worker.filter.scan(column_block, rows, columns, rows_.self() && column_block == row_block, keep, wait);
}

// A copy, because other threads lower the radii meanwhile.
const double* TopKJoin::row_radii(Worker& worker, int64_t block) {
    worker.row_radii.resize(rows_.size(block));
    for (size_t i = 0; i < worker.row_radii.size(); ++i)
        worker.row_radii[i] = read_radius(row_side_.radii, rows_.first(block) + i);
    return worker.row_radii.data();
}

const double* TopKJoin::column_radii(Worker& worker, int64_t block) {
    if (!column_side_) return none_.data();
    worker.column_radii.resize(stored_.stats(block).size);
    for (size_t i = 0; i < worker.column_radii.size(); ++i) {
        worker.column_radii[i] = read_radius(column_side_->radii, stored_.first(block) + i);
    }
    return worker.column_radii.data();
}

// Measures the pairs in the queue, which all belong to one block of rows, and inserts them into the lists.
void TopKJoin::measure(Worker& worker, int64_t row_block) {
    auto& queue = worker.queue;
    auto& later = worker.later;
    prune(queue);
    if (queue.empty()) return;
    // Counting sort by row.
    const int64_t first_row = rows_.first(row_block);
    auto& starts = worker.starts;
    starts.assign(rows_.size(row_block) + 1, 0);
    for (const PendingPair& pair : queue) ++starts[pair.row - first_row + 1];
    std::partial_sum(starts.begin(), starts.end(), starts.begin());
    later.resize(queue.size());
    for (const PendingPair& pair : queue) later[starts[pair.row - first_row]++] = pair;
    queue.swap(later);
    in_rounds(queue, later, k_, [&] { insert(worker, row_block); }, [&] { prune(queue); });
}

void TopKJoin::prune(std::vector<PendingPair>& queue) {
    std::erase_if(queue, [&](const PendingPair& pair) {
        return !(pair.lower <= read_radius(row_side_.radii, pair.row) ||
                 (column_side_ && pair.lower <= read_radius(column_side_->radii, pair.column)));
    });
}

void TopKJoin::insert(Worker& worker, int64_t row_block) {
    const auto& queue = worker.queue;
    if (queue.empty()) return;
    worker.distances.clear();
    worker.measure.run(queue.data(), queue.size(),
                       [&](int32_t, int32_t, double distance) { worker.distances.push_back(distance); });
    {
        const std::lock_guard lock(row_side_.locks[row_block]);
        offer(worker, row_side_, queue.size(), [&](size_t i) {
            const auto other = static_cast<uint32_t>(stored_.row(queue[i].column));
            return Offer{queue[i].row, rows_.row(queue[i].row), {worker.distances[i], other}};
        });
    }
    if (column_side_) insert_columns(worker);
}

// Inserts the pairs in the queue into the lists of their columns, one block of columns after the other, so that each
// lock is taken once.
void TopKJoin::insert_columns(Worker& worker) {
    const auto& queue = worker.queue;
    auto& starts = worker.starts;
    auto& order = worker.order;
    auto& columns = worker.columns;
    const auto block_of = [&](int64_t position) {
        int64_t block = blocks_from_[position / kPanel];
        while (stored_.first(block + 1) <= position) ++block;
        return block;
    };
    order.resize(queue.size());
    columns.resize(queue.size());
    starts.assign(stored_.blocks() + 1, 0);
    for (const PendingPair& pair : queue) ++starts[block_of(pair.column) + 1];
    std::partial_sum(starts.begin(), starts.end(), starts.begin());
    for (size_t i = 0; i < queue.size(); ++i) order[starts[block_of(queue[i].column)]++] = static_cast<uint32_t>(i);
    const std::vector<uint32_t> ends(starts.begin(), starts.end() - 1);
    size_t begin = 0;
    for (int64_t block = 0; block < stored_.blocks(); begin = ends[block++]) {
        const size_t end = ends[block];
        if (begin == end) continue;
        const int64_t first = stored_.first(block);
        starts.assign(stored_.stats(block).size + 1, 0);
        for (size_t i = begin; i < end; ++i) ++starts[queue[order[i]].column - first + 1];
        std::partial_sum(starts.begin(), starts.end(), starts.begin());
        for (size_t i = begin; i < end; ++i) {
            columns[begin + starts[queue[order[i]].column - first]++] = order[i];
        }
        const std::lock_guard lock(column_side_->locks[block]);
        offer(worker, *column_side_, end - begin, [&](size_t i) {
            const uint32_t pair = columns[begin + i];
            const auto other = static_cast<uint32_t>(first_query_ + rows_.row(queue[pair].row));
            return Offer{queue[pair].column, stored_.row(queue[pair].column), {worker.distances[pair], other}};
        });
    }
}

// Inserts n entries; the entries of one list are adjacent.
template <class Get>
void TopKJoin::offer(Worker& worker, Side& side, size_t n, Get&& get) {
    for (size_t i = 0; i < n;) {
        const auto [position, list, unused] = get(i);
        const double radius = read_radius(side.radii, position);
        worker.entries.clear();
        for (; i < n; ++i) {
            const Offer own = get(i);
            if (own.position != position) break;
            // The radius refuses most entries without a look at the list.
            if (stored_.coder().radius_of(own.entry.distance) > radius) continue;
            worker.entries.push_back(own.entry);
        }
        if (!worker.entries.empty() && side.lists->offer(list, worker.entries, worker.scratch)) {
            update_radius(side, position, list);
        }
    }
}

void TopKJoin::update_radius(Side& side, int64_t position, int64_t list) {
    const double worst = side.lists->worst(list);
    if (worst < kInfinity) lower_radius(side.radii, position, stored_.coder().radius_of(worst));
}

}  // namespace vicinal
