// The Index: chooses instruction set, coder and number of threads, and times the calls.
#include <algorithm>
#include <limits>
#include <optional>
#include <stdexcept>

#include "join.hpp"
#include "prepared.hpp"
#include "shares.hpp"
#include "sketch.hpp"

namespace vicinal {
namespace {

constexpr int64_t kFew = 16384;  // rows of which a smaller sample is taken, since the time for it shows

Sampled sampled(const Rows& rows) { return rows.matrix.n_vectors < kFew ? Sampled{64, 512} : Sampled{}; }

void check_k(int64_t k) {
    if (k < 1) throw std::invalid_argument("k: expected at least 1, got " + std::to_string(k));
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
    // Of shares of a self-join: the rows with copies apart by group, where that is another order.
    struct Shared {
        bool grouped = false;
        uint64_t groups = 0;
        std::unique_ptr<Stored> separate;
        std::unique_ptr<Shares> shares;
    } shared;

    State(const Matrix& matrix, Metric metric, int threads, const std::string& name, int sketch,
          const Callbacks& callbacks)
        : metric(metric),
          isa(find_isa(name)),
          pool(threads),
          vectors(matrix, metric, *isa.rows, pool, callbacks),
          coder(make_coder(vectors.rows, metric, *isa.rows, isa.coarse, sampled(vectors.rows))),
          stored(std::make_unique<Stored>(vectors.rows, *coder, nullptr, isa, pool, callbacks)),
          sketch(sketch) {}

    // Clears the figures of the last call, and times this one.
    class Run {
    public:
        explicit Run(State& state) : stats_(state.stats) {
            const double build = stats_.seconds_build;
            stats_ = {};
            stats_.isa = state.isa.name;
            stats_.threads = state.pool.threads();
            stats_.seconds_build = build;
        }
        ~Run() { stats_.seconds = timer_.seconds(); }
        Run(const Run&) = delete;
        Run& operator=(const Run&) = delete;

    private:
        Stats& stats_;
        const Timer timer_;
    };

    // Makes what the shares of a self-join have in common, unless it is there.
    Context share(const int64_t* groups, const Callbacks& callbacks) {
        uint64_t name = 0;
        for (int64_t i = 0; groups && i < vectors.rows.matrix.n_vectors; ++i) {
            name = (name ^ static_cast<uint64_t>(groups[i])) * 0x9e3779b97f4a7c15u;
        }
        if (!shared.shares || shared.grouped != (groups != nullptr) || shared.groups != name) {
            shared = {};
            if (groups && stored->copies().any())
                shared.separate = std::make_unique<Stored>(vectors.rows, *coder, groups, isa, pool, callbacks);
            const Stored& used = shared.separate ? *shared.separate : *stored;
            auto plan = stored_plan(used, pool, callbacks);
            const uint64_t layout = plan->layout(used.fingerprint(), pool, callbacks);
            shared.shares = std::make_unique<Shares>(std::move(plan), layout);
            shared.grouped = groups != nullptr;
            shared.groups = name;
        }
        Stored& used = shared.separate ? *shared.separate : *stored;
        return {used, isa, sketch, pool, callbacks, stats};
    }

    // With groups, copies of different groups must be stored separately.
    template <class Call>
    auto run(const int64_t* groups, const Callbacks& callbacks, Call&& call) {
        const Run run(*this);
        if (groups && stored->copies().any()) {
            Stored separate(vectors.rows, *coder, groups, isa, pool, callbacks);
            return call(Context{separate, isa, sketch, pool, callbacks, stats});
        }
        return call(Context{*stored, isa, sketch, pool, callbacks, stats});
    }

    Normalised prepare(const Matrix& queries, const Callbacks& callbacks) {
        check_dim(queries, vectors.rows.matrix);
        return Normalised(queries, metric, *isa.rows, pool, callbacks);
    }
};

Index::Index(const Matrix& vectors, Metric metric, int threads, const std::string& isa, int sketch,
             const Callbacks& callbacks) {
    if (sketch < -1 || sketch > 4096 || (sketch > 0 && sketch % kProjected != 0)) {
        throw std::invalid_argument("sketch: expected -1, 0 or a multiple of 16 up to 4096, got " +
                                    std::to_string(sketch));
    }
    const Timer timer;
    state_ = std::make_unique<State>(vectors, metric, threads, isa, sketch, callbacks);
    state_->stats.seconds_build = timer.seconds();
}

Index::~Index() = default;
Index::Index(Index&&) noexcept = default;

const Stats& Index::stats() const { return state_->stats; }

void Index::self_join(int64_t k, const int64_t* groups, int64_t* indices, float* distances, const Callbacks& callbacks,
                      bool raw) {
    check_k(k);
    Lists lists(indices, distances, k, raw);
    state_->run(groups, callbacks, [&](const Context& context) { vicinal::self_join(context, groups, lists); });
}

void Index::search(const Matrix& queries, int64_t k, const int64_t* groups, const int64_t* query_groups,
                   int64_t* indices, float* distances, const Callbacks& callbacks) {
    check_k(k);
    if (!groups || !query_groups) groups = query_groups = nullptr;
    const Normalised prepared = state_->prepare(queries, callbacks);
    state_->run(groups, callbacks, [&](const Context& context) {
        vicinal::search(context, prepared.rows, k, groups, query_groups, indices, distances);
    });
}

void Index::cross_join(const Matrix& queries, int64_t k, const int64_t* groups, const int64_t* query_groups,
                       const RawLists& query_lists, const RawLists& stored_lists, int64_t first_query,
                       const Callbacks& callbacks) {
    check_k(k);
    if (!groups || !query_groups) groups = query_groups = nullptr;
    const Normalised prepared = state_->prepare(queries, callbacks);
    state_->run(groups, callbacks, [&](const Context& context) {
        vicinal::cross_join(context, prepared.rows, k, groups, query_groups, query_lists, stored_lists, first_query);
    });
}

Entries Index::self_join_share(int64_t k, const int64_t* groups, const Share& share, const double* limits,
                               uint64_t& layout, const Callbacks& callbacks) {
    check_k(k);
    constexpr int64_t kParts = 1 << 20;
    const bool valid = share.ranges > 0 && share.ranges <= kParts && share.of <= kParts && share.first >= 0 &&
                       share.first < share.last && share.last <= (share.further ? share.of : share.ranges);
    if (!valid) throw std::invalid_argument("share: expected 0 <= first < last <= of, and a range that there is");
    const State::Run run(*state_);
    const Context context = state_->share(groups, callbacks);
    layout = state_->shared.shares->layout();
    return state_->shared.shares->run(context, k, share, groups, limits);
}

void Index::prepare_shares(int64_t k, const int64_t* groups, const Callbacks& callbacks) {
    check_k(k);
    const State::Run run(*state_);
    const Context context = state_->share(groups, callbacks);
    use_sketches(context.stored, JoinRows(context.stored, nullptr), k, context.sketch, {}, context.isa, context.pool,
                 callbacks);
}

RadiusResult Index::within(double radius, const Matrix* queries, const int64_t* groups, const int64_t* query_groups,
                           const Callbacks& callbacks) {
    if (queries && (!groups || !query_groups)) groups = query_groups = nullptr;
    std::optional<Normalised> prepared;
    if (queries) prepared.emplace(state_->prepare(*queries, callbacks));
    return state_->run(groups, callbacks, [&](const Context& context) {
        return vicinal::within(context, radius, prepared ? &prepared->rows : nullptr, groups, query_groups);
    });
}

}  // namespace vicinal
