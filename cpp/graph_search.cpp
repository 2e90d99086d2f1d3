// The public class of searches along a graph: made of lists or of arrays, searched, extended.
#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <numeric>
#include <random>
#include <stdexcept>

#include "dot_codes.hpp"
#include "graph_state.hpp"
#include "navigable_starts.hpp"

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
    PackedStarts starts;

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

    // What is known of queries before they are answered.
    struct Begun {
        CodedQueries coded;          // where there is one region
        std::vector<int32_t> nodes;  // kBegin of each
    };

    // Codes queries [first, last), and names the nodes that their searches begin at.
    void begin(const Rows& queries, int64_t offset, int64_t first, int64_t last, Begun& begun) const {
        thread_local Walk walk;
        const RowOps& ops = *isa.rows;
        const bool alone = graph.regions.empty();
        for (int64_t i = first; i < last; ++i) {
            ask_row(graph, ops, queries, offset + i, walk.query);
            if (alone) {
                begun.coded.put(i, code_query(graph, ops, walk.query, 0));
                continue;
            }
            nearest_starts(graph, ops, kBegin, walk);
            walk.begin.resize(kBegin, kNoNode);
            std::copy_n(walk.begin.begin(), kBegin, &begun.nodes[i * kBegin]);
        }
        if (alone) starts.nearest(*isa.dot, begun.coded, first, last - first, &begun.nodes[first * kBegin]);
    }

    // Answers a query: the nearest rows that its walk finds.
    void search_one(const Rows& queries, int64_t offset, int64_t i, int64_t k, int64_t width, const uint8_t* allowed,
                    int32_t hidden, const Begun& begun, Walk& walk, int64_t* out) const {
        if (graph.regions.empty()) {
            walk.query.forget(1);
            begun.coded.get(i, walk.query.of[0]);
        } else {
            ask_row(graph, *isa.rows, queries, offset + i, walk.query);
        }
        const auto own = begun.nodes.begin() + i * kBegin;
        walk.begin.assign(own, std::find(own, own + kBegin, kNoNode));
        walk.hidden = hidden;
        walk_to(graph, *isa.rows, width, walk);
        int64_t found = 0;
        for (const Step step : walk.pool) {
            const int32_t row = graph.rows[node_of_step(step)];
            if (allowed && !(allowed[row >> 3] >> (row & 7) & 1)) continue;
            out[found++] = row;
            if (found == k) break;
        }
        std::fill(out + found, out + k, -1);
    }

    // The nodes of named rows.
    std::vector<int32_t> nodes_of(const int64_t* named, int64_t n) const {
        std::vector<int32_t> node(graph.size()), out;
        for (int64_t i = 0; i < graph.size(); ++i) node[graph.rows[i]] = static_cast<int32_t>(i);
        for (int64_t i = 0; i < n; ++i) {
            check(named[i] >= 0 && named[i] < graph.size(), "hidden rows");
            out.push_back(node[named[i]]);
        }
        return out;
    }

    void search(const Matrix& matrix, int64_t k, int64_t width, const uint8_t* allowed, int64_t* out,
                const int64_t* named) {
        const Rows queries = rows_of(matrix);
        const int64_t n = matrix.n_vectors;
        const std::vector<int32_t> hidden = named ? nodes_of(named, n) : std::vector<int32_t>();
        Begun begun;
        begun.nodes.resize(std::min(n, kBlock) * kBegin);
        if (graph.regions.empty()) begun.coded.resize(std::min(n, kBlock), graph.row_bytes);
        std::vector<int32_t> order(std::min(n, kBlock));
        for (int64_t offset = 0; offset < n; offset += kBlock) {
            const int64_t count = std::min(kBlock, n - offset), tasks = (count + kTask - 1) / kTask;
            run(tasks, n <= kAlone, [&](int64_t task) {
                begin(queries, offset, task * kTask, std::min(count, (task + 1) * kTask), begun);
            });
            // Queries that begin near each other are answered one after the other, so that they find nodes in the
            // cache.
            order.resize(count);
            std::iota(order.begin(), order.end(), 0);
            std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
                const int32_t first = begun.nodes[a * kBegin], second = begun.nodes[b * kBegin];
                return first < second || (first == second && a < b);
            });
            run(tasks, n <= kAlone, [&](int64_t task) {
                thread_local Walk walk;
                for (int64_t i = task * kTask; i < std::min(count, (task + 1) * kTask); ++i) {
                    const int64_t query = offset + order[i];
                    search_one(queries, offset, order[i], k, width, allowed, named ? hidden[query] : kNoNode, begun,
                               walk, out + query * k);
                }
            });
        }
    }
};

namespace {

constexpr int64_t kSample = 200, kNearest = 10;  // nodes, and neighbours, that lists are judged by
constexpr double kWorst = 0.99;                  // share of the sample that counts
constexpr double kDeep = 2.0 / 3;                // of a list that tells rows apart, the part that holds the nearest
constexpr double kClipped = 1.25;                // of the scale of the lists' codes; beyond, their lists say little

void set_up(Navigable& graph, const Matrix& matrix, int64_t degree, bool products, const RowOps& ops,
            const Rows& rows) {
    if (degree < 1) throw std::invalid_argument("graph: expected a degree of at least 1");
    graph.dim = matrix.dim;
    graph.degree = degree;
    graph.row_bytes = padded(graph.dim, kRowAlign);
    graph.products = products;
    choose_centres(graph, ops, rows);
}

// Codes the nodes from `first` on.
void code_nodes(Navigable& graph, int64_t first, const Rows& rows, const RowOps& ops, Pool& pool,
                const Callbacks& callbacks) {
    const int64_t n = graph.size();
    pool.run((n - first + kBlock - 1) / kBlock, callbacks, [&](int, int64_t task) {
        for (int64_t node = first + task * kBlock; node < std::min(n, first + (task + 1) * kBlock); ++node)
            code_node(graph, ops, rows, graph.rows[node], node);
    });
}

// Puts rows, in an order that has nothing to do with what they hold, after those that the graph has.
void add_rows(Navigable& graph, std::vector<int32_t> rows) {
    std::mt19937 random(0);
    for (size_t i = rows.size(); i > 1; --i) std::swap(rows[i - 1], rows[random() % i]);
    const int64_t first = graph.size();
    graph.resize(first + static_cast<int64_t>(rows.size()));
    std::copy(rows.begin(), rows.end(), graph.rows.begin() + first);
}

// Adds the rows that are copies of others, which an approximate neighbour graph leaves out.
void add_copies(Navigable& graph, const Rows& rows, const RowOps& ops, Pool& pool, const Callbacks& callbacks) {
    const int64_t first = graph.size(), n = rows.matrix.n_vectors;
    if (first == n) return;
    std::vector<bool> there(n);
    for (const int32_t row : graph.rows) there[row] = true;
    std::vector<int32_t> copies;
    for (int64_t row = 0; row < n; ++row) {
        if (!there[row]) copies.push_back(static_cast<int32_t>(row));
    }
    add_rows(graph, std::move(copies));
    code_nodes(graph, first, rows, ops, pool, callbacks);
    link_new_nodes(graph, first, kCopyWidth, ops, pool, callbacks);
}

}  // namespace

// Whether the order of the lists is about that of the distances: else their codes tell rows little apart.
bool GraphSearch::orders(const Graph& given) {
    const Graph::State& from = *given.state_;
    const RowOps& ops = *from.isa.rows;
    const NodeLists& lists = from.join.lists();
    std::vector<double> x(padded(from.vectors.rows.matrix.dim, 8)), sums;
    std::vector<int32_t> rows;
    std::vector<int64_t> order, deepest;
    for (int64_t i = 0, n = from.join.codes().size(); i < std::min(n, kSample); ++i) {
        const int64_t node = i * n / std::min(n, kSample);
        const Key* const list = lists.at(node);
        rows.clear();
        for (int64_t j = 0; j < lists.width() && list[j] != kNoKey; ++j)
            rows.push_back(from.join.codes().row(node_of(list[j])));
        sums.resize(rows.size());
        ops.load(from.vectors.rows, from.join.codes().row(node), x.data());
        ops.measure(from.vectors.rows, Sum::squares, x.data(), rows.data(), rows.size(), sums.data());
        order.resize(rows.size());
        std::iota(order.begin(), order.end(), 0);
        std::sort(order.begin(), order.end(),
                  [&](int64_t a, int64_t b) { return sums[a] < sums[b] || (sums[a] == sums[b] && a < b); });
        order.resize(std::min<size_t>(order.size(), kNearest));
        deepest.push_back(order.empty() ? 0 : *std::max_element(order.begin(), order.end()) + 1);
    }
    if (deepest.empty()) return true;
    const auto at = deepest.begin() + static_cast<int64_t>(kWorst * static_cast<double>(deepest.size() - 1));
    std::nth_element(deepest.begin(), at, deepest.end());
    return static_cast<double>(*at) <= std::max(kNearest + 1.0, kDeep * static_cast<double>(lists.width()));
}

GraphSearch::GraphSearch(Graph& given, int64_t degree, int64_t width, const Callbacks& callbacks) {
    Graph::State& from = *given.state_;
    if (!dynamic_cast<const DotCoder*>(from.coder.get()) || from.metric == Metric::inner_product)
        throw std::invalid_argument("graph: expected one of Euclidean distances");
    const NodeCodes& codes = from.join.codes();
    const Rows& rows = from.vectors.rows;
    const RowOps& ops = *from.isa.rows;
    state_ = std::make_unique<State>(from.pool.threads(), from.isa);
    Navigable& graph = state_->graph;
    set_up(graph, rows.matrix, degree, false, ops, rows);
    if (!orders(given)) {
        add_rows(graph, codes.rows());
        code_nodes(graph, 0, rows, ops, from.pool, callbacks);
        link_new_nodes(graph, 0, width, ops, from.pool, callbacks);
    } else {
        graph.resize(codes.size());
        graph.rows = codes.rows();
        code_nodes(graph, 0, rows, ops, from.pool, callbacks);
        link_nodes(graph, from.join.lists(), ops, from.pool, callbacks);
        std::vector<int32_t> clipped;
        for (int32_t node = 0; graph.regions.empty() && node < graph.size(); ++node) {
            if (graph.terms[node].scale > kClipped * codes.scale()) clipped.push_back(node);
        }
        link_again(graph, clipped, width, ops, from.pool, callbacks);
    }
    add_copies(graph, rows, ops, from.pool, callbacks);
    state_->starts.pack(graph);
}

GraphSearch::GraphSearch(const Matrix& vectors, int64_t degree, int64_t width, int threads, const std::string& isa,
                         const Callbacks& callbacks) {
    state_ = std::make_unique<State>(threads, isa);
    Navigable& graph = state_->graph;
    const RowOps& ops = *state_->isa.rows;
    const Rows rows{vectors, nullptr};
    set_up(graph, vectors, degree, true, ops, rows);
    std::vector<int32_t> all(vectors.n_vectors);
    std::iota(all.begin(), all.end(), 0);
    add_rows(graph, std::move(all));
    code_nodes(graph, 0, rows, ops, state_->pool, callbacks);
    link_new_nodes(graph, 0, width, ops, state_->pool, callbacks);
    state_->starts.pack(graph);
}

GraphSearch::GraphSearch(const GraphParts& parts, int threads, const std::string& isa) {
    const int64_t n = parts.n, width = padded(parts.dim, 8);
    check(parts.dim >= 1 && parts.degree >= 1 && parts.row_bytes == padded(parts.dim, kRowAlign), "dim and degree");
    check(parts.max_code >= 1 && parts.max_code <= 127 && parts.dim * 255 * parts.max_code <= 1 << 28, "codes");
    check(parts.factor > 0 && std::isfinite(parts.factor), "scales");
    const auto finite = [](const auto* values, int64_t size) {
        return std::all_of(values, values + size, [](auto value) { return std::isfinite(value); });
    };
    check(parts.n_centres >= 1 && parts.n_centres <= 1 << 16 && finite(parts.origin, parts.dim) &&
              finite(parts.centres, parts.n_centres * width),
          "centres");
    check(finite(parts.terms, 2 * n), "terms");
    const auto nodes = [&](const int32_t* values, int64_t size, int32_t least) {
        return std::all_of(values, values + size, [&](int32_t node) { return node >= least && node < n; });
    };
    check(nodes(parts.links, n * parts.degree, kNoNode), "links");
    check(nodes(parts.starts, parts.n_starts, 0) && (n == 0 || parts.n_starts > 0), "starts");
    std::vector<bool> named(n);
    check(nodes(parts.rows, n, 0), "rows");
    for (int64_t i = 0; i < n; ++i) named[parts.rows[i]] = true;
    check(std::find(named.begin(), named.end(), false) == named.end(), "rows");
    const int64_t regions = parts.n_centres > 1 ? n : 0;
    check(std::all_of(parts.regions, parts.regions + regions, [&](uint16_t r) { return r < parts.n_centres; }),
          "regions");
    state_ = std::make_unique<State>(threads, isa);
    Navigable& graph = state_->graph;
    graph.dim = parts.dim;
    graph.degree = parts.degree;
    graph.row_bytes = parts.row_bytes;
    graph.products = parts.products;
    graph.centres = {{parts.origin, parts.origin + parts.dim},
                     parts.factor,
                     parts.max_code,
                     {parts.centres, parts.centres + parts.n_centres * width}};
    graph.centres.origin.resize(width);
    graph.rows.assign(parts.rows, parts.rows + n);
    graph.regions.assign(parts.regions, parts.regions + regions);
    graph.starts.assign(parts.starts, parts.starts + parts.n_starts);
    const auto copy = [](auto& to, const auto* from, int64_t size) {
        to.resize(size);
        std::copy_n(from, size, to.data());
    };
    copy(graph.codes, parts.codes, n * parts.row_bytes);
    graph.terms.resize(n);
    for (int64_t i = 0; i < n; ++i) graph.terms[i] = {parts.terms[2 * i], parts.terms[2 * i + 1]};
    copy(graph.links, parts.links, n * parts.degree);
    state_->starts.pack(graph);
}

GraphSearch::~GraphSearch() = default;
GraphSearch::GraphSearch(GraphSearch&&) noexcept = default;

void GraphSearch::search(const Matrix& queries, int64_t k, int64_t width, const uint8_t* allowed, int64_t* rows,
                         const int64_t* hidden) {
    if (k < 1 || width < k) throw std::invalid_argument("width: expected at least k, and k at least 1");
    state_->search(queries, k, std::min(width, state_->graph.size()), allowed, rows, hidden);
}

void GraphSearch::extend(const Matrix& rows, int64_t width, const Callbacks& callbacks) {
    Navigable& graph = state_->graph;
    const Rows given = state_->rows_of(rows);
    const int64_t first = graph.size(), n = first + rows.n_vectors;
    if (n >= std::numeric_limits<int32_t>::max()) throw std::invalid_argument("graph: expected fewer than 2^31 rows");
    graph.resize(n);
    const std::lock_guard lock(state_->turn);
    state_->pool.run((rows.n_vectors + kTask - 1) / kTask, callbacks, [&](int, int64_t task) {
        for (int64_t i = task * kTask; i < std::min(rows.n_vectors, (task + 1) * kTask); ++i) {
            graph.rows[first + i] = static_cast<int32_t>(first + i);
            code_node(graph, *state_->isa.rows, given, i, first + i);
        }
    });
    link_new_nodes(graph, first, std::min(width, n), *state_->isa.rows, state_->pool, callbacks);
    state_->starts.pack(graph);
}

GraphParts GraphSearch::parts() const {
    const Navigable& graph = state_->graph;
    GraphParts parts;
    parts.n = graph.size();
    parts.dim = graph.dim;
    parts.row_bytes = graph.row_bytes;
    parts.degree = graph.degree;
    parts.n_starts = static_cast<int64_t>(graph.starts.size());
    parts.products = graph.products;
    parts.max_code = graph.centres.max_code;
    parts.factor = graph.centres.factor;
    parts.origin = graph.centres.origin.data();
    parts.n_centres = graph.centres.regions();
    parts.centres = graph.centres.centres.data();
    parts.regions = graph.regions.data();
    parts.rows = graph.rows.data();
    parts.codes = graph.codes.data();
    parts.terms = reinterpret_cast<const float*>(graph.terms.data());
    parts.links = graph.links.data();
    parts.starts = graph.starts.data();
    return parts;
}

int64_t GraphSearch::n_bytes() const {
    const Navigable& graph = state_->graph;
    return graph.size() * (graph.row_bytes + 4 * graph.degree + 12) + 4 * static_cast<int64_t>(graph.starts.size());
}

}  // namespace vicinal
