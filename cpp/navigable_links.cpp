// See navigable.hpp: which links the nodes get.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "navigable.hpp"

namespace vicinal {
namespace {

constexpr int64_t kChunk = 128;       // nodes in a task
constexpr int64_t kLeastStarts = 16;  // of a graph that has as many nodes
constexpr int64_t kRepairWidth = 64;  // of the search for a node that no path leads to
constexpr int32_t kSeveral = 2;       // links to a node, of which one may be replaced
constexpr int64_t kSearches = 16;     // new nodes in a task
constexpr int64_t kBatchShare = 32;   // new nodes are linked in batches of this part of the graph

// Chooses the links of nodes; of each thread one.
class Chooser {
public:
    Chooser(const Navigable& graph, const RowOps& ops) : graph_(graph), ops_(ops) {}

    // Keeps at most `most` of the candidates: ascending by distance, those that no kept one is nearer to than the node
    // is. With `fill` the nearest of the others take the rest of the places.
    void keep(int32_t node, std::vector<int32_t>& candidates, size_t most, bool fill) {
        measure(node, candidates);
        left_.clear();
        for (size_t i = 0; i < candidates.size(); ++i) {
            if (candidates[i] != node) left_.push_back({distances_[i], candidates[i]});
        }
        std::sort(left_.begin(), left_.end());
        left_.erase(std::unique(left_.begin(), left_.end()), left_.end());
        candidates.clear();
        others_.clear();
        while (!left_.empty() && candidates.size() < most) {
            const int32_t kept = left_.front().node;
            candidates.push_back(kept);
            left_.erase(left_.begin());
            if (left_.empty()) break;
            named_.clear();
            for (const Near& near : left_) named_.push_back(near.node);
            measure(kept, named_);
            size_t stay = 0;
            for (size_t i = 0; i < left_.size(); ++i) {
                if (distances_[i] < left_[i].distance) others_.push_back(left_[i].node);
                else left_[stay++] = left_[i];
            }
            left_.resize(stay);
        }
        for (size_t i = 0; fill && i < others_.size() && candidates.size() < most; ++i)
            candidates.push_back(others_[i]);
    }

private:
    struct Near {
        float distance;
        int32_t node;
        auto operator<=>(const Near&) const = default;
    };

    void measure(int32_t node, const std::vector<int32_t>& others) {
        ask_node(graph_, node, query_);
        compare(graph_, ops_, query_, others, true, distances_);
    }

    const Navigable& graph_;
    const RowOps& ops_;
    Asked query_;
    std::vector<Near> left_;
    std::vector<int32_t> others_, named_;
    std::vector<float> distances_;
};

void put_links(Navigable& graph, int64_t node, const std::vector<int32_t>& links) {
    int32_t* const own = graph.links_of(node);
    std::copy(links.begin(), links.end(), own);
    std::fill(own + links.size(), own + graph.degree, kNoNode);
}

void get_links(const Navigable& graph, int64_t node, std::vector<int32_t>& out) {
    const int32_t* const own = graph.links_of(node);
    out.assign(own, std::find(own, own + graph.degree, kNoNode));
}

// For each node the nodes that link to it, ascending.
struct Incoming {
    std::vector<int64_t> starts;
    std::vector<int32_t> nodes;

    explicit Incoming(const Navigable& graph) : starts(graph.size() + 1) {
        const int64_t all = graph.size() * graph.degree;
        for (int64_t i = 0; i < all; ++i) {
            if (graph.links[i] != kNoNode) ++starts[graph.links[i] + 1];
        }
        std::partial_sum(starts.begin(), starts.end(), starts.begin());
        nodes.resize(starts.back());
        std::vector<int64_t> next(starts.begin(), starts.end() - 1);
        for (int64_t i = 0; i < all; ++i) {
            if (graph.links[i] != kNoNode) nodes[next[graph.links[i]]++] = static_cast<int32_t>(i / graph.degree);
        }
    }
};

int64_t wanted_starts(int64_t n) {
    return std::min(n, std::max(kLeastStarts, static_cast<int64_t>(2 * std::sqrt(static_cast<double>(n)))));
}

// Begins searches at nodes of equal distance in the order of the nodes, so that they are spread as the rows are, and in
// every region.
void choose_starts(Navigable& graph) {
    const int64_t n = graph.size();
    const int64_t count = wanted_starts(n);
    graph.starts.clear();
    for (int64_t i = 0; i < count; ++i) graph.starts.push_back(static_cast<int32_t>((2 * i + 1) * n / (2 * count)));
    std::vector<bool> begun(graph.centres.regions());
    for (const int32_t node : graph.starts) begun[graph.region(node)] = true;
    for (int32_t node = 0; node < n; ++node) {
        if (begun[graph.region(node)]) continue;
        begun[graph.region(node)] = true;
        graph.starts.push_back(node);
    }
}

// Marks all nodes that paths from the given ones lead to; returns how many were not marked before.
int64_t reach(const Navigable& graph, std::vector<int32_t> from, std::vector<bool>& reached) {
    auto count = static_cast<int64_t>(from.size());
    for (const int32_t node : from) reached[node] = true;
    while (!from.empty()) {
        const int32_t node = from.back();
        from.pop_back();
        const int32_t* const links = graph.links_of(node);
        for (int64_t i = 0; i < graph.degree && links[i] != kNoNode; ++i) {
            if (reached[links[i]]) continue;
            reached[links[i]] = true;
            from.push_back(links[i]);
            ++count;
        }
    }
    return count;
}

// Lets searches reach every node. Of the parts that no path leads to, the largest get starts of their own, because one
// link from elsewhere is seldom on the way of a search; the others get such a link, from the nearest node that can
// spare one.
void connect(Navigable& graph, const RowOps& ops) {
    std::vector<bool> reached(graph.size());
    reach(graph, graph.starts, reached);
    std::vector<std::pair<int64_t, int32_t>> parts;  // size, negated, and a node that leads to the others
    for (int32_t node = 0; node < graph.size(); ++node) {
        if (!reached[node]) parts.emplace_back(-reach(graph, {node}, reached), node);
    }
    std::sort(parts.begin(), parts.end());
    const auto alone = std::find_if(parts.begin(), parts.end(), [](const auto& part) { return part.first == -1; });
    const auto first = std::min(static_cast<int64_t>(alone - parts.begin()), wanted_starts(graph.size()));
    for (int64_t i = 0; i < first; ++i) graph.starts.push_back(parts[i].second);
    std::vector<int32_t> incoming(graph.size());
    for (int64_t i = 0; i < graph.size() * graph.degree; ++i) {
        if (graph.links[i] != kNoNode) ++incoming[graph.links[i]];
    }
    Walk walk;
    for (size_t i = first; i < parts.size(); ++i) {
        const int32_t node = parts[i].second;
        ask_node(graph, node, walk.query);
        nearest_starts(graph, ops, kBegin, walk);
        walk_to(graph, ops, kRepairWidth, walk);
        // The last link is free, or leads to a node that several others lead to.
        const auto from = std::find_if(walk.pool.begin(), walk.pool.end(), [&](Step step) {
            const int32_t last = graph.links_of(node_of_step(step))[graph.degree - 1];
            return last == kNoNode || incoming[last] > kSeveral;
        });
        if (from == walk.pool.end()) continue;
        int32_t* const links = graph.links_of(node_of_step(*from));
        if (links[graph.degree - 1] != kNoNode) --incoming[std::exchange(links[graph.degree - 1], kNoNode)];
        *std::find(links, links + graph.degree, kNoNode) = node;
        ++incoming[node];
    }
    std::fill(reached.begin(), reached.end(), false);
    reach(graph, graph.starts, reached);
    for (int32_t node = 0; node < graph.size(); ++node) {
        if (reached[node]) continue;
        graph.starts.push_back(node);
        reach(graph, {node}, reached);
    }
}

// Takes of each node's list the nodes to which the fewest others of the list lead by two shorter steps.
void take_few_detours(Navigable& graph, const NodeLists& lists, Pool& pool, const Callbacks& callbacks) {
    const int64_t n = graph.size(), tasks = (n + kChunk - 1) / kChunk, width = lists.width();
    std::vector<std::vector<int32_t>> places(pool.threads());
    pool.run(tasks, callbacks, [&](int worker, int64_t task) {
        std::vector<int32_t>& place = places[worker];
        place.resize(n, -1);
        std::vector<int32_t> own, detours, order, out;
        for (int64_t node = task * kChunk; node < std::min(n, (task + 1) * kChunk); ++node) {
            own.clear();
            const Key* const list = lists.at(node);
            for (int64_t i = 0; i < width && list[i] != kNoKey; ++i) own.push_back(node_of(list[i]));
            for (size_t i = 0; i < own.size(); ++i) place[own[i]] = static_cast<int32_t>(i);
            detours.assign(own.size(), 0);
            for (size_t i = 0; i < own.size(); ++i) {
                const Key* const other = lists.at(own[i]);
                for (int64_t p = 0; p < width && other[p] != kNoKey; ++p) {
                    const int32_t j = place[node_of(other[p])];
                    if (j > static_cast<int32_t>(i) && p < j) ++detours[j];
                }
            }
            order.resize(own.size());
            std::iota(order.begin(), order.end(), 0);
            std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return detours[a] < detours[b]; });
            out.clear();
            for (size_t i = 0; i < order.size() && static_cast<int64_t>(i) < graph.degree; ++i)
                out.push_back(own[order[i]]);
            for (const int32_t other : own) place[other] = -1;
            put_links(graph, node, out);
        }
    });
}

}  // namespace

void link_nodes(Navigable& graph, const NodeLists& lists, const RowOps& ops, Pool& pool, const Callbacks& callbacks) {
    const int64_t n = graph.size(), tasks = (n + kChunk - 1) / kChunk;
    graph.links.resize(n * graph.degree);
    take_few_detours(graph, lists, pool, callbacks);
    const Incoming incoming(graph);
    pool.run(tasks, callbacks, [&](int, int64_t task) {
        Chooser chooser(graph, ops);
        std::vector<int32_t> candidates;
        for (int64_t node = task * kChunk; node < std::min(n, (task + 1) * kChunk); ++node) {
            get_links(graph, node, candidates);
            const auto from = incoming.nodes.begin() + incoming.starts[node];
            candidates.insert(candidates.end(), from, incoming.nodes.begin() + incoming.starts[node + 1]);
            std::sort(candidates.begin(), candidates.end());
            candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
            chooser.keep(static_cast<int32_t>(node), candidates, graph.degree, true);
            put_links(graph, node, candidates);
        }
    });
    choose_starts(graph);
    connect(graph, ops);
}

namespace {

// Chooses the links of nodes from what searches for them find, and links what they lead to back to them.
void link_found(Navigable& graph, const std::vector<int32_t>& nodes, int64_t width, const RowOps& ops, Pool& pool,
                const Callbacks& callbacks) {
    const auto n = static_cast<int64_t>(nodes.size());
    std::vector<std::vector<int32_t>> found(n);
    pool.run((n + kSearches - 1) / kSearches, callbacks, [&](int, int64_t task) {
        thread_local Walk walk;
        Chooser chooser(graph, ops);
        for (int64_t i = task * kSearches; i < std::min(n, (task + 1) * kSearches); ++i) {
            get_links(graph, nodes[i], found[i]);
            ask_node(graph, nodes[i], walk.query);
            nearest_starts(graph, ops, kBegin, walk);
            walk_to(graph, ops, width, walk);
            for (const Step step : walk.pool) found[i].push_back(node_of_step(step));
            chooser.keep(nodes[i], found[i], graph.degree, true);
        }
    });
    std::vector<std::pair<int32_t, int32_t>> back;  // from a node to one of these
    for (int64_t i = 0; i < n; ++i) {
        put_links(graph, nodes[i], found[i]);
        for (const int32_t other : found[i]) back.emplace_back(other, nodes[i]);
    }
    std::sort(back.begin(), back.end());
    std::vector<size_t> groups;
    for (size_t i = 0; i < back.size(); ++i) {
        if (i == 0 || back[i].first != back[i - 1].first) groups.push_back(i);
    }
    groups.push_back(back.size());
    const auto count = static_cast<int64_t>(groups.size()) - 1;
    pool.run((count + kSearches - 1) / kSearches, callbacks, [&](int, int64_t task) {
        Chooser chooser(graph, ops);
        std::vector<int32_t> candidates;
        for (int64_t g = task * kSearches; g < std::min(count, (task + 1) * kSearches); ++g) {
            const int32_t node = back[groups[g]].first;
            get_links(graph, node, candidates);
            for (size_t i = groups[g]; i < groups[g + 1]; ++i) candidates.push_back(back[i].second);
            chooser.keep(node, candidates, graph.degree, true);
            put_links(graph, node, candidates);
        }
    });
}

}  // namespace

void link_new_nodes(Navigable& graph, int64_t first, int64_t width, const RowOps& ops, Pool& pool,
                    const Callbacks& callbacks) {
    const int64_t n = graph.size();
    const bool anew = first == 0;
    graph.links.resize(n * graph.degree);
    std::fill(graph.links.data() + first * graph.degree, graph.links.data() + n * graph.degree, kNoNode);
    std::vector<int32_t> nodes;
    for (int64_t last; first < n; first = last) {
        last = std::min(n, first + std::max<int64_t>(1, first / kBatchShare));
        nodes.resize(last - first);
        std::iota(nodes.begin(), nodes.end(), static_cast<int32_t>(first));
        link_found(graph, nodes, width, ops, pool, callbacks);
        const int64_t more = std::max<int64_t>(0, wanted_starts(last) - static_cast<int64_t>(graph.starts.size()));
        const int64_t apart = std::max<int64_t>(1, (last - first) / std::max<int64_t>(1, more));
        for (int64_t i = 0; i < std::min(more, last - first); ++i)
            graph.starts.push_back(static_cast<int32_t>(last - 1 - i * apart));
    }
    if (anew) choose_starts(graph);
    connect(graph, ops);
}

void link_again(Navigable& graph, const std::vector<int32_t>& nodes, int64_t width, const RowOps& ops, Pool& pool,
                const Callbacks& callbacks) {
    if (nodes.empty()) return;
    link_found(graph, nodes, width, ops, pool, callbacks);
    connect(graph, ops);
}

}  // namespace vicinal
