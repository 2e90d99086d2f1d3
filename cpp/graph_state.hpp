// What a Graph consists of.
#pragma once

#include "graph_join.hpp"
#include "prepared.hpp"
#include "topk.hpp"

namespace vicinal {

struct Graph::State {
    Metric metric;
    const Isa& isa;
    Pool pool;
    Normalised vectors;
    std::unique_ptr<Coder> coder;
    Copies copies;
    bool grouped;
    GraphJoin join;
    std::vector<int32_t> classes;  // the class of equal rows of each row
    std::vector<int32_t> nodes;    // the node of each class

    State(const Matrix& matrix, Metric metric, int threads, const std::string& name, const int64_t* groups,
          const GraphSettings& settings, const Callbacks& callbacks);

    // The distances of the entries of a node's list, ascending by (distance, row).
    void measure(int64_t node, std::vector<double>& x, std::vector<int32_t>& rows, std::vector<double>& sums,
                 std::vector<Neighbour>& out) const;
    // The first `limit` rows that a list of distinct rows stands for.
    void expand(const std::vector<Neighbour>& distinct, int64_t limit, std::vector<Neighbour>& out) const;
    // How near rows may be that the node's list lacks only because codes tell distances no better: about five standard
    // deviations of their error below its last entry. sums: of the entries, as `measure` leaves them.
    double reach(int64_t node, const std::vector<double>& sums) const;
    void neighbours(const int64_t* rows, int64_t n, int64_t k, int64_t* indices, float* distances, double* reaches,
                    const Callbacks& callbacks);
};

}  // namespace vicinal
