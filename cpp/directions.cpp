// See directions.hpp.
#include "directions.hpp"

#include <algorithm>
#include <cmath>

#include "columns.hpp"

namespace vicinal {
namespace {

constexpr int64_t kSample = 2048, kFewer = 1024;  // rows of a sample, and of one of a small set
constexpr int kIterations = 3;                    // one less of a small set
constexpr int64_t kFew = 32768;                   // rows of a small set, in which the time for directions shows
constexpr int64_t kChunk = 64;                    // rows in a task
constexpr int64_t kBatch = 32;                    // coordinates in a task

}  // namespace

Directions::Directions(const Stored& stored, int columns, const RowOps& ops, Pool& pool, const Callbacks& callbacks)
    : coder_(*stored.coder().centred_coder()),
      ops_(ops),
      pool_(pool),
      callbacks_(callbacks),
      columns_(columns),
      dim_(stored.rows().matrix.dim),
      stride_(padded(dim_, 8)),
      values_(dim_ * columns) {
    const int64_t n = stored.size();
    const bool few = n < kFew;
    const int64_t sampled = few ? std::min(n, kFewer) : std::min(kSample, n / 32);
    std::vector<float> sample(sampled * stride_), products;
    pool.run((sampled + kChunk - 1) / kChunk, callbacks, [&](int, int64_t task) {
        for (int64_t i = task * kChunk; i < std::min(sampled, (task + 1) * kChunk); ++i) {
            read(stored.rows(), stored.row(i * n / sampled), &sample[i * stride_]);
        }
    });
    uint64_t state = 1;
    for (float& value : values_) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        value = static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-31f;
    }
    for (int i = few; i < kIterations; ++i) {
        project(sample, sampled, products);
        std::vector<float> next(values_.size());
        project_across(sample, sampled, products, next);
        values_.swap(next);
        orthonormalise();
    }
}

void Directions::read(const Rows& rows, int64_t row, float* out) const {
    coder_.centred(rows, row, out);
    for (int64_t c = 0; c < dim_; ++c) {
        if (!(std::abs(out[c]) < 1e6f)) out[c] = 0;
    }
}

void Directions::project(const std::vector<float>& x, int64_t n, std::vector<float>& out) const {
    out.resize(n * columns_);
    pool_.run((n + kChunk - 1) / kChunk, callbacks_, [&](int, int64_t task) {
        const int64_t first = task * kChunk;
        ops_.project_fused(&x[first * stride_], std::min(kChunk, n - first), stride_, dim_, values_.data(), columns_,
                           &out[first * columns_]);
    });
}

// The product of the transposed sample and `products`: one step of orthogonal iteration.
void Directions::project_across(const std::vector<float>& sample, int64_t sampled, const std::vector<float>& products,
                                std::vector<float>& out) const {
    pool_.run((dim_ + kBatch - 1) / kBatch, callbacks_, [&](int, int64_t task) {
        const int64_t first = task * kBatch, n = std::min(kBatch, dim_ - first);
        std::vector<float> across(n * sampled);
        for (int64_t i = 0; i < sampled; ++i) {
            for (int64_t c = 0; c < n; ++c) across[c * sampled + i] = sample[i * stride_ + first + c];
        }
        ops_.project_fused(across.data(), n, sampled, sampled, products.data(), columns_, &out[first * columns_]);
    });
}

// By the Cholesky factor L of the Gram matrix: the columns times the transposed inverse of L are orthonormal.
void Directions::orthonormalise() {
    constexpr double kDependent = 1e-6;
    const int64_t m = columns_, dim = dim_;
    std::vector<float>& directions = values_;
    std::vector<float> across(m * dim), gram(m * m), factor(m * m), out(directions.size());
    for (int64_t c = 0; c < dim; ++c) {
        for (int64_t j = 0; j < m; ++j) across[j * dim + c] = directions[c * m + j];
    }
    ops_.project_fused(across.data(), m, dim, dim, directions.data(), m, gram.data());
    std::vector<double> lower(m * m), inverse(m * m);
    for (int64_t j = 0; j < m; ++j) {
        double* own = &lower[j * m];
        for (int64_t i = 0; i < j; ++i) {
            const double diagonal = lower[i * m + i];
            own[i] = diagonal > 0 ? (gram[j * m + i] - product(own, &lower[i * m], i)) / diagonal : 0;
        }
        const double square = gram[j * m + j] - product(own, own, j);
        if (!(square > kDependent * gram[j * m + j])) {  // the column depends on those before it, and becomes zero
            std::fill_n(own, j, 0.0);
            continue;
        }
        own[j] = std::sqrt(square);
        double* row = &inverse[j * m];
        row[j] = 1;
        for (int64_t i = 0; i < j; ++i) subtract(own[i], &inverse[i * m], row, i + 1);
        for (int64_t i = 0; i <= j; ++i) factor[i * m + j] = static_cast<float>(row[i] /= own[j]);
    }
    ops_.project_fused(directions.data(), dim, m, m, factor.data(), m, out.data());
    directions.swap(out);
}

}  // namespace vicinal
