// See order.hpp.
#include "order.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "stored.hpp"

namespace vicinal {
namespace {

constexpr int64_t kRowsAPivot = 192;
constexpr int64_t kPivotsHighest = 512;
constexpr int kChunk = 480;  // a multiple of kRowStep

// Each pivot followed by the nearest that is left.
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

// 0 for rows of about the usual peak; rows that ask for a much larger or smaller scale get blocks of their own.
int32_t magnitude(double peak, double usual) {
    if (!(usual > 0)) return 0;
    if (!(peak > 0)) return std::numeric_limits<int32_t>::min();
    const double steps = std::log2(peak / usual);
    if (!std::isfinite(steps)) return std::numeric_limits<int32_t>::max();
    return steps > 1 ? static_cast<int32_t>(std::ceil(steps)) : steps < -2 ? static_cast<int32_t>(std::floor(steps)) : 0;
}

double middle(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
    return values[values.size() / 2];
}

struct Place {
    int32_t magnitude;
    int32_t pivot;
    int32_t row;

    bool operator<(const Place& other) const {
        return std::tie(magnitude, pivot, row) < std::tie(other.magnitude, other.pivot, other.row);
    }
};

}  // namespace

std::vector<int32_t> order_by_pivots(const Rows& rows, const std::vector<int32_t>& which, const Coder& coder,
                                     const Isa& isa, Pool& pool, const Watch& watch) {
    const auto n = static_cast<int64_t>(which.size());
    const int pivots = static_cast<int>(std::min(n / kRowsAPivot, kPivotsHighest) / kPanel * kPanel);
    if (pivots == 0) return which;
    std::vector<int32_t> picked(pivots);
    for (int p = 0; p < pivots; ++p) picked[p] = which[p * n / pivots];
    std::vector<double> picked_peaks;
    for (int32_t row : picked) picked_peaks.push_back(coder.peak(rows, row));
    const double usual = middle(picked_peaks);

    CodedBlock columns;
    coder.code(rows, picked.data(), pivots, *std::max_element(picked_peaks.begin(), picked_peaks.end()), columns);
    const Panels panels(columns, layout_of(coder, rows.matrix.dim));
    const std::vector<double> radii(std::max(pivots, kChunk), 0);
    const auto score = [&](const CodedBlock& coded, std::vector<int32_t>& out) {
        const auto size = static_cast<int>(padded(coded.side.size, kRowStep));
        Keys row_keys(size), column_keys(pivots);
        coder.keys(coded.side, radii.data(), columns.side, radii.data(), row_keys, column_keys);
        out.resize(static_cast<size_t>(size) * pivots);
        for (int first = 0; first < pivots; first += kPanel) {
            const ScanJob job = {coded.codes.data(), coder.row_bytes(), size, panels.at(first / kPanel), panels.groups(),
                                 row_keys.base.data(), row_keys.floor.data(), &column_keys.base[first],
                                 &column_keys.floor[first]};
            coder.scan(isa).scores(job, out.data() + first, pivots);
        }
    };

    std::vector<int32_t> scores;
    score(columns, scores);
    const std::vector<int32_t> place = chain(scores, pivots);
    std::vector<Place> placed(n);
    pool.run((n + kChunk - 1) / kChunk, [&](int, int64_t task) {
        thread_local CodedBlock coded;
        thread_local std::vector<int32_t> own;
        const int64_t first = task * kChunk;
        const int count = static_cast<int>(std::min<int64_t>(kChunk, n - first));
        double peaks[kChunk];
        for (int i = 0; i < count; ++i) peaks[i] = coder.peak(rows, which[first + i]);
        coder.code(rows, &which[first], count, *std::max_element(peaks, peaks + count), coded);
        score(coded, own);
        for (int i = 0; i < count; ++i) {
            const int32_t* of_row = &own[static_cast<size_t>(i) * pivots];
            const auto nearest = std::max_element(of_row, of_row + pivots) - of_row;
            placed[first + i] = {magnitude(peaks[i], usual), place[nearest], which[first + i]};
        }
    }, watch);
    std::sort(placed.begin(), placed.end());
    std::vector<int32_t> order(n);
    for (int64_t i = 0; i < n; ++i) order[i] = placed[i].row;
    return order;
}

}  // namespace vicinal
