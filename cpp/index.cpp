// The Index: chooses instruction set, coder and threads, and times the calls.
#include <algorithm>
#include <limits>
#include <optional>
#include <stdexcept>

#include "absolute_codes.hpp"
#include "bits_codes.hpp"
#include "dot_codes.hpp"
#include "join.hpp"

namespace vicinal {
namespace {

void check(const Matrix& m, Metric metric) {
    const bool bits = metric == Metric::hamming || metric == Metric::jaccard;
    if (bits && m.dtype != DType::u8) throw std::invalid_argument("packed bits must be uint8");
    if (m.n_vectors < 0 || m.dim < 1) throw std::invalid_argument("vectors must have at least one column");
    if (m.n_vectors >= std::numeric_limits<int32_t>::max()) throw std::invalid_argument("too many rows");
}

// Rows, and their inverse norms where the metric normalises.
struct Normalised {
    Rows rows;
    std::vector<double> inverse_norms;

    Normalised(const Matrix& matrix, Metric metric, const RowOps& ops, Pool& pool, const Watch& watch) {
        check(matrix, metric);
        rows.matrix = matrix;
        if (metric != Metric::cosine) return;
        const int64_t n = matrix.n_vectors, chunk = 256;
        inverse_norms.resize(n);
        pool.run((n + chunk - 1) / chunk, watch, [&](int, int64_t task) {
            for (int64_t i = task * chunk; i < std::min(n, (task + 1) * chunk); ++i) {
                inverse_norms[i] = ops.inverse_norm(rows, i);
            }
        });
        rows.inverse_norms = inverse_norms.data();
    }
};

std::unique_ptr<Coder> make_coder(const Rows& rows, Metric metric, const RowOps& ops) {
    switch (metric) {
        case Metric::manhattan: return std::make_unique<AbsoluteCoder>(rows, ops);
        case Metric::hamming:
        case Metric::jaccard: return std::make_unique<BitsCoder>(rows, metric);
        default: return std::make_unique<DotCoder>(rows, metric, ops);
    }
}

}  // namespace

struct Index::State {
    Metric metric;
    const Isa& isa;
    Pool pool;
    Normalised vectors;
    std::unique_ptr<Coder> coder;
    std::unique_ptr<Stored> stored;
    int sketch;
    Stats stats;

    State(const Matrix& matrix, Metric metric, int threads, const std::string& name, int sketch, const Watch& watch)
        : metric(metric),
          isa(find_isa(name)),
          pool(threads),
          vectors(matrix, metric, *isa.rows, pool, watch),
          coder(make_coder(vectors.rows, metric, *isa.rows)),
          stored(std::make_unique<Stored>(vectors.rows, *coder, nullptr, isa, pool, watch)),
          sketch(sketch) {}

    // Copies that belong to different groups are different rows to a call with groups.
    template <class Call>
    auto with(const int64_t* groups, const Watch& watch, Call&& call) {
        const Timer timer;
        const double build = stats.seconds_build;
        stats = {};
        stats.isa = isa.name;
        stats.threads = pool.threads();
        stats.seconds_build = build;
        struct Stop {
            Stats& stats;
            const Timer& timer;
            ~Stop() { stats.seconds = timer.seconds(); }
        } stop{stats, timer};
        if (stored->half_turned()) stored->turn(nullptr, pool, watch);
        if (groups && stored->copies().any()) {
            Stored apart(vectors.rows, *coder, groups, isa, pool, watch);
            return call(Context{apart, isa, sketch, pool, watch, stats});
        }
        return call(Context{*stored, isa, sketch, pool, watch, stats});
    }

    Normalised prepare(const Matrix& queries, const Watch& watch) {
        if (queries.dim != vectors.rows.matrix.dim)
            throw std::invalid_argument("queries have another dim than vectors");
        return Normalised(queries, metric, *isa.rows, pool, watch);
    }
};

Index::Index(const Matrix& vectors, Metric metric, int threads, const std::string& isa, int sketch,
             const Watch& watch) {
    if (sketch < -1 || sketch > 4096 || (sketch > 0 && sketch % kProjected != 0)) {
        throw std::invalid_argument("sketch must be -1, 0 or a multiple of 16 up to 4096");
    }
    const Timer timer;
    state_ = std::make_unique<State>(vectors, metric, threads, isa, sketch, watch);
    state_->stats.seconds_build = timer.seconds();
}

Index::~Index() = default;
Index::Index(Index&&) noexcept = default;

const Stats& Index::stats() const { return state_->stats; }

void Index::self_join(int64_t k, const int64_t* groups, int64_t* indices, float* distances, const Watch& watch) {
    if (k < 1) throw std::invalid_argument("k must be at least 1");
    state_->with(groups, watch,
                 [&](const Context& context) { vicinal::self_join(context, k, groups, indices, distances); });
}

void Index::search(const Matrix& queries, int64_t k, const int64_t* groups, const int64_t* query_groups,
                   int64_t* indices, float* distances, const Watch& watch) {
    if (k < 1) throw std::invalid_argument("k must be at least 1");
    if (!groups || !query_groups) groups = query_groups = nullptr;
    const Normalised prepared = state_->prepare(queries, watch);
    state_->with(groups, watch, [&](const Context& context) {
        vicinal::search(context, prepared.rows, k, groups, query_groups, indices, distances);
    });
}

Within Index::within(double radius, const Matrix* queries, const int64_t* groups, const int64_t* query_groups,
                     const Watch& watch) {
    if (queries && (!groups || !query_groups)) groups = query_groups = nullptr;
    std::optional<Normalised> prepared;
    if (queries) prepared.emplace(state_->prepare(*queries, watch));
    return state_->with(groups, watch, [&](const Context& context) {
        return vicinal::within(context, radius, prepared ? &prepared->rows : nullptr, groups, query_groups);
    });
}

}  // namespace vicinal
