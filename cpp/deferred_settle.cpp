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
        for (int64_t p = first; p < last; ++p) lower_radius(radii_, p, nearest_.highest(list_of_[p]));
    });
    context_.pool.run(context_.pool.threads(), context_.callbacks,
                      [&](int, int64_t worker) { prune(workers_[worker]); });
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
    measured.entries = std::make_unique_for_overwrite<Neighbour[]>(ends.back());
    ends.pop_back();
    measured.starts = ends;
}

// Measures all pairs that wait. While entries are added, each end is where the next entry comes.
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
    worker.distances.clear();
    worker.measure.run_by_column(worker.sorted.data(), n, [&](int32_t, int32_t, double distance) {
        worker.distances.push_back(distance < kInfinity ? distance : kInfinity);
    });
    const auto add = [&](int64_t position, double radius, double distance, int32_t other) {
        if (!(radius <= read_radius(radii_, position))) return;
        const uint32_t at = std::atomic_ref(measured.ends[position]).fetch_add(1, std::memory_order_relaxed);
        measured.entries[at] = {distance, static_cast<uint32_t>(other)};
    };
    for (size_t i = 0; i < n; ++i) {
        const auto [row, column, unused] = worker.sorted[i];
        const double distance = worker.distances[i], radius = stored_.coder().radius_of(distance);
        add(row, radius, distance, stored_.row(column));
        if (rows_.self()) add(column, radius, distance, stored_.row(row));
    }
}

// Makes the list of a position. Returns false where the radius was too low, so that some of its pairs may be missing.
bool DeferredJoin::fill(Worker& worker, Measured& measured, int64_t position) {
    const int64_t list = rows_.row(position);
    Neighbour* first = &measured.entries[measured.starts[position]];
    Neighbour* last = &measured.entries[measured.ends[position]];
    if (settled_) {
        lists_.sorted(list, worker.entries);
        worker.entries.insert(worker.entries.end(), first, last);
        first = worker.entries.data();
        last = first + worker.entries.size();
    }
    lists_.fill(list, first, last);
    const double worst = lists_.worst(list), radius = read_radius(radii_, position);
    return !(radius < kInfinity) || (worst < kInfinity && stored_.coder().radius_of(worst) <= radius);
}

}  // namespace vicinal
