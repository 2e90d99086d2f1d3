// The end of a DeferredJoin: measures the pairs that wait and makes the lists.
#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>

#include "deferred_join.hpp"

namespace vicinal {
namespace {

constexpr int64_t kRange = 128;     // rows in a task
constexpr size_t kBatch = 1 << 16;  // pairs that are measured in a task at most
constexpr size_t kLeastBatch = 4096;

}  // namespace

// Calls use(worker, first, last) for ranges of positions.
template <class Use>
void DeferredJoin::each_range(Use&& use) {
    const int64_t n = rows_.size();
    context_.pool.run((n + kRange - 1) / kRange, context_.callbacks, [&](int worker, int64_t task) {
        use(workers_[worker], task * kRange, std::min(n, (task + 1) * kRange));
    });
}

void DeferredJoin::settle_all() {
    each_range([&](Worker&, int64_t first, int64_t last) {
        for (int64_t p = first; p < last; ++p) lower_radius(radii_, p, nearest_.highest(p));
    });
    context_.pool.run(context_.pool.threads(), context_.callbacks, [&](int, int64_t worker) {
        std::erase_if(workers_[worker].waiting, [&](const PendingPair& pair) { return !near_enough(pair); });
    });
    Measured measured;
    make_room(measured);
    measure_all(measured);
    std::vector<int64_t> missed;
    std::mutex mutex;
    each_range([&](Worker& worker, int64_t first, int64_t last) {
        for (int64_t p = first; p < last; ++p) {
            if (fill(worker, measured, p)) continue;
            const std::lock_guard lock(mutex);
            missed.push_back(p);
        }
    });
    if (missed.empty()) return;
    std::sort(missed.begin(), missed.end());
    repeat(missed);
}

// Makes room for the entries of each position.
void DeferredJoin::make_room(Measured& measured) const {
    auto& ends = measured.ends;
    ends.assign(rows_.size() + 1, 0);
    for (const Worker& worker : workers_) {
        for (const PendingPair& pair : worker.waiting) {
            ++ends[pair.row + 1];
            if (rows_.self()) ++ends[pair.column + 1];
        }
    }
    std::partial_sum(ends.begin(), ends.end(), ends.begin());
    measured.distances = std::make_unique_for_overwrite<double[]>(ends.back());
    measured.others = std::make_unique_for_overwrite<uint32_t[]>(ends.back());
}

// Measures all pairs that wait, and moves the ends of the entries of each position to where they begin: while entries
// are added, each end is where the next entry comes.
void DeferredJoin::measure_all(Measured& measured) {
    size_t n = 0;
    for (const Worker& worker : workers_) n += worker.waiting.size();
    const size_t batch = std::clamp(n / (8 * workers_.size()) + 1, kLeastBatch, kBatch);
    std::vector<std::pair<size_t, size_t>> tasks;  // a worker and its first pair
    for (size_t w = 0; w < workers_.size(); ++w) {
        for (size_t first = 0; first < workers_[w].waiting.size(); first += batch) tasks.emplace_back(w, first);
    }
    context_.pool.run(static_cast<int64_t>(tasks.size()), context_.callbacks, [&](int worker, int64_t task) {
        const auto [of, first] = tasks[task];
        const auto& waiting = workers_[of].waiting;
        measure(workers_[worker], waiting.data() + first, std::min(batch, waiting.size() - first), measured);
    });
    for (Worker& worker : workers_) worker.waiting = {};
}

// Sorts pairs by column, because those that were found one after the other have few rows and many columns: the rows
// stay in the cache.
void DeferredJoin::measure(Worker& worker, const PendingPair* pairs, size_t n, Measured& measured) {
    auto& starts = worker.starts;
    starts.assign(stored_.size() + 1, 0);
    for (size_t i = 0; i < n; ++i) ++starts[pairs[i].column + 1];
    std::partial_sum(starts.begin(), starts.end(), starts.begin());
    worker.sorted.resize(n);
    for (size_t i = 0; i < n; ++i) worker.sorted[starts[pairs[i].column]++] = pairs[i];
    const auto add = [&](int64_t position, double distance, int32_t other) {
        const uint32_t at = std::atomic_ref(measured.ends[position]).fetch_add(1, std::memory_order_relaxed);
        measured.distances[at] = distance;
        measured.others[at] = static_cast<uint32_t>(other);
    };
    worker.distances.resize(n);
    double* out = worker.distances.data();
    worker.measure.run_by_column(worker.sorted.data(), n, [&](int32_t, int32_t, double distance) {
        *out++ = distance < kInfinity ? distance : kInfinity;
    });
    for (size_t i = 0; i < n; ++i) {
        const auto [row, column, unused] = worker.sorted[i];
        add(row, worker.distances[i], stored_.row(column));
        if (rows_.self()) add(column, worker.distances[i], stored_.row(row));
    }
}

// Makes the list of a position. Returns false where the radius was too low, so that some of its pairs may be missing.
bool DeferredJoin::fill(Worker& worker, const Measured& measured, int64_t position) {
    const int64_t list = rows_.row(position);
    const double radius = read_radius(radii_, position);
    auto& entries = worker.entries;
    entries.clear();
    for (uint32_t i = position > 0 ? measured.ends[position - 1] : 0; i < measured.ends[position]; ++i) {
        entries.push_back({measured.distances[i], measured.others[i]});
    }
    lists_.fill(list, entries);
    const double worst = lists_.worst(list);
    return !(radius < kInfinity) || (worst < kInfinity && stored_.coder().radius_of(worst) <= radius);
}

}  // namespace vicinal
