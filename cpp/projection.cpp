// See projection.hpp.
#include "projection.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "columns.hpp"
#include "panels.hpp"

namespace vicinal {
namespace {

using Columns = std::vector<double>;  // columns of `dim` values, one after the other

double frobenius(const Columns& a) { return std::sqrt(product(a.data(), a.data(), static_cast<int64_t>(a.size()))); }

Columns squared(const Columns& a, int m) {  // of a symmetric matrix
    Columns out(static_cast<size_t>(m) * m);
    for (int i = 0; i < m; ++i) {
        for (int j = 0; j <= i; ++j) out[i * m + j] = out[j * m + i] = product(&a[i * m], &a[j * m], m);
    }
    return out;
}

// An upper bound of the largest eigenvalue of a Gram matrix.
double largest_eigenvalue(const Columns& gram, int m) {
    double trace = 0;
    for (int i = 0; i < m; ++i) trace += gram[i * m + i];
    if (!(trace > 0)) return 0;
    Columns near = gram;
    for (double& value : near) value *= m / trace;
    for (int i = 0; i < m; ++i) near[i * m + i] -= 1;
    const double off = std::pow(frobenius(squared(squared(near, m), m)), 0.25);
    if (off < 0.25) return trace / m * (1 + off) * (1 + 1e-9);
    Columns power = gram;
    for (double& value : power) value /= trace;
    for (int i = 0; i < 4; ++i) power = squared(power, m);
    return trace * std::pow(frobenius(power), 1.0 / 16) * (1 + 1e-9);
}

// A cosine transform of the shuffled columns from `first` on: each of the m new columns, written to `out`, combines all
// of them.
void mix(const std::vector<float>& directions, int64_t dim, int columns, int first, int m, double* out) {
    std::vector<int> shuffled(m);
    std::iota(shuffled.begin(), shuffled.end(), first);
    uint64_t state = 1;
    for (int j = m - 1; j > 0; --j) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        std::swap(shuffled[j], shuffled[(state >> 33) % (j + 1)]);
    }
    std::vector<double> own(dim);
    for (int k = 0; k < m; ++k) {
        for (int64_t c = 0; c < dim; ++c) own[c] = directions[c * columns + shuffled[k]];
        for (int j = 0; j < m; ++j) {
            const double share = std::sqrt((k ? 2.0 : 1.0) / m) * std::cos(std::numbers::pi * (j + 0.5) * k / m);
            subtract(-share, own.data(), out + j * dim, dim);
        }
    }
}

// Columns of `dim` values as rows of whole numbers of a byte.
std::vector<int8_t> rounded(const Columns& columns, int64_t dim, int n) {
    const int64_t row_bytes = padded(dim, kRowAlign);
    std::vector<int8_t> out(coded_rows(n) * row_bytes);
    double peak = 0;
    for (const double value : columns) peak = std::max(peak, std::abs(value));
    if (!(peak > 0)) return out;
    for (int j = 0; j < n; ++j) {
        for (int64_t c = 0; c < dim; ++c) {
            out[j * row_bytes + c] = static_cast<int8_t>(std::round(columns[j * dim + c] / peak * 127));
        }
    }
    return out;
}

// The products of all pairs of rows.
Columns gram_of(const std::vector<int8_t>& rows, int64_t dim, int n, const ScanOps& scan) {
    const int64_t row_bytes = padded(dim, kRowAlign), all = padded(n, kRowStep), stride = padded(n, kPanel);
    Panels panels(stride / kPanel, {padded(dim, 4), row_bytes, 4, 128});
    panels.pack(0, rows.data(), n);
    const std::vector<int32_t> none(std::max<int64_t>(all, kPanel));
    std::vector<int32_t> raised(all * stride);
    for (int64_t first = 0; first < stride; first += kPanel) {
        const ScanJob job = {rows.data(),     row_bytes,   static_cast<int>(all), panels.at(first / kPanel),
                             panels.groups(), none.data(), none.data(),           none.data(),
                             none.data()};
        scan.scores(job, raised.data() + first, stride);
    }
    Columns gram(static_cast<size_t>(n) * n);
    for (int i = 0; i < n; ++i) {
        const int8_t* own = &rows[i * row_bytes];
        const int32_t offset = 128 * std::accumulate(own, own + dim, 0);
        for (int j = 0; j < n; ++j) gram[i * n + j] = raised[i * stride + j] - offset;
    }
    return gram;
}

}  // namespace

Projection::Projection(const std::vector<float>& directions, int64_t dim, int columns, std::vector<Size> sizes,
                       const ScanOps& scan)
    : dim_(dim),
      sizes_(std::move(sizes)),
      columns_(static_cast<int>(padded(kept(), kProjected))),
      pairs_(padded(dim, 8) / 2 * columns_) {
    const int kept = this->kept();
    Columns chosen(dim * kept);
    for (int first = 0; const Size& size : sizes_) {
        mix(directions, dim, columns, first, size.columns - first, &chosen[first * dim]);
        first = size.columns;
    }
    const std::vector<int8_t> rows = rounded(chosen, dim, kept);
    for (int j = 0; j < kept; ++j) {
        double square = 0;
        for (int64_t c = 0; c < dim; ++c) {
            const int32_t value = rows[j * padded(dim, kRowAlign) + c];
            int32_t& pair = pairs_[c / 2 * columns_ + j];
            pair |= c % 2 ? value << 16 : value & 0xffff;
            square += value * value;
        }
        longest_ = std::max(longest_, std::sqrt(square));
    }
    const double largest = largest_eigenvalue(gram_of(rows, dim, kept, scan), kept);
    if (!(largest > 0)) return;
    unit_ = static_cast<float>(1 / std::sqrt(largest) * (1 - 0x1p-22));  // still below when rounded
}

float Projection::scale(double peak, double length) const {
    // A sum is at most longest_ |z|, and |z| at most |y| / s + sqrt(dim).
    const double most = 0x1p31 - longest_ * std::sqrt(static_cast<double>(dim_));
    return static_cast<float>(std::max({peak / 32767, length * longest_ / most, 0x1p-100}) * (1 + 0x1p-20));
}

double Projection::error(float scale, double length) const {
    // A coordinate is rounded by half of the scale, and before that in the product with 1 / s and the sum with 2^23.
    return 0.51 * scale * std::sqrt(static_cast<double>(dim_)) + length * 0x1p-22;
}

void Projection::project(const RowOps& ops, const float* rows, int64_t n, const float* scales,
                         std::vector<float>& out) const {
    const int64_t stride = padded(dim_, 8);
    thread_local std::vector<int32_t> whole, sums;
    whole.resize(n * stride / 2);
    sums.resize(n * columns_);
    for (int64_t i = 0; i < n; ++i) {
        ops.round_rows(rows + i * stride, stride, 1 / scales[i],
                       reinterpret_cast<int16_t*>(whole.data() + i * stride / 2));
    }
    ops.project_pairs(whole.data(), n, stride / 2, stride / 2, pairs_.data(), columns_, sums.data());
    out.resize(n * columns_);
    for (int64_t i = 0; i < n; ++i) {
        const float unit = unit_ * scales[i];
        for (int64_t j = 0; j < columns_; ++j) {
            out[i * columns_ + j] = static_cast<float>(sums[i * columns_ + j]) * unit;
        }
    }
}

}  // namespace vicinal
