// See deferred_join.hpp.
#include "deferred_join.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "join_tasks.hpp"

namespace vicinal {
namespace {

constexpr int64_t kLeastQueries = 512;  // with fewer, samples take too long
constexpr int64_t kFewNearest = 10;     // of this k, a self-join of more rows saves more by radii from distances
constexpr int64_t kFewRows = 32768;
constexpr int64_t kMostK = 4096;           // with a larger k, too many pairs wait
constexpr int64_t kMostEntries = 1 << 24;  // of all lists
constexpr int64_t kWaiting = 6;            // pairs that wait at most, times rows and k
constexpr int64_t kMostWaiting = 1 << 25;  // and all together
constexpr float kNoBound = std::numeric_limits<float>::infinity();

}  // namespace

DeferredJoin::Worker::Worker(const DeferredJoin& join)
    : filter(join.stored_, join.context_.isa), measure(join.stored_, join.rows_, join.context_.isa) {}

bool DeferredJoin::suits(const Context& context, const JoinRows& rows, int64_t k) {
    const Callbacks& callbacks = context.callbacks;
    return k <= kMostK && (k > kFewNearest || !rows.self() || rows.size() <= kFewRows) &&
           rows.size() * k <= kMostEntries && context.stored.size() > 0 &&
           (rows.self() || rows.size() >= kLeastQueries) && !callbacks.save && !callbacks.resume;
}

DeferredJoin::DeferredJoin(const Context& context, const JoinRows& rows, const JoinPlan& plan, const Groups& groups,
                           Lists& lists)
    : context_(context),
      stored_(context.stored),
      rows_(rows),
      plan_(plan),
      groups_(groups),
      lists_(lists),
      k_(lists.k()),
      radii_(rows.size(), kInfinity),
      nearest_(rows.size(), k_),
      list_of_(rows.size()),
      none_(stored_.max_block_size(), stored_.coder().empty_radius()),
      unbounded_(std::max<int64_t>(rows.max_block_size(), stored_.max_block_size()), kInfinity),
      block_of_(rows.size()),
      locks_(rows.blocks()),
      most_waiting_(std::min(kWaiting * k_ * rows.size(), kMostWaiting) / context.pool.threads()) {
    std::iota(list_of_.begin(), list_of_.end(), 0);
    for (int i = 0; i < context.pool.threads(); ++i) {
        workers_.emplace_back(*this);
        workers_.back().waiting.reserve(most_waiting_);  // growth would touch its pages several times
    }
    for (int64_t block = 0; block < rows.blocks(); ++block) {
        std::fill_n(&block_of_[rows.first(block)], rows.size(block), static_cast<int32_t>(block));
    }
}

void DeferredJoin::run() {
    const Timer seeding;
    context_.pool.run(rows_.blocks(), context_.callbacks, [&](int, int64_t block) {
        rows_.encode(block);
        seed(block);
    });
    context_.stats.seconds_seed = seeding.seconds();
    const Timer scanning;
    int64_t finished = 0;
    const auto run = [&](int64_t last) {
        const auto join = [&](int number, int64_t n) {
            Worker& worker = workers_[number];
            const JoinPlan::Task task = plan_.task(n);
            each_block(context_, rows_, task, worker.filter, [&](int32_t block) {
                scan(worker, task.row_block, block);
                take(worker, task.row_block, block);
            });
        };
        context_.pool.run(finished, last, context_.callbacks, join, {}, plan_.size());
    };
    if (rows_.self()) run(std::min(plan_.n_near(), rows_.blocks()));  // the blocks with themselves, for lower radii
    if (finished < plan_.size()) move(prepare_sketches(context_, rows_, k_, radii_, nullptr, workers_));
    run(plan_.size());
    settle_all();
    context_.stats.seconds_scan = scanning.seconds();
    for (const Worker& worker : workers_) context_.stats.candidates += worker.measure.count();
}

// Rows have other positions than before.
void DeferredJoin::move(const std::vector<int32_t>& places) {
    if (places.empty()) return;
    std::vector<int32_t> now(places.size());
    for (size_t position = 0; position < places.size(); ++position) {
        now[places[position]] = static_cast<int32_t>(position);
    }
    for (Worker& worker : workers_) {
        for (PendingPair& pair : worker.waiting) {
            pair.row = now[pair.row];
            if (rows_.self()) pair.column = now[pair.column];
        }
    }
    arrange(list_of_.data(), places);
}

// A copy, because other threads lower the radii meanwhile.
void DeferredJoin::read_radii(const JoinRows& rows, int64_t block, std::vector<double>& out) {
    out.resize(rows.size(block));
    for (size_t i = 0; i < out.size(); ++i) out[i] = read_radius(radii_, rows.first(block) + static_cast<int64_t>(i));
}

// Finds the pairs of the loaded rows and a block of columns that pass.
void DeferredJoin::scan(Worker& worker, int64_t row_block, int64_t column_block) {
    Tiles& tiles = worker.filter.tiles;
    const int64_t first_row = rows_.first(row_block), first_column = stored_.first(column_block);
    read_radii(rows_, row_block, worker.row_radii);
    if (rows_.self()) read_radii(rows_, column_block, worker.column_radii);
    const double* columns = rows_.self() ? worker.column_radii.data() : none_.data();
    const auto keep = [&](int row, int column) { return allowed(first_row + row, first_column + column); };
    worker.estimates.clear();
    const auto find = [&](int first, const Survivor* pairs, size_t n) {
        const Candidate* candidates = tiles.candidates(first, pairs, n);
        worker.uppers.assign(n, kNoBound);
        if (tiles.has_upper_bounds()) {
            stored_.coder().upper_bounds(tiles.rows(), stored_.stats(column_block), first, pairs, n,
                                         worker.uppers.data());
        }
        for (size_t i = 0; i < n; ++i) {
            const Candidate& c = candidates[i];
            worker.waiting.push_back(PendingPair::of(first_row + c.row, first_column + c.column, c.lower));
            worker.estimates.push_back(estimate_of(c.lower, worker.uppers[i]));
        }
    };
    worker.filter.scan(column_block, worker.row_radii.data(), columns, rows_.self() && row_block == column_block, keep,
                       find);
}

// Lowers the radii by the estimates of the tile's pairs.
void DeferredJoin::take(Worker& worker, int64_t row_block, int64_t column_block) {
    const size_t n = worker.estimates.size();
    const PendingPair* pairs = worker.waiting.data() + (worker.waiting.size() - n);
    if (n == 0) return;
    {
        const std::lock_guard lock(locks_[row_block]);
        for (size_t i = 0; i < n; ++i) add(pairs[i].row, worker.estimates[i]);
    }
    if (rows_.self()) {
        const std::lock_guard lock(locks_[column_block]);
        for (size_t i = 0; i < n; ++i) add(pairs[i].column, worker.estimates[i]);
    }
    if (worker.waiting.size() < most_waiting_) return;
    prune(worker);
    if (worker.waiting.size() >= most_waiting_ / 8 * 7) settle(worker);
}

void DeferredJoin::prune(Worker& worker) {
    std::erase_if(worker.waiting, [&](const PendingPair& pair) { return !near_enough(pair); });
}

void DeferredJoin::add(int64_t position, float estimate) {
    if (!(estimate < read_radius(radii_, position))) return;
    if (const float radius = nearest_.add(list_of_[position], estimate); radius < kNoBound)
        lower_radius(radii_, position, radius);
}

// Measures the pairs that wait, because they are too many.
void DeferredJoin::settle(Worker& worker) {
    settled_ = true;
    auto& starts = worker.starts;
    starts.assign(rows_.size() + 1, 0);
    for (const PendingPair& pair : worker.waiting) ++starts[pair.row + 1];
    std::partial_sum(starts.begin(), starts.end(), starts.begin());
    worker.sorted.resize(worker.waiting.size());
    for (const PendingPair& pair : worker.waiting) worker.sorted[starts[pair.row]++] = pair;
    worker.waiting.clear();
    worker.measure.run(worker.sorted.data(), worker.sorted.size(), [&](int32_t row, int32_t column, double distance) {
        offer(row, distance, stored_.row(column));
        if (rows_.self()) offer(column, distance, stored_.row(row));
    });
}

void DeferredJoin::offer(int64_t position, double distance, int64_t other) {
    const Coder& coder = stored_.coder();
    if (coder.radius_of(distance) > read_radius(radii_, position)) return;
    const int64_t list = rows_.row(position);
    const std::lock_guard lock(locks_[block_of_[position]]);
    if (!lists_.offer(list, {distance, static_cast<uint32_t>(other)})) return;
    const double worst = lists_.worst(list);
    if (worst < kNoNeighbour.distance) lower_radius(radii_, position, coder.radius_of(worst));
}

}  // namespace vicinal
