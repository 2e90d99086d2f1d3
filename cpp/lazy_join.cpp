// See lazy_join.hpp.
#include "lazy_join.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "sketch.hpp"

namespace vicinal {
namespace {

constexpr int64_t kMostRows = 16384;  // with more, sketches and narrow radii pay
constexpr int64_t kMostK = 10;        // with a larger k, bounds leave too many pairs
constexpr size_t kColumns = 4;        // column blocks in a task, so that all threads end together
constexpr int64_t kMostWaiting = 5;   // pairs that wait at most, times rows and k
constexpr int64_t kSettled = 256;     // rows whose pairs are measured in a task
constexpr float kNoBound = std::numeric_limits<float>::infinity();

}  // namespace

LazyJoin::Worker::Worker(const LazyJoin& join)
    : filter(join.stored_, join.context_.isa), measure(join.stored_, join.rows_, join.context_.isa) {}

bool LazyJoin::suits(const Context& context, int64_t k) {
    const Callbacks& callbacks = context.callbacks;
    return k <= kMostK && context.stored.size() <= kMostRows && !callbacks.save && !callbacks.resume;
}

LazyJoin::LazyJoin(const Context& context, const JoinPlan& plan, const int64_t* groups, Lists& lists)
    : context_(context),
      stored_(context.stored),
      plan_(plan),
      groups_(groups),
      lists_(lists),
      k_(lists.k()),
      rows_(stored_, nullptr),
      radii_(stored_.size(), std::numeric_limits<double>::infinity()),
      uppers_(stored_.size() * k_, kNoBound),
      unbounded_(stored_.max_block_size(), std::numeric_limits<double>::infinity()),
      block_of_(stored_.size()),
      locks_(stored_.blocks()),
      most_waiting_(kMostWaiting * k_ * stored_.size() / context.pool.threads()) {
    for (int i = 0; i < context.pool.threads(); ++i) workers_.emplace_back(*this);
    for (int64_t block = 0; block < stored_.blocks(); ++block) {
        std::fill_n(&block_of_[stored_.first(block)], stored_.stats(block).size, static_cast<int32_t>(block));
    }
}

void LazyJoin::run() {
    const Timer seeding;
    context_.pool.run(stored_.blocks(), context_.callbacks,
                      [&](int worker, int64_t block) { seed(workers_[worker], block); });
    context_.stats.seconds_seed = seeding.seconds();
    const Timer scanning;
    prepare_sketches();
    std::vector<JoinPlan::Task> tasks;
    for (int64_t number = 0; number < plan_.size(); ++number) {
        const JoinPlan::Task task = plan_.task(number);
        const auto& columns = task.column_blocks;
        for (size_t first = 0; first < columns.size(); first += kColumns) {
            const auto begin = columns.begin() + first;
            tasks.push_back({task.row_block, {begin, begin + std::min(kColumns, columns.size() - first)}});
        }
    }
    const auto all = static_cast<int64_t>(tasks.size());
    context_.pool.run(all, context_.callbacks, [&](int worker, int64_t number) {
        const JoinPlan::Task& task = tasks[number];
        Worker& own = workers_[worker];
        if (own.loaded != task.row_block) rows_.load(own.filter, task.row_block, 0);
        own.loaded = task.row_block;
        for (const int32_t block : task.column_blocks) {
            if (context_.pool.stopped()) return;
            scan(own, task.row_block, block);
        }
    });
    settle_all();
    context_.stats.seconds_scan = scanning.seconds();
    for (const Worker& worker : workers_) context_.stats.candidates += worker.measure.count();
}

void LazyJoin::prepare_sketches() {
    if (!use_sketches(context_.stored, nullptr, k_, context_.sketch, {}, context_.isa, context_.pool,
                      context_.callbacks))
        return;
    context_.stats.sketch = static_cast<int>(stored_.sketches().bytes());
    for (Worker& worker : workers_) worker.filter.use_sketches(stored_, context_.isa);
}

// The k-th highest of kPanel scores, or one below it where some are equal; destroys them. Without branches, which could
// not be predicted.
static int32_t kth_highest(int32_t (&scores)[kPanel], int64_t k) {
    constexpr int32_t kNone = std::numeric_limits<int32_t>::min();
    int32_t highest = kNone;
    for (int64_t round = 0; round < k; ++round) {
        int32_t lanes[8];
        std::copy_n(scores, 8, lanes);
        for (int c = 8; c < kPanel; c += 8) {
            for (int j = 0; j < 8; ++j) lanes[j] = lanes[j] > scores[c + j] ? lanes[j] : scores[c + j];
        }
        highest = *std::max_element(lanes, lanes + 8);
        for (int32_t& score : scores) score = score == highest ? kNone : score;
    }
    return highest;
}

// Gives the rows of a block their first radii. Takes the highest score in each of several disjoint sets of columns: the
// k-th highest of these belongs to k distinct columns, so it gives an upper bound of the distance to the k-th
// neighbour.
void LazyJoin::seed(Worker& worker, int64_t block) {
    constexpr int32_t kNone = std::numeric_limits<int32_t>::min();
    const bool coarse = stored_.coarse() != nullptr;
    Tiles& tiles = coarse ? *worker.filter.first : worker.filter.tiles;
    const BlockStats& columns = (coarse ? *stored_.coarse() : stored_.layer()).stats(block);
    const int64_t first = stored_.first(block);
    const Coder& coder = stored_.coder();
    int32_t highest[kPanel];
    tiles.set_stored_rows(block);
    tiles.scores(block, unbounded_.data(), [&](int i, int32_t* scores) {
        scores[i] = kNone;
        if (groups_) {
            for (int c = 0; c < columns.size; ++c) {
                if (!allowed(first + i, first + c)) scores[c] = kNone;
            }
        }
        std::fill(highest, highest + kPanel, kNone);
        int c = 0;
        for (; c + kPanel <= columns.size; c += kPanel) {
            for (int j = 0; j < kPanel; ++j) highest[j] = std::max(highest[j], scores[c + j]);
        }
        for (int j = 0; c + j < columns.size; ++j) highest[j] = std::max(highest[j], scores[c + j]);
        const int32_t least = kth_highest(highest, k_);
        if (least == kNone) return;
        const double upper = coder.upper_bound(tiles.rows(), i, columns, least + tiles.row_base(i));
        lower_radius(radii_, first + i, coder.radius_of(upper));
    });
}

// A copy, because other threads lower the radii meanwhile.
void LazyJoin::read_radii(int64_t block, std::vector<double>& out) {
    out.resize(stored_.stats(block).size);
    for (size_t i = 0; i < out.size(); ++i)
        out[i] = read_radius(radii_, stored_.first(block) + static_cast<int64_t>(i));
}

void LazyJoin::scan(Worker& worker, int64_t row_block, int64_t column_block) {
    Tiles& tiles = worker.filter.tiles;
    const int64_t first_row = stored_.first(row_block), first_column = stored_.first(column_block);
    read_radii(row_block, worker.row_radii);
    read_radii(column_block, worker.column_radii);
    const auto keep = [&](int row, int column) { return allowed(first_row + row, first_column + column); };
    worker.found.clear();
    const auto find = [&](int first, const Survivor* pairs, size_t n) {
        const Candidate* candidates = tiles.candidates(first, pairs, n);
        worker.uppers.assign(n, kNoBound);
        if (tiles.has_upper_bounds()) {
            stored_.coder().upper_bounds(tiles.rows(), stored_.stats(column_block), first, pairs, n,
                                         worker.uppers.data());
        }
        for (size_t i = 0; i < n; ++i) {
            const Candidate& c = candidates[i];
            worker.found.push_back(
                {PendingPair::of(first_row + c.row, first_column + c.column, c.lower), worker.uppers[i]});
        }
    };
    worker.filter.scan(column_block, worker.row_radii.data(), worker.column_radii.data(), row_block == column_block,
                       keep, find);
    take(worker, row_block, column_block);
}

// Lowers the radii by the upper bounds of the tile's pairs, and keeps the pairs.
void LazyJoin::take(Worker& worker, int64_t row_block, int64_t column_block) {
    if (worker.found.empty()) return;
    {
        const std::lock_guard lock(locks_[row_block]);
        for (const Bounded& one : worker.found) lower(one.pair.row, one.upper);
    }
    {
        const std::lock_guard lock(locks_[column_block]);
        for (const Bounded& one : worker.found) lower(one.pair.column, one.upper);
    }
    for (const Bounded& one : worker.found) {
        if (near_enough(one.pair)) worker.waiting.push_back(one.pair);
    }
    if (worker.waiting.size() < most_waiting_) return;
    std::erase_if(worker.waiting, [&](const PendingPair& pair) { return !near_enough(pair); });
    if (worker.waiting.size() < most_waiting_ / 2) return;
    worker.queue.swap(worker.waiting);
    settle(worker);
}

void LazyJoin::lower(int64_t position, float upper) {
    float* own = &uppers_[position * k_];
    if (!(upper < own[0])) return;
    int64_t place = 0;
    for (; place + 1 < k_ && upper < own[place + 1]; ++place) own[place] = own[place + 1];
    own[place] = upper;
    lower_radius(radii_, position, own[0]);
}

void LazyJoin::sort_by_row(std::vector<PendingPair>& pairs, Worker& worker) const {
    auto& starts = worker.starts;
    starts.assign(stored_.size() + 1, 0);
    for (const PendingPair& pair : pairs) ++starts[pair.row + 1];
    std::partial_sum(starts.begin(), starts.end(), starts.begin());
    worker.later.resize(pairs.size());
    for (const PendingPair& pair : pairs) worker.later[starts[pair.row]++] = pair;
    pairs.swap(worker.later);
}

// Measures the pairs in the worker's queue and inserts them into the lists.
void LazyJoin::settle(Worker& worker) {
    sort_by_row(worker.queue, worker);
    in_rounds(
        worker.queue, worker.later, k_, [&] { insert(worker); },
        [&] { std::erase_if(worker.queue, [&](const PendingPair& pair) { return !near_enough(pair); }); });
}

// Measures all pairs that wait.
void LazyJoin::settle_all() {
    context_.pool.run(context_.pool.threads(), context_.callbacks, [&](int, int64_t worker) {
        std::erase_if(workers_[worker].waiting, [&](const PendingPair& pair) { return !near_enough(pair); });
    });
    std::vector<PendingPair> all;
    for (const Worker& worker : workers_) all.insert(all.end(), worker.waiting.begin(), worker.waiting.end());
    sort_by_row(all, workers_[0]);
    const std::vector<uint32_t> ends = workers_[0].starts;  // of the pairs of each row
    const int64_t n = stored_.size();
    context_.pool.run((n + kSettled - 1) / kSettled, context_.callbacks, [&](int worker, int64_t task) {
        const int64_t first = task * kSettled, last = std::min(n, first + kSettled);
        workers_[worker].queue.assign(all.begin() + (first ? ends[first - 1] : 0), all.begin() + ends[last - 1]);
        settle(workers_[worker]);
    });
}

void LazyJoin::insert(Worker& worker) {
    const auto& queue = worker.queue;
    worker.measure.run(queue.data(), queue.size(), [&](int32_t row, int32_t column, double distance) {
        offer(row, distance, column);
        offer(column, distance, row);
    });
}

void LazyJoin::offer(int64_t position, double distance, int64_t other) {
    const Coder& coder = stored_.coder();
    if (coder.radius_of(distance) > read_radius(radii_, position)) return;
    const int64_t list = stored_.row(position);
    const std::lock_guard lock(locks_[block_of_[position]]);
    if (!lists_.offer(list, {distance, static_cast<uint32_t>(stored_.row(other))})) return;
    const double worst = lists_.worst(list);
    if (worst < kNoNeighbour.distance) lower_radius(radii_, position, coder.radius_of(worst));
}

}  // namespace vicinal
