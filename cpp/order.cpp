// See order.hpp.
#include "order.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "stored.hpp"

namespace vicinal {
namespace {

constexpr int64_t kRowsAPivot = 192;
constexpr int64_t kMaxPivots = 512;
constexpr int kChunk = 480;  // rows in a task; a multiple of kRowStep

// Sorts the pivots into a chain: each is followed by the nearest of those left. Returns the place of each.
std::vector<int32_t> chain(const std::vector<int32_t>& scores, int pivots) {
    std::vector<int32_t> place(pivots);
    std::vector<bool> used(pivots);
    int at = 0;
    for (int step = 0; step < pivots; ++step) {
        used[at] = true;
        place[at] = step;
        int nearest = at;
        int32_t highest = std::numeric_limits<int32_t>::min();
        for (int other = 0; other < pivots; ++other) {
            const int32_t score = scores[static_cast<size_t>(at) * pivots + other];
            if (!used[other] && score >= highest) {
                highest = score;
                nearest = other;
            }
        }
        at = nearest;
    }
    return place;
}

// Magnitude classes of rows. Where nearly all rows have similar peaks, only those with a much larger or smaller peak
// are separated; where peaks vary widely, classes are steps of half a power of two.
struct Magnitudes {
    double usual;
    bool spread;

    explicit Magnitudes(std::vector<double> peaks) {
        const auto ranked = [&](size_t rank) {
            std::nth_element(peaks.begin(), peaks.begin() + static_cast<int64_t>(rank), peaks.end());
            return peaks[rank];
        };
        usual = ranked(peaks.size() / 2);
        spread = ranked(peaks.size() * 9 / 10) > 8 * ranked(peaks.size() / 10);
    }

    int32_t of(double peak) const {
        if (!(usual > 0)) return 0;
        if (!(peak > 0)) return std::numeric_limits<int32_t>::min();
        const double steps = std::log2(peak / usual);
        if (!std::isfinite(steps)) return std::numeric_limits<int32_t>::max();
        if (spread) return static_cast<int32_t>(std::floor(2 * steps));
        return steps > 1    ? static_cast<int32_t>(std::ceil(steps))
               : steps < -2 ? static_cast<int32_t>(std::floor(steps))
                            : 0;
    }
};

constexpr int64_t kSteps = 4;  // of magnitude that a block may span where peaks vary widely

struct Place {
    int32_t magnitude;
    int32_t pivot;
    int32_t row;
    double peak;
};

// Sorts places, which are in the order of their rows, by magnitude and pivot.
void sort_places(std::vector<Place>& placed, int pivots) {
    std::map<int32_t, int64_t> magnitudes;
    for (const Place& one : placed) magnitudes.try_emplace(one.magnitude);
    int64_t classes = 0;
    for (auto& [magnitude, number] : magnitudes) number = classes++;
    pivots = std::max(pivots, 1);
    const auto class_of = [&](const Place& one) { return magnitudes[one.magnitude] * pivots + one.pivot; };
    std::vector<int64_t> next(classes * pivots + 1);
    for (const Place& one : placed) ++next[class_of(one) + 1];
    std::partial_sum(next.begin(), next.end(), next.begin());
    std::vector<Place> sorted(placed.size());
    for (const Place& one : placed) sorted[next[class_of(one)]++] = one;
    placed.swap(sorted);
}

// The place of the first highest of n scores, a multiple of kLanes.
int first_highest(const int32_t* scores, int n) {
    constexpr int kLanes = 16;  // compared at once
    static_assert(kPanel % kLanes == 0);
    int32_t highest[kLanes];
    std::copy_n(scores, kLanes, highest);
    for (int i = kLanes; i < n; i += kLanes) {
        for (int lane = 0; lane < kLanes; ++lane) highest[lane] = std::max(highest[lane], scores[i + lane]);
    }
    const int32_t most = *std::max_element(highest, highest + kLanes);
    return static_cast<int>(std::find(scores, scores + n, most) - scores);
}

// Sets the pivot of each row: the place of the nearest pivot in the chain.
void place_by_pivots(const Rows& rows, const std::vector<int32_t>& which, int region, const std::vector<double>& peaks,
                     int pivots, const Coder& coder, const Isa& isa, Pool& pool, const Callbacks& callbacks,
                     std::vector<Place>& placed) {
    const auto n = static_cast<int64_t>(which.size());
    std::vector<int32_t> picked(pivots);
    double highest = 0;
    for (int p = 0; p < pivots; ++p) {
        picked[p] = which[p * n / pivots];
        highest = std::max(highest, peaks[p * n / pivots]);
    }
    CodedBlock columns;
    coder.encode(rows, picked.data(), pivots, region, highest, columns);
    const Panels panels(columns, layout_of(coder, rows.matrix.dim));
    const std::vector<double> radii(std::max(pivots, kChunk), 0);
    const auto score = [&](const CodedBlock& coded, std::vector<int32_t>& out) {
        const auto size = static_cast<int>(padded(coded.stats.size, kRowStep));
        Thresholds row_thresholds(size), column_thresholds(pivots);
        coder.thresholds(coded.stats, radii.data(), columns.stats, radii.data(), row_thresholds, column_thresholds);
        out.resize(static_cast<size_t>(size) * pivots);
        for (int first = 0; first < pivots; first += kPanel) {
            const ScanJob job = {coded.codes.data(),
                                 coder.row_bytes(),
                                 size,
                                 panels.at(first / kPanel),
                                 panels.groups(),
                                 row_thresholds.base.data(),
                                 row_thresholds.least_score.data(),
                                 &column_thresholds.base[first],
                                 &column_thresholds.least_score[first]};
            coder.scan(isa).scores(job, out.data() + first, pivots);
        }
    };

    std::vector<int32_t> scores;
    score(columns, scores);
    const std::vector<int32_t> place = chain(scores, pivots);
    pool.run((n + kChunk - 1) / kChunk, callbacks, [&](int, int64_t task) {
        CodedBlock coded;
        std::vector<int32_t> own;
        const int64_t first = task * kChunk;
        const int count = static_cast<int>(std::min<int64_t>(kChunk, n - first));
        coder.encode(rows, &which[first], count, region, *std::max_element(&peaks[first], &peaks[first] + count),
                     coded);
        score(coded, own);
        for (int i = 0; i < count; ++i) {
            const int32_t* row_scores = &own[static_cast<size_t>(i) * pivots];
            placed[first + i].pivot = place[first_highest(row_scores, pivots)];
        }
    });
}

Order order_region(const Rows& rows, const std::vector<int32_t>& which, int region, const Coder& coder, const Isa& isa,
                   Pool& pool, const Callbacks& callbacks) {
    const auto n = static_cast<int64_t>(which.size());
    if (n == 0) return {};
    const int pivots = static_cast<int>(std::min(n / kRowsAPivot, kMaxPivots) / kPanel * kPanel);
    std::vector<double> peaks(n);
    pool.run((n + kChunk - 1) / kChunk, callbacks, [&](int, int64_t task) {
        for (int64_t i = task * kChunk; i < std::min(n, (task + 1) * kChunk); ++i)
            peaks[i] = coder.peak(rows, which[i], region);
    });
    const Magnitudes magnitudes(peaks);
    std::vector<Place> placed(n);
    for (int64_t i = 0; i < n; ++i) placed[i] = {magnitudes.of(peaks[i]), 0, which[i], peaks[i]};
    if (pivots > 0) place_by_pivots(rows, which, region, peaks, pivots, coder, isa, pool, callbacks, placed);
    sort_places(placed, pivots);
    Order order;
    order.rows.resize(n);
    order.peaks.resize(n);
    for (int64_t i = 0, first = 0; i < n; ++i) {
        order.rows[i] = placed[i].row;
        order.peaks[i] = placed[i].peak;
        if (!magnitudes.spread || int64_t{placed[i].magnitude} - placed[first].magnitude < kSteps) continue;
        order.breaks.push_back(i);
        first = i;
    }
    return order;
}

}  // namespace

Order order_by_pivots(const Rows& rows, const std::vector<int32_t>& which, const Coder& coder, const Isa& isa,
                      Pool& pool, const Callbacks& callbacks) {
    if (coder.regions() == 1) return order_region(rows, which, 0, coder, isa, pool, callbacks);
    std::vector<std::vector<int32_t>> of_region(coder.regions());
    for (int32_t row : which) of_region[coder.region(rows, row)].push_back(row);
    Order order;
    for (int region = 0; region < coder.regions(); ++region) {
        const Order part = order_region(rows, of_region[region], region, coder, isa, pool, callbacks);
        const auto first = static_cast<int64_t>(order.rows.size());
        order.breaks.push_back(first);
        for (int64_t at : part.breaks) order.breaks.push_back(first + at);
        order.rows.insert(order.rows.end(), part.rows.begin(), part.rows.end());
        order.peaks.insert(order.peaks.end(), part.peaks.begin(), part.peaks.end());
    }
    return order;
}

}  // namespace vicinal
