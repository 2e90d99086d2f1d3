// The distances of pairs that somebody else proposes, measured as the exact kernel measures its own.
#include <algorithm>
#include <limits>
#include <stdexcept>

#include "pool.hpp"
#include "rows.hpp"
#include "scan.hpp"

namespace vicinal {
namespace {

constexpr int64_t kAlone = 1 << 21;  // coordinates; below it, threads cost more than they bring

Sum sum_of(Metric metric) {
    switch (metric) {
        case Metric::inner_product: return Sum::products;
        case Metric::manhattan: return Sum::absolutes;
        case Metric::hamming: return Sum::differing_bits;
        case Metric::jaccard: return Sum::jaccard;
        default: return Sum::squares;
    }
}

}  // namespace

void measure_pairs(const Matrix& vectors, const double* inverse_norms, Metric metric, const Matrix& queries,
                   const int64_t* rows, int64_t m, int threads, const std::string& isa, double* ranks) {
    const RowOps& ops = *find_isa(isa).rows;
    if (queries.dim != vectors.dim) throw std::invalid_argument("queries have another dim than vectors");
    if ((metric == Metric::cosine) != (inverse_norms != nullptr)) {
        throw std::invalid_argument("inverse norms belong to cosine");
    }
    if (vectors.n_vectors >= std::numeric_limits<int32_t>::max()) throw std::invalid_argument("too many rows");
    const int64_t n = queries.n_vectors;
    if (std::any_of(rows, rows + n * m, [&](int64_t row) { return row >= vectors.n_vectors; })) {
        throw std::invalid_argument("a row is beyond the vectors");
    }
    const Rows stored{vectors, inverse_norms};
    const Sum sum = sum_of(metric);
    const auto one = [&](int64_t query, std::vector<double>& x, std::vector<int32_t>& there, std::vector<double>& out) {
        Rows asked{queries, nullptr};
        asked.matrix.data = asked.at(query);
        asked.matrix.n_vectors = 1;
        double inverse_norm = 0;
        if (metric == Metric::cosine) {
            inverse_norm = ops.inverse_norm(asked, 0);
            asked.inverse_norms = &inverse_norm;
        }
        ops.load(asked, 0, x.data());
        there.clear();
        for (int64_t j = 0; j < m; ++j) {
            if (rows[query * m + j] >= 0) there.push_back(static_cast<int32_t>(rows[query * m + j]));
        }
        out.resize(there.size());
        ops.measure(stored, sum, x.data(), there.data(), there.size(), out.data());
        size_t next = 0;
        for (int64_t j = 0; j < m; ++j) {
            double& rank = ranks[query * m + j];
            if (rows[query * m + j] < 0) {
                rank = std::numeric_limits<double>::infinity();
            } else {
                rank = metric == Metric::inner_product ? -out[next] : out[next];
                ++next;
            }
        }
    };
    const int64_t work = n * m * vectors.dim;
    const int64_t tasks = work < kAlone || threads == 1 ? 1 : std::min<int64_t>(n, 8 * std::max(1, threads));
    const auto part = [&](int, int64_t task) {
        std::vector<double> x(padded(vectors.dim, 8)), out;
        std::vector<int32_t> there;
        for (int64_t query = n * task / tasks; query < n * (task + 1) / tasks; ++query) one(query, x, there, out);
    };
    if (tasks == 1) {
        part(0, 0);
    } else {
        Pool pool(threads);
        pool.run(tasks, {}, part);
    }
}

}  // namespace vicinal
