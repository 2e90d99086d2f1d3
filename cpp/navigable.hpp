// A flat graph for searching: each node has links to nodes near it in several directions, and a query walks along them.
//
// The links are chosen from the lists of an approximate neighbour graph (graph_join.hpp). Of a node's list those are
// taken to which the fewest others lead by two shorter steps (CAGRA, Ootomo et al. 2024). Of these, and of the nodes
// that took this one, those are kept that no kept one is nearer to than the node itself (the rule of NSG, Fu et al.
// 2019, and of HNSW); the nearest of the others take the rest of the places. Most links go both ways. There are no
// levels: a search begins at the nearest of some nodes spread over all rows. A node that no path from these leads to is
// linked from its nearest node that one leads to.
//
// Each node is coded at a scale of its own, from the centre of its region (navigable_codes.cpp); so is a query, from
// the centre of each region that it comes to. A search compares codes only; the caller measures what it returns.
#pragma once

#include <bit>
#include <memory>
#include <vector>

#include "node_lists.hpp"
#include "rows.hpp"

namespace vicinal {

inline constexpr int32_t kNoNode = -1;
inline constexpr int64_t kBegin = 8;      // starts that a search begins at
inline constexpr float kFarBase = 1e30f;  // the highest

// Where the codes of nodes begin: v = factor * (x - origin) is a row as all that follows sees it, and a node of region
// r has the codes of v - centres[r]. Under inner products the origin is 0.
struct NodeCentres {
    std::vector<double> origin;  // padded to a multiple of 8
    double factor = 1;
    int max_code = 127;
    std::vector<float> centres;  // of each region, padded as the origin

    int64_t width() const { return static_cast<int64_t>(origin.size()); }
    int64_t regions() const { return static_cast<int64_t>(centres.size()) / width(); }
    const float* of(int64_t region) const { return &centres[region * width()]; }
};

// What is known of a node beside its code: v - centre is about scale * code.
struct NodeTerms {
    float base = 0;  // half of the squared length of scale * code; 0 under inner products
    float scale = 1;
};

// Memory aligned to cache lines, in huge pages where there are many bytes.
template <class T>
class Lines {
public:
    Lines() = default;
    void resize(size_t size);  // keeps what is there; new elements are not initialised
    T* data() { return reinterpret_cast<T*>(bytes_.get()); }
    const T* data() const { return reinterpret_cast<const T*>(bytes_.get()); }
    size_t size() const { return size_; }
    T& operator[](size_t i) { return data()[i]; }
    const T& operator[](size_t i) const { return data()[i]; }

private:
    struct Free {
        void operator()(std::byte* p) const;
    };
    std::unique_ptr<std::byte, Free> bytes_;
    size_t size_ = 0, room_ = 0;
};

// The nodes and their links.
struct Navigable {
    int64_t dim = 0, degree = 0, row_bytes = 0;
    bool products = false;  // whether the nearest rows are those of the highest inner products
    NodeCentres centres;
    std::vector<int32_t> rows;      // of each node the number of its row
    std::vector<uint16_t> regions;  // of each node; empty where there is one region
    Lines<uint8_t> codes;           // row_bytes of each node: code + 128
    Lines<NodeTerms> terms;         // of each node
    Lines<int32_t> links;           // `degree` of each node, kNoNode last
    std::vector<int32_t> starts;    // where searches begin

    int64_t size() const { return static_cast<int64_t>(rows.size()); }
    const int32_t* links_of(int64_t node) const { return &links[node * degree]; }
    int32_t* links_of(int64_t node) { return &links[node * degree]; }
    const uint8_t* code(int64_t node) const { return &codes[node * row_bytes]; }
    int region(int64_t node) const { return regions.empty() ? 0 : regions[node]; }
    void resize(int64_t n);  // all but the links
};

// How near a node is to a query, by the product of their codes; lower is nearer.
inline float nearness(NodeTerms node, float factor, int32_t product) {
    return node.base - factor * node.scale * static_cast<float>(product);
}

// A query from the centre of a region: gap + base of a node - factor * scale of the node * product of codes, lower is
// nearer.
struct CodedQuery {
    std::vector<int8_t> code;
    float factor = 0, gap = 0;
    int32_t offset = 0;  // what the 128 of the nodes' codes adds to each product
    bool coded = false;

    float to(NodeTerms node, int32_t product) const { return nearness(node, factor, product - offset); }
};

// A query, coded for each region that it is compared with.
struct Asked {
    std::vector<float> v;
    std::vector<CodedQuery> of;  // of each region
    std::vector<int32_t> order, products, grouped;

    void forget(int64_t regions);  // what the last query was coded as
};

// Keys of a search: the distance as a whole number that is ordered as it is, the node, and whether it was expanded.
using Step = uint64_t;

// What a thread needs for its searches.
struct Walk {
    Asked query;
    std::vector<Step> pool;  // ascending
    std::vector<uint64_t> seen;
    std::vector<int32_t> touched, named, products;
    std::vector<float> near;
    std::vector<int32_t> begin;
    int32_t hidden = kNoNode;  // a node that is passed over, as if it were not there
};

// Leaves the `width` nodes nearest to the query that it finds in walk.pool; walk.begin holds the nodes to begin at.
void walk_to(const Navigable& graph, const RowOps& ops, int64_t width, Walk& walk);
// Puts the `count` starts nearest to the query into walk.begin, the nearest first.
void nearest_starts(const Navigable& graph, const RowOps& ops, int64_t count, Walk& walk);
// Takes a row, or a node as its code has it, as the query.
void ask_row(const Navigable& graph, const RowOps& ops, const Rows& rows, int64_t row, Asked& query);
void ask_node(const Navigable& graph, int64_t node, Asked& query);
// The query from the centre of a region. Under inner products its code is the same for all.
const CodedQuery& code_query(const Navigable& graph, const RowOps& ops, Asked& query, int64_t region);
// How near the query is to the named nodes. Without `whole` a term may be left out that all have in common.
void compare(const Navigable& graph, const RowOps& ops, Asked& query, const std::vector<int32_t>& named, bool whole,
             std::vector<float>& near);
// Chooses the centres of the nodes that are to come, from rows alone; codes a row as a node.
void choose_centres(Navigable& graph, const RowOps& ops, const Rows& rows);
void code_node(Navigable& graph, const RowOps& ops, const Rows& rows, int64_t row, int64_t node);
inline Step step_of(float distance, int32_t node) {
    const auto bits = std::bit_cast<uint32_t>(distance + 0.0f);
    return Step{bits & 0x80000000u ? ~bits : bits | 0x80000000u} << 32 | static_cast<uint32_t>(node) << 1;
}
inline float distance_of_step(Step step) {
    const auto bits = static_cast<uint32_t>(step >> 32);
    return std::bit_cast<float>(bits & 0x80000000u ? bits & 0x7fffffffu : ~bits);
}
inline int32_t node_of_step(Step step) { return static_cast<int32_t>(step >> 1 & 0x7fffffff); }

// Chooses the links of all nodes from their lists, and where searches begin.
void link_nodes(Navigable& graph, const NodeLists& lists, const RowOps& ops, Pool& pool, const Callbacks& callbacks);
// Chooses the links of some nodes anew, from what searches for them find.
void link_again(Navigable& graph, const std::vector<int32_t>& nodes, int64_t width, const RowOps& ops, Pool& pool,
                const Callbacks& callbacks);
// Links the nodes from `first` on, which are coded already, with the others; from 0 on, with each other.
void link_new_nodes(Navigable& graph, int64_t first, int64_t width, const RowOps& ops, Pool& pool,
                    const Callbacks& callbacks);

}  // namespace vicinal
