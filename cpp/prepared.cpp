// See prepared.hpp.
#include "prepared.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "absolute_codes.hpp"
#include "bits_codes.hpp"
#include "dot_codes.hpp"

namespace vicinal {

static void check(const Matrix& m, Metric metric) {
    const bool bits = metric == Metric::hamming || metric == Metric::jaccard;
    if (bits && m.dtype != DType::u8)
        throw std::invalid_argument("vectors: expected packed bits as uint8, got another dtype");
    if (m.n_vectors < 0 || m.dim < 1)
        throw std::invalid_argument("vectors: expected at least one column, got " + std::to_string(m.dim));
    if (m.n_vectors >= std::numeric_limits<int32_t>::max())
        throw std::invalid_argument("vectors: expected fewer than 2^31 - 1 rows, got " + std::to_string(m.n_vectors));
}

Normalised::Normalised(const Matrix& matrix, Metric metric, const RowOps& ops, Pool& pool, const Callbacks& callbacks) {
    check(matrix, metric);
    rows.matrix = matrix;
    if (metric != Metric::cosine) return;
    const int64_t n = matrix.n_vectors, chunk = 256;
    inverse_norms.resize(n);
    pool.run((n + chunk - 1) / chunk, callbacks, [&](int, int64_t task) {
        for (int64_t i = task * chunk; i < std::min(n, (task + 1) * chunk); ++i) {
            inverse_norms[i] = ops.inverse_norm(rows, i);
        }
    });
    rows.inverse_norms = inverse_norms.data();
}

std::unique_ptr<Coder> make_coder(const Rows& rows, Metric metric, const RowOps& ops, bool coarse,
                                  const Sampled& sampled) {
    switch (metric) {
        case Metric::manhattan: return std::make_unique<AbsoluteCoder>(rows, ops);
        case Metric::hamming:
        case Metric::jaccard: return std::make_unique<BitsCoder>(rows, metric);
        default: return std::make_unique<DotCoder>(rows, metric, ops, coarse, sampled);
    }
}

}  // namespace vicinal
