// See centre.hpp.
#include "centre.hpp"

#include <numeric>

namespace vicinal {
namespace {

constexpr double kFarOut = 8;       // times the median distance; rows beyond it are outliers
constexpr double kWidest = 0x1p40;  // largest coordinate after scaling, outliers included
// Seeds of regions are picked one after the other, each far from those before it (the farthest sample may be outliers),
// until nearly all of the sample is close to a seed.
constexpr int64_t kRegionSample = 256;
constexpr size_t kMostRegions = 8;
constexpr double kNearlyAll = 0.9;
constexpr double kNext = 0.95;
constexpr double kTight = 1.0 / 8;  // a region is at most so wide, as a share of the least distance between seeds

struct Sample {
    int64_t size, width;
    std::vector<double> values;

    Sample(const Rows& rows, const RowOps& ops, int64_t most)
        : size(std::min(rows.matrix.n_vectors, most)), width(padded(rows.matrix.dim, 8)), values(size * width) {
        for (int64_t i = 0; i < size; ++i) ops.load(rows, i * rows.matrix.n_vectors / size, &values[i * width]);
    }
    const double* at(int64_t i) const { return &values[i * width]; }
};

double distance(const double* x, const double* y, int64_t width) {
    double lanes[4] = {};
    for (int64_t c = 0; c < width; c += 4) {
        for (int l = 0; l < 4; ++l) lanes[l] += (x[c + l] - y[c + l]) * (x[c + l] - y[c + l]);
    }
    return std::sqrt((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]));
}

double median(std::vector<double>& values) {
    const auto half = values.begin() + static_cast<int64_t>(values.size() / 2);
    std::nth_element(values.begin(), half, values.end());
    return *half;
}

}  // namespace

Centre find_centre(const Rows& rows, const RowOps& ops, const Sampled& sampled) {
    const Sample sample(rows, ops, sampled.medians);
    Centre result;
    result.centre.resize(sample.width);
    if (sample.size == 0) return result;
    std::vector<double> medians(sample.width), values(sample.size);
    for (int64_t c = 0; c < sample.width; ++c) {
        for (int64_t i = 0; i < sample.size; ++i) values[i] = std::isfinite(sample.at(i)[c]) ? sample.at(i)[c] : 0;
        medians[c] = median(values);
    }
    for (int64_t i = 0; i < sample.size; ++i) {
        values[i] = distance(sample.at(i), medians.data(), sample.width);
        if (!std::isfinite(values[i])) values[i] = std::numeric_limits<double>::infinity();
    }
    const double limit = kFarOut * median(values);
    // The mean is nearer to the rows than the median of each coordinate.
    const int64_t n = rows.matrix.n_vectors, size = std::min(n, sampled.means);
    std::vector<double> x(sample.width), sum(sample.width);
    int64_t taken = 0;
    for (int64_t i = 0; i < size; ++i) {
        ops.load(rows, i * n / size, x.data());
        if (!(distance(x.data(), medians.data(), sample.width) <= limit)) continue;
        ++taken;
        for (int64_t c = 0; c < sample.width; ++c) sum[c] += x[c];
    }
    for (int64_t c = 0; c < sample.width; ++c) {
        const double mean = taken ? sum[c] / static_cast<double>(taken) : medians[c];
        result.centre[c] = std::isfinite(mean) ? mean : 0;
    }
    std::vector<double> peaks;
    double highest = 0;
    for (int64_t i = 0; i < size; ++i) {
        const double peak = ops.peak(rows, i * n / size, result.centre.data());
        if (!std::isfinite(peak)) continue;
        peaks.push_back(peak);
        highest = std::max(highest, peak);
    }
    if (highest > 0) {
        const double usual = std::max(median(peaks), highest / kWidest);
        result.factor = std::ldexp(1.0, -std::clamp(std::ilogb(usual), -400, 1000));
    }
    return result;
}

std::vector<std::vector<double>> find_regions(const Rows& rows, const RowOps& ops) {
    if (rows.matrix.n_vectors < kRegionSample) return {};
    const Sample sample(rows, ops, kRegionSample);
    const int64_t sampled = sample.size, width = sample.width;
    for (double value : sample.values) {
        if (!(std::abs(value) < 1e140)) return {};
    }
    const auto at = [&](int64_t i) { return sample.at(i); };
    std::vector<double> nearest(sampled, std::numeric_limits<double>::infinity());
    std::vector<size_t> of(sampled);
    size_t seeds = 0;
    double apart = std::numeric_limits<double>::infinity();
    for (int64_t seed = 0; seeds < kMostRegions; ++seeds) {
        for (int64_t i = 0; i < sampled; ++i) {
            const double own = distance(at(i), at(seed), width);
            if (own >= nearest[i]) continue;
            nearest[i] = own;
            of[i] = seeds;
        }
        std::vector<int64_t> order(sampled);
        std::iota(order.begin(), order.end(), 0);
        std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return nearest[a] < nearest[b]; });
        const auto rank = [&](double share) {
            return order[static_cast<int64_t>(share * static_cast<double>(sampled))];
        };
        if (seeds > 0 && nearest[rank(kNearlyAll)] <= kTight * apart) {
            std::vector<std::vector<double>> centres;
            for (size_t s = 0; s <= seeds; ++s) {
                std::vector<double> centre(width), values;
                for (int64_t c = 0; c < width; ++c) {
                    values.clear();
                    for (int64_t i = 0; i < sampled; ++i) {
                        if (of[i] == s) values.push_back(at(i)[c]);
                    }
                    centre[c] = median(values);
                }
                centres.push_back(centre);
            }
            return centres;
        }
        seed = rank(kNext);
        apart = std::min(apart, nearest[seed]);
        if (!(apart > 0)) return {};
    }
    return {};
}

}  // namespace vicinal
