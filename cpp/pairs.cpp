// Exact ranks of named pairs, computed as in a join, for indexes that propose neighbours in another way.
#include <algorithm>
#include <limits>
#include <stdexcept>

#include "pool.hpp"
#include "rows.hpp"
#include "scan.hpp"

namespace vicinal {
namespace {

constexpr int64_t kSerialWork = 1 << 21;  // coordinates; below it, one thread is faster
constexpr int64_t kFetched = 1 << 17;     // bytes of the rows of a query that are fetched during the query before

Sum sum_of(Metric metric) {
    switch (metric) {
        case Metric::inner_product: return Sum::products;
        case Metric::manhattan: return Sum::absolutes;
        case Metric::hamming: return Sum::hamming;
        case Metric::jaccard: return Sum::jaccard;
        default: return Sum::squares;
    }
}

}  // namespace

void measure_pairs(const Matrix& vectors, const double* inverse_norms, Metric metric, const Matrix& queries,
                   const int64_t* rows, int64_t m, int threads, const std::string& isa, double* ranks) {
    const RowOps& ops = *find_isa(isa).rows;
    check_dim(queries, vectors);
    if ((metric == Metric::cosine) != (inverse_norms != nullptr)) {
        throw std::invalid_argument("inverse_norms: expected for cosine and for no other metric");
    }
    if (vectors.n_vectors >= std::numeric_limits<int32_t>::max())
        throw std::invalid_argument("vectors: expected fewer than 2^31 - 1 rows, got " +
                                    std::to_string(vectors.n_vectors));
    const int64_t n = queries.n_vectors;
    if (std::any_of(rows, rows + n * m, [&](int64_t row) { return row >= vectors.n_vectors; })) {
        throw std::invalid_argument("rows: expected numbers below " + std::to_string(vectors.n_vectors));
    }
    const Rows stored{vectors, inverse_norms};
    const Sum sum = sum_of(metric);
    const auto one = [&](int64_t query, std::vector<double>& x, std::vector<int32_t>& stored_rows,
                         std::vector<double>& out) {
        Rows given{queries, nullptr};
        given.matrix.data = given.at(query);
        given.matrix.n_vectors = 1;
        double inverse_norm = 0;
        if (metric == Metric::cosine) {
            inverse_norm = ops.inverse_norm(given, 0);
            given.inverse_norms = &inverse_norm;
        }
        ops.load(given, 0, x.data());
        stored_rows.clear();
        for (int64_t j = 0; j < m; ++j) {
            if (rows[query * m + j] >= 0) stored_rows.push_back(static_cast<int32_t>(rows[query * m + j]));
        }
        out.resize(stored_rows.size());
        ops.measure(stored, sum, x.data(), stored_rows.data(), stored_rows.size(), out.data());
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
    const bool whole = vectors.column_stride > 0 && vectors.column_stride <= 8;
    const int64_t bytes = whole ? vectors.dim * vectors.column_stride : 1;
    const auto fetch = [&](int64_t query) {
        if (m * bytes > kFetched) return;
        for (int64_t j = 0; j < m; ++j) {
            if (rows[query * m + j] < 0) continue;
            const std::byte* const row = stored.at(rows[query * m + j]);
            for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(row + b, 0, 2);
        }
    };
    const int64_t work = n * m * vectors.dim;
    const int64_t tasks = work < kSerialWork || threads == 1 ? 1 : std::min<int64_t>(n, 8 * std::max(1, threads));
    const auto part = [&](int, int64_t task) {
        std::vector<double> x(padded(vectors.dim, 8)), out;
        std::vector<int32_t> stored_rows;
        for (int64_t query = n * task / tasks, last = n * (task + 1) / tasks; query < last; ++query) {
            if (query + 1 < last) fetch(query + 1);
            one(query, x, stored_rows, out);
        }
    };
    if (tasks == 1) {
        part(0, 0);
    } else {
        Pool pool(threads);
        pool.run(tasks, {}, part);
    }
}

}  // namespace vicinal
