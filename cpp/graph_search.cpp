// The public class of searches along a graph: made of lists or of arrays, searched, extended.
#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <numeric>
#include <stdexcept>

#include "dot_codes.hpp"
#include "graph_state.hpp"
#include "navigable.hpp"

namespace vicinal {
namespace {

constexpr int64_t kBlock = 4096;    // queries that are ordered together
constexpr int64_t kTask = 32;       // queries in a task
constexpr int64_t kCopyWidth = 64;  // of the search for the neighbours of a copy
constexpr int64_t kAlone = 4;       // so few queries are answered by the calling thread

void check(bool fits, const char* what) {
    if (!fits) throw std::invalid_argument(std::string("graph: ") + what + " do not fit the others");
}

}  // namespace

struct GraphSearch::State {
    const Isa& isa;
    Pool pool;
    std::mutex turn;  // of the pool
    Navigable graph;

    State(int threads, const std::string& name) : isa(find_isa(name)), pool(threads) {}
    State(int threads, const Isa& isa) : isa(isa), pool(threads) {}

    Rows rows_of(const Matrix& matrix) const {
        Matrix expected;
        expected.dim = graph.dim;
        check_dim(matrix, expected);
        return {matrix, nullptr};
    }

    // Runs tasks on the pool, or here where another thread has it.
    template <class Body>
    void run(int64_t tasks, bool alone, Body&& body) {
        std::unique_lock lock(turn, std::defer_lock);
        if (!alone && tasks > 1 && pool.threads() > 1 && lock.try_lock()) {
            pool.run(tasks, {}, [&](int, int64_t task) { body(task); });
        } else {
            for (int64_t task = 0; task < tasks; ++task) body(task);
        }
    }

    void search_one(int64_t query, int64_t k, int64_t width, const uint8_t* allowed, Walk& walk, int64_t* out) const {
        walk_to(graph, *isa.rows, width, walk);
        int64_t found = 0;
        for (const Step step : walk.pool) {
            const int32_t row = graph.rows[node_of_step(step)];
            if (allowed && !(allowed[row >> 3] >> (row & 7) & 1)) continue;
            out[query * k + found++] = row;
            if (found == k) break;
        }
        std::fill(out + query * k + found, out + (query + 1) * k, -1);
    }

    void search(const Matrix& matrix, int64_t k, int64_t width, const uint8_t* allowed, int64_t* out) {
        const Rows queries = rows_of(matrix);
        const int64_t n = matrix.n_vectors;
        std::vector<int32_t> begin(std::min(n, kBlock) * kBegin), order(std::min(n, kBlock));
        for (int64_t first = 0; first < n; first += kBlock) {
            const int64_t count = std::min(kBlock, n - first), tasks = (count + kTask - 1) / kTask;
            run(tasks, n <= kAlone, [&](int64_t task) {
                thread_local Walk walk;
                for (int64_t i = task * kTask; i < std::min(count, (task + 1) * kTask); ++i) {
                    code_query(graph, *isa.rows, queries, first + i, walk);
                    nearest_starts(graph, *isa.rows, kBegin, walk);
                    walk.begin.resize(kBegin, kNoNode);
                    std::copy_n(walk.begin.begin(), kBegin, &begin[i * kBegin]);
                }
            });
            // Queries that begin near each other are answered one after the other, so that they find nodes in the
            // cache.
            order.resize(count);
            std::iota(order.begin(), order.end(), 0);
            std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
                return begin[a * kBegin] < begin[b * kBegin] || (begin[a * kBegin] == begin[b * kBegin] && a < b);
            });
            run(tasks, n <= kAlone, [&](int64_t task) {
                thread_local Walk walk;
                for (int64_t i = task * kTask; i < std::min(count, (task + 1) * kTask); ++i) {
                    const int64_t query = order[i];
                    code_query(graph, *isa.rows, queries, first + query, walk);
                    const auto own = begin.begin() + query * kBegin;
                    walk.begin.assign(own, std::find(own, own + kBegin, kNoNode));
                    search_one(first + query, k, width, allowed, walk, out);
                }
            });
        }
    }
};

// Adds the rows that are copies of others, which an approximate neighbour graph leaves out.
void GraphSearch::add_copies(State& state, const Rows& rows, const Callbacks& callbacks) {
    Navigable& graph = state.graph;
    const int64_t first = graph.size(), n = rows.matrix.n_vectors;
    if (first == n) return;
    std::vector<bool> there(n);
    for (const int32_t row : graph.rows) there[row] = true;
    for (int64_t row = 0; row < n; ++row) {
        if (!there[row]) graph.rows.push_back(static_cast<int32_t>(row));
    }
    graph.codes.resize(n * graph.row_bytes);
    graph.bases.resize(n);
    for (int64_t node = first; node < n; ++node) code_node(graph, *state.isa.rows, rows, graph.rows[node], node);
    link_new_nodes(graph, first, kCopyWidth, *state.isa.rows, state.pool, callbacks);
}

GraphSearch::GraphSearch(Graph& given, int64_t degree, const Callbacks& callbacks) {
    Graph::State& from = *given.state_;
    const auto* const coder = dynamic_cast<const DotCoder*>(from.coder.get());
    if (!coder || from.metric == Metric::inner_product || degree < 1)
        throw std::invalid_argument("graph: expected one of Euclidean distances, and a degree of at least 1");
    const NodeCodes& codes = from.join.codes();
    state_ = std::make_unique<State>(from.pool.threads(), from.isa);
    Navigable& graph = state_->graph;
    const int64_t n = codes.size(), bytes = codes.row_bytes();
    graph.dim = from.vectors.rows.matrix.dim;
    graph.degree = degree;
    graph.row_bytes = bytes;
    graph.scale = {coder->centre(), coder->factor(), codes.scale(), coder->max_code()};
    graph.scale.centre.resize(padded(graph.dim, 8));
    graph.rows = codes.rows();
    graph.codes.resize(n * bytes);
    graph.bases.resize(n);
    from.pool.run((n + kBlock - 1) / kBlock, callbacks, [&](int, int64_t task) {
        for (int64_t node = task * kBlock; node < std::min(n, (task + 1) * kBlock); ++node) {
            for (int64_t c = 0; c < bytes; ++c)
                graph.codes[node * bytes + c] = static_cast<uint8_t>(codes.code(node)[c]) ^ 0x80;
            graph.bases[node] = static_cast<float>(codes.half_square(node));
        }
    });
    for (const int32_t node : codes.uncoded()) graph.bases[node] = kFarBase;
    link_nodes(graph, from.join.lists(), *from.isa.rows, from.pool, callbacks);
    add_copies(*state_, from.vectors.rows, callbacks);
}

GraphSearch::GraphSearch(const GraphParts& parts, int threads, const std::string& isa) {
    const int64_t n = parts.n;
    check(parts.dim >= 1 && parts.degree >= 1 && parts.row_bytes == padded(parts.dim, kRowAlign), "dim and degree");
    check(parts.max_code >= 1 && parts.max_code <= 127 && parts.dim * 255 * parts.max_code <= 1 << 28, "codes");
    check(parts.factor > 0 && parts.scale > 0 && std::isfinite(parts.factor) && std::isfinite(parts.scale), "scales");
    check(std::all_of(parts.centre, parts.centre + parts.dim, [](double c) { return std::isfinite(c); }), "centres");
    const auto nodes = [&](const int32_t* values, int64_t size, int32_t least) {
        return std::all_of(values, values + size, [&](int32_t node) { return node >= least && node < n; });
    };
    check(nodes(parts.links, n * parts.degree, kNoNode), "links");
    check(nodes(parts.starts, parts.n_starts, 0) && (n == 0 || parts.n_starts > 0), "starts");
    std::vector<bool> named(n);
    check(nodes(parts.rows, n, 0), "rows");
    for (int64_t i = 0; i < n; ++i) named[parts.rows[i]] = true;
    check(std::find(named.begin(), named.end(), false) == named.end(), "rows");
    state_ = std::make_unique<State>(threads, isa);
    Navigable& graph = state_->graph;
    graph.dim = parts.dim;
    graph.degree = parts.degree;
    graph.row_bytes = parts.row_bytes;
    graph.scale = {{parts.centre, parts.centre + parts.dim}, parts.factor, parts.scale, parts.max_code};
    graph.scale.centre.resize(padded(parts.dim, 8));
    graph.rows.assign(parts.rows, parts.rows + n);
    graph.starts.assign(parts.starts, parts.starts + parts.n_starts);
    const auto copy = [](auto& to, const auto* from, int64_t size) {
        to.resize(size);
        std::copy_n(from, size, to.data());
    };
    copy(graph.codes, parts.codes, n * parts.row_bytes);
    copy(graph.bases, parts.bases, n);
    copy(graph.links, parts.links, n * parts.degree);
}

GraphSearch::~GraphSearch() = default;
GraphSearch::GraphSearch(GraphSearch&&) noexcept = default;

void GraphSearch::search(const Matrix& queries, int64_t k, int64_t width, const uint8_t* allowed, int64_t* rows) {
    if (k < 1 || width < k) throw std::invalid_argument("width: expected at least k, and k at least 1");
    state_->search(queries, k, std::min(width, state_->graph.size()), allowed, rows);
}

void GraphSearch::extend(const Matrix& rows, int64_t width, const Callbacks& callbacks) {
    Navigable& graph = state_->graph;
    const Rows given = state_->rows_of(rows);
    const int64_t first = graph.size(), n = first + rows.n_vectors;
    if (n >= std::numeric_limits<int32_t>::max()) throw std::invalid_argument("graph: expected fewer than 2^31 rows");
    graph.codes.resize(n * graph.row_bytes);
    graph.bases.resize(n);
    graph.rows.resize(n);
    const std::lock_guard lock(state_->turn);
    state_->pool.run((rows.n_vectors + kTask - 1) / kTask, callbacks, [&](int, int64_t task) {
        for (int64_t i = task * kTask; i < std::min(rows.n_vectors, (task + 1) * kTask); ++i) {
            graph.rows[first + i] = static_cast<int32_t>(first + i);
            code_node(graph, *state_->isa.rows, given, i, first + i);
        }
    });
    link_new_nodes(graph, first, std::min(width, n), *state_->isa.rows, state_->pool, callbacks);
}

GraphParts GraphSearch::parts() const {
    const Navigable& graph = state_->graph;
    GraphParts parts;
    parts.n = graph.size();
    parts.dim = graph.dim;
    parts.row_bytes = graph.row_bytes;
    parts.degree = graph.degree;
    parts.n_starts = static_cast<int64_t>(graph.starts.size());
    parts.max_code = graph.scale.max_code;
    parts.factor = graph.scale.factor;
    parts.scale = graph.scale.scale;
    parts.centre = graph.scale.centre.data();
    parts.rows = graph.rows.data();
    parts.codes = graph.codes.data();
    parts.bases = graph.bases.data();
    parts.links = graph.links.data();
    parts.starts = graph.starts.data();
    return parts;
}

int64_t GraphSearch::n_bytes() const {
    const Navigable& graph = state_->graph;
    return graph.size() * (graph.row_bytes + 4 * graph.degree + 8) + 4 * static_cast<int64_t>(graph.starts.size());
}

}  // namespace vicinal
