// The public class of approximate neighbour graphs: copies merged, the distances of the found rows measured.
#include <algorithm>
#include <limits>
#include <stdexcept>

#include "graph_state.hpp"
#include "topk.hpp"

namespace vicinal {
namespace {

constexpr int64_t kChunk = 256;  // rows in a task

std::vector<int32_t> nodes_of(const Copies& copies, int64_t n) {
    std::vector<int32_t> nodes(n);
    for (int64_t node = 0; node < static_cast<int64_t>(copies.representatives.size()); ++node) {
        if (!copies.any()) nodes[copies.representatives[node]] = static_cast<int32_t>(node);
        else {
            for (int64_t i = copies.starts[node]; i < copies.starts[node + 1]; ++i)
                nodes[copies.members[i]] = static_cast<int32_t>(node);
        }
    }
    return nodes;
}

}  // namespace

Graph::State::State(const Matrix& matrix, Metric metric, int threads, const std::string& name, const int64_t* groups,
                    const GraphSettings& settings, const Callbacks& callbacks)
    : metric(metric),
      isa(find_isa(name)),
      pool(threads),
      vectors(matrix, metric, *isa.rows, pool, callbacks),
      coder(make_coder(vectors.rows, metric, *isa.rows)),
      copies(find_copies(vectors.rows, groups, *isa.rows, pool, callbacks)),
      grouped(groups != nullptr),
      join(vectors.rows, copies.representatives, metric, *coder, isa, groups, settings, pool, callbacks),
      classes(nodes_of(copies, matrix.n_vectors)),
      nodes(copies.representatives.size()) {
    for (int64_t node = 0; node < join.codes().size(); ++node)
        nodes[classes[join.codes().row(node)]] = static_cast<int32_t>(node);
}

void Graph::State::measure(int64_t node, std::vector<double>& x, std::vector<int32_t>& rows, std::vector<double>& sums,
                           std::vector<Neighbour>& out) const {
    const RowOps& ops = *isa.rows;
    const Key* const list = join.lists().at(node);
    rows.clear();
    for (int64_t i = 0; i < join.lists().width() && list[i] != kNoKey; ++i)
        rows.push_back(join.codes().row(node_of(list[i])));
    const int32_t own = join.codes().row(node);
    // Rows of equal values are neighbours at the distance that their values have.
    if (copies.any() && !grouped) rows.push_back(own);
    sums.resize(rows.size());
    ops.load(vectors.rows, own, x.data());
    ops.measure(vectors.rows, coder->sum(), x.data(), rows.data(), rows.size(), sums.data());
    out.clear();
    for (size_t i = 0; i < rows.size(); ++i)
        out.push_back({std::min(coder->distance_of(sums[i]), kNoNeighbour.distance), static_cast<uint32_t>(rows[i])});
    std::sort(out.begin(), out.end());
}

double Graph::State::reach(int64_t node, const std::vector<double>& sums) const {
    const NodeCodes& codes = join.codes();
    const int64_t width = join.lists().width();
    const Key* const list = join.lists().at(node);
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (std::binary_search(codes.uncoded().begin(), codes.uncoded().end(), static_cast<int32_t>(node)))
        return -kInfinity;
    if (list[width - 1] == kNoKey) return kInfinity;
    double low = kInfinity, high = -kInfinity;
    for (int64_t i = 0; i < width; ++i) {
        const double error =
            sums[i] - codes.sum_of_rank() * (static_cast<double>(rank_of(list[i])) - rank_of(list[width - 1]));
        low = std::min(low, error);
        high = std::max(high, error);
    }
    const double sum = codes.sum_of_rank() == 0 ? high : low - (high - low);
    return coder->distance_of(metric == Metric::inner_product ? sum : std::max(0.0, sum));
}

void Graph::State::expand(const std::vector<Neighbour>& distinct, int64_t limit, std::vector<Neighbour>& out) const {
    out.clear();
    for (const Neighbour& entry : distinct) {
        if (static_cast<int64_t>(out.size()) >= limit && out.back().distance < entry.distance) break;
        const int32_t of = classes[entry.row];
        const int64_t last = std::min(copies.starts[of + 1], copies.starts[of] + limit);
        for (int64_t i = copies.starts[of]; i < last; ++i)
            out.push_back({entry.distance, static_cast<uint32_t>(copies.members[i])});
    }
    std::sort(out.begin(), out.end());
}

void Graph::State::neighbours(const int64_t* rows, int64_t n, int64_t k, int64_t* indices, float* distances,
                              double* reaches, const Callbacks& callbacks) {
    Lists result(indices, distances, k);
    // In the order of the nodes, so that rows near each other are read together.
    std::vector<int64_t> order(n);
    for (int64_t i = 0; i < n; ++i) order[i] = i;
    const auto node = [&](int64_t i) { return nodes[classes[rows ? rows[i] : i]]; };
    std::sort(order.begin(), order.end(),
              [&](int64_t a, int64_t b) { return node(a) < node(b) || (node(a) == node(b) && a < b); });
    pool.run((n + kChunk - 1) / kChunk, callbacks, [&](int, int64_t task) {
        std::vector<double> x(padded(vectors.rows.matrix.dim, 8)), sums;
        std::vector<int32_t> named;
        std::vector<Neighbour> distinct, entries;
        for (int64_t place = task * kChunk; place < std::min(n, (task + 1) * kChunk); ++place) {
            const int64_t i = order[place], row = rows ? rows[i] : i;
            measure(node(i), x, named, sums, distinct);
            if (reaches) reaches[i] = reach(node(i), sums);
            if (copies.any()) {
                expand(distinct, k + 1, entries);
                std::erase_if(entries, [&](const Neighbour& e) { return e.row == static_cast<uint32_t>(row); });
                entries.swap(distinct);
            }
            if (static_cast<int64_t>(distinct.size()) > k) distinct.resize(k);
            result.finish(i, distinct);
        }
    });
}
Graph::Graph(const Matrix& vectors, Metric metric, int threads, const std::string& isa, const int64_t* groups,
             int64_t width, uint64_t seed, const Callbacks& callbacks, uint8_t* codes) {
    if (width < 1 || width > 4096) {
        throw std::invalid_argument("width: expected from 1 to 4096, got " + std::to_string(width));
    }
    state_ =
        std::make_unique<State>(vectors, metric, threads, isa, groups, GraphSettings{width, seed, codes}, callbacks);
}

int64_t Graph::code_bytes(const Matrix& vectors) { return vectors.n_vectors * padded(vectors.dim, kRowAlign); }

Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;

void Graph::partition(int64_t leaf, int64_t fanout, const Callbacks& callbacks) {
    if (leaf < 2 || fanout < 1) throw std::invalid_argument("leaf, fanout: expected at least 2 and 1");
    state_->join.partition(leaf, fanout, callbacks);
}

void Graph::refine(int64_t degree, int64_t most, const Callbacks& callbacks) {
    if (degree < 1 || most < 1) throw std::invalid_argument("degree, most: expected at least 1");
    state_->join.refine(degree, most, callbacks);
}

void Graph::release() { state_->join.release(); }

void Graph::neighbours(const int64_t* rows, int64_t n, int64_t k, int64_t* indices, float* distances,
                       const Callbacks& callbacks, double* reaches) {
    const int64_t all = state_->vectors.rows.matrix.n_vectors;
    if (!rows && n != all) throw std::invalid_argument("rows: expected one line for each row");
    if (rows && std::any_of(rows, rows + n, [&](int64_t row) { return row < 0 || row >= all; })) {
        throw std::invalid_argument("rows: expected numbers from 0 to " + std::to_string(all - 1));
    }
    state_->neighbours(rows, n, k, indices, distances, reaches, callbacks);
}

int64_t Graph::pairs() const { return state_->join.pairs(); }
int64_t Graph::changed() const { return state_->join.changed(); }

}  // namespace vicinal
