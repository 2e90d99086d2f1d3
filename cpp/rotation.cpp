// See rotation.hpp.
#include "rotation.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

namespace vicinal {
namespace {

using Columns = std::vector<double>;  // columns of `dim` values, one after the other

double product(const double* a, const double* b, int64_t n) {
    double lanes[8] = {};
    int64_t c = 0;
    for (; c + 8 <= n; c += 8) {
        for (int l = 0; l < 8; ++l) lanes[l] += a[c + l] * b[c + l];
    }
    for (; c < n; ++c) lanes[0] += a[c] * b[c];
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

void subtract(double factor, const double* x, double* from, int64_t n) {
    for (int64_t c = 0; c < n; ++c) from[c] -= factor * x[c];
}

double frobenius(const Columns& a) { return std::sqrt(product(a.data(), a.data(), static_cast<int64_t>(a.size()))); }

Columns gram(const Columns& a, int64_t dim, int m) {
    Columns out(static_cast<size_t>(m) * m);
    for (int i = 0; i < m; ++i) {
        for (int j = 0; j <= i; ++j) out[i * m + j] = out[j * m + i] = product(&a[i * dim], &a[j * dim], dim);
    }
    return out;
}

// |A| <= (tr (A'A)^4)^(1/8) = |(A'A)^2|_F^(1/4).
double spectral(const Columns& a, int64_t dim, int m) {
    const Columns once = gram(a, dim, m);
    return std::pow(frobenius(gram(once, m, m)), 0.25) * (1 + 1e-9);
}

// A cosine transform of the shuffled columns: each new column combines all of them.
Columns mixed(const std::vector<float>& directions, int64_t dim, int columns, int m) {
    std::vector<int> shuffled(m);
    std::iota(shuffled.begin(), shuffled.end(), 0);
    uint64_t state = 1;
    for (int j = m - 1; j > 0; --j) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        std::swap(shuffled[j], shuffled[(state >> 33) % (j + 1)]);
    }
    Columns out(dim * m);
    std::vector<double> own(dim);
    for (int k = 0; k < m; ++k) {
        for (int64_t c = 0; c < dim; ++c) own[c] = directions[c * columns + shuffled[k]];
        for (int j = 0; j < m; ++j) {
            const double share = std::sqrt((k ? 2.0 : 1.0) / m) * std::cos(std::numbers::pi * (j + 0.5) * k / m);
            subtract(-share, own.data(), &out[j * dim], dim);
        }
    }
    return out;
}

// The vectors of the Householder reflections that map the columns to the coordinates from `first` on.
Columns reflections(Columns columns, int64_t dim, int64_t first, int m) {
    Columns roots(columns.size());
    for (int j = 0; j < m; ++j) {
        double* root = &roots[j * dim];
        std::copy_n(&columns[j * dim], dim, root);
        std::fill(root + first, root + first + j, 0.0);
        const double length = std::sqrt(product(root, root, dim));
        if (!(length > 1e-30)) {
            std::fill(root, root + dim, 0.0);
            continue;
        }
        root[first + j] += root[first + j] < 0 ? -length : length;
        const double scale = std::sqrt(2 / product(root, root, dim));
        for (int64_t c = 0; c < dim; ++c) root[c] *= scale;
        for (int k = j + 1; k < m; ++k) subtract(product(root, &columns[k * dim], dim), root, &columns[k * dim], dim);
    }
    return roots;
}

// W = Y T', where T makes Q = I - Y T Y' for the reflection vectors Y.
Columns weights(const Columns& roots, int64_t dim, int m) {
    const Columns products = gram(roots, dim, m);
    Columns t(static_cast<size_t>(m) * m);  // t[i * m + j]
    for (int j = 0; j < m; ++j) {
        t[j * m + j] = 1;
        for (int i = 0; i < j; ++i) {
            double sum = 0;
            for (int k = i; k < j; ++k) sum += t[i * m + k] * products[k * m + j];
            t[i * m + j] = -sum;
        }
    }
    Columns out(roots.size());
    for (int i = 0; i < m; ++i) {
        for (int j = i; j < m; ++j) subtract(-t[i * m + j], &roots[j * dim], &out[i * dim], dim);
    }
    return out;
}

}  // namespace

void orthonormalise(std::vector<float>& directions, int64_t dim, int columns) {
    Columns own(dim * columns);
    for (int j = 0; j < columns; ++j) {
        double* x = &own[j * dim];
        for (int64_t c = 0; c < dim; ++c) x[c] = directions[c * columns + j];
        for (int i = 0; i < j; ++i) subtract(product(x, &own[i * dim], dim), &own[i * dim], x, dim);
        const double square = product(x, x, dim), inverse = square > 0 ? 1 / std::sqrt(square) : 0;
        for (int64_t c = 0; c < dim; ++c) x[c] *= inverse;
    }
    for (int j = 0; j < columns; ++j) {
        for (int64_t c = 0; c < dim; ++c) directions[c * columns + j] = static_cast<float>(own[j * dim + c]);
    }
}

Rotation::Rotation(const std::vector<float>& directions, int64_t dim, int columns, int kept, double typical_remainder)
    : dim_(dim),
      kept_(kept),
      columns_(static_cast<int>(padded(kept, kProjected))),
      typical_remainder_(typical_remainder),
      directions_(dim * columns_),
      roots_(dim * columns_),
      weights_(columns_ * dim_padded()) {
    Columns chosen = mixed(directions, dim, columns, kept);
    for (int j = 0; j < kept; ++j) {
        for (int64_t c = 0; c < dim; ++c) directions_[c * columns_ + j] = static_cast<float>(chosen[j * dim + c]);
    }
    const Columns y = reflections(std::move(chosen), dim, first(), kept), w = weights(y, dim, kept);
    double y_squares = 0, w_squares = 0;
    for (int j = 0; j < kept; ++j) {
        for (int64_t c = 0; c < dim; ++c) {
            const int64_t at = j * dim + c;
            const float root = roots_[c * columns_ + j] = static_cast<float>(y[at]);
            const float weight = weights_[j * dim_padded() + c] = static_cast<float>(w[at]);
            y_squares += (y[at] - root) * (y[at] - root);
            w_squares += (w[at] - weight) * (w[at] - weight);
        }
    }
    const double y_lost = std::sqrt(y_squares), w_lost = std::sqrt(w_squares);
    const auto off = [](double n) { return (66 + n / 64) * 0x1p-24 * (1 + 0x1p-10); };
    const double y_length = spectral(y, dim, kept), w_length = spectral(w, dim, kept);
    error_ = w_lost * (y_length + y_lost) + w_length * y_lost +
             (1 + 0x1p-10) *
                 (w_length * off(static_cast<double>(dim)) * frobenius(y) + off(kept) * frobenius(w) * y_length) +
             4 * 0x1p-24 * (1 + w_length * y_length) + 1e-9;
}

void Rotation::rotate(const RowOps& ops, const float* x, int64_t n, int64_t stride, float* out) const {
    thread_local std::vector<float> products;
    products.resize(n * columns_);
    ops.project_fused(x, n, stride, dim_, roots_.data(), columns_, products.data());
    ops.project_fused(products.data(), n, columns_, columns_, weights_.data(), dim_padded(), out);
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t c = 0; c < dim_; ++c) out[i * dim_padded() + c] = x[i * stride + c] - out[i * dim_padded() + c];
    }
}

}  // namespace vicinal
