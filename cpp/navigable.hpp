// A flat graph for searching: each node has links to nodes near it in several directions, and a query walks along them.
//
// The links are chosen from the lists of an approximate neighbour graph (graph_join.hpp): of a node's neighbours those
// are kept that no kept one is nearer to than the node itself (the rule of NSG, Fu et al. 2019, and of HNSW), and most
// links go both ways. There are no levels: a search begins at the nearest of some nodes spread over all rows. A node
// that no path from these leads to is linked from its nearest node that one leads to.
//
// Nodes are coded as in node_codes.hpp, queries at a scale of their own. A search compares codes only; the caller
// measures what it returns.
#pragma once

#include <memory>
#include <vector>

#include "node_lists.hpp"
#include "rows.hpp"

namespace vicinal {

inline constexpr int32_t kNoNode = -1;
inline constexpr int64_t kBegin = 8;      // starts that a search begins at
inline constexpr float kFarBase = 1e30f;  // of nodes whose codes say nothing of their distances

// What nodes are coded with: round(factor * (x - centre) / scale), clipped.
struct NodeScale {
    std::vector<double> centre;  // padded to a multiple of 8
    double factor = 1, scale = 1;
    int max_code = 127;
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
    NodeScale scale;
    std::vector<int32_t> rows;    // of each node the number of its row
    Lines<uint8_t> codes;         // row_bytes of each node: code + 128
    Lines<float> bases;           // half of the squared length of each node, in units of scale^2
    Lines<int32_t> links;         // `degree` of each node, kNoNode last
    std::vector<int32_t> starts;  // where searches begin

    int64_t size() const { return static_cast<int64_t>(rows.size()); }
    const int32_t* links_of(int64_t node) const { return &links[node * degree]; }
    int32_t* links_of(int64_t node) { return &links[node * degree]; }
    const uint8_t* code(int64_t node) const { return &codes[node * row_bytes]; }
};

// A query as a search compares it: base of a node - factor * product of codes, lower is nearer.
struct CodedQuery {
    std::vector<int8_t> code;
    float factor = 0;
    int32_t offset = 0;  // what the 128 of the nodes' codes adds to each product
};

// Keys of a search: the distance as a whole number that is ordered as it is, the node, and whether it was expanded.
using Step = uint64_t;

// What a thread needs for its searches.
struct Walk {
    CodedQuery query;
    std::vector<double> loaded;
    std::vector<float> moved;
    std::vector<Step> pool;  // ascending
    std::vector<uint64_t> seen;
    std::vector<int32_t> touched, named, products;
    std::vector<int32_t> begin;
};

// Leaves the `width` nodes nearest to the query that it finds in walk.pool; walk.begin holds the nodes to begin at.
void walk_to(const Navigable& graph, const RowOps& ops, int64_t width, Walk& walk);
// Puts the `count` starts nearest to the query into walk.begin, the nearest first.
void nearest_starts(const Navigable& graph, const RowOps& ops, int64_t count, Walk& walk);
// Codes a query into walk.query, and a row as a node.
void code_query(const Navigable& graph, const RowOps& ops, const Rows& queries, int64_t query, Walk& walk);
void code_node(Navigable& graph, const RowOps& ops, const Rows& rows, int64_t row, int64_t node);
inline int32_t node_of_step(Step step) { return static_cast<int32_t>(step >> 1 & 0x7fffffff); }

// Chooses the links of all nodes from their lists, and where searches begin.
void link_nodes(Navigable& graph, const NodeLists& lists, const RowOps& ops, Pool& pool, const Callbacks& callbacks);
// Links the nodes from `first` on, which are coded already, with the others.
void link_new_nodes(Navigable& graph, int64_t first, int64_t width, const RowOps& ops, Pool& pool,
                    const Callbacks& callbacks);

}  // namespace vicinal
