// An approximate neighbour graph: the k nearest nodes of each node, most of them found.
//
// A partition assigns each node to the cells of its nearest leaders, a random subset of the nodes, and joins every cell
// as a small self-join of codes. Cells of several partitions overlap in other ways, so that what one separates another
// joins (PiPNN, arXiv:2602.21247). A round of refinement then compares each block of nodes that lie near each other
// with the neighbours of their neighbours (NN-descent, Dong et al. 2011), as one dense scan for all nodes of the block.
//
// Only scores of codes are compared. `neighbours` measures the entries of a list and returns the nearest.
#pragma once

#include <atomic>
#include <memory>

#include "copies.hpp"
#include "node_lists.hpp"
#include "pool.hpp"

namespace vicinal {

// Nodes gathered for scans: their codes as rows, as columns, or both.
class Patch {
public:
    explicit Patch(const NodeCodes& codes) : codes_(codes) {}

    void gather_rows(const int32_t* nodes, int64_t n);
    void gather_columns(const int32_t* nodes, int64_t n);

    // Fills the rows [first, first + kRowStep), rounded up to a multiple of `step`, or the columns of a panel into a
    // job, with the thresholds that admit pairs of at most the worst ranks. Columns without ranks admit none.
    void put_rows(ScanJob& job, int64_t first, int step, const Rank* worst, std::vector<int32_t>& thresholds) const;
    void put_columns(ScanJob& job, int64_t panel, const Rank* worst, std::vector<int32_t>& thresholds) const;

    int64_t rows() const { return n_rows_; }
    int64_t columns() const { return n_columns_; }
    int32_t base(int64_t i) const { return bases_[i]; }  // of a row
    int32_t column_base(int64_t i) const { return column_bases_[i]; }

private:
    const NodeCodes& codes_;
    int64_t n_rows_ = 0, n_columns_ = 0;
    std::vector<int8_t> rows_;
    std::vector<uint8_t> panels_;
    std::vector<int32_t> bases_, row_bases_, column_bases_;
};

struct GraphSettings {
    int64_t width = 16;  // entries of a list
    uint64_t seed = 0;
    uint8_t* codes = nullptr;  // where the codes are kept, such as a map of a file; null for memory of their own
};

class GraphJoin {
public:
    // The rows of `which` are distinct. groups, one for each given row, may be null.
    GraphJoin(const Rows& rows, std::vector<int32_t> which, Metric metric, const Coder& coder, const Isa& isa,
              const int64_t* groups, const GraphSettings& settings, Pool& pool, const Callbacks& callbacks);
    ~GraphJoin();

    // Joins the cells of one more partition. Each node is in the cells of its `fanout` nearest leaders; cells have
    // about `leaf` nodes.
    void partition(int64_t leaf, int64_t fanout, const Callbacks& callbacks);
    // Compares each node with the neighbours of its neighbours: those of `degree` entries of a list, of which one is
    // new since the last round.
    void refine(int64_t degree, int64_t most, const Callbacks& callbacks);

    // Gives back what further steps need, codes above all: the lists and the rows of the nodes remain.
    void release();

    const NodeCodes& codes() const { return codes_; }
    const NodeLists& lists() const { return lists_; }
    int64_t pairs() const { return pairs_; }      // compared so far
    int64_t changed() const { return changed_; }  // entries inserted by the last call

private:
    struct Worker;

    bool allowed(int32_t a, int32_t b) const { return !groups_ || groups_[codes_.row(a)] != groups_[codes_.row(b)]; }
    // The members of each cell, ascending.
    struct Cells {
        std::vector<int64_t> starts;
        std::vector<int32_t> members;

        std::vector<int32_t> of(int64_t cell) const {
            return {members.begin() + starts[cell], members.begin() + starts[cell + 1]};
        }
    };

    void nearest_leaders(Worker& worker, const Patch& leaders, int64_t fanout) const;
    void split(Worker& worker, const std::vector<int32_t>& nodes, int64_t most, uint64_t salt,
               std::vector<std::vector<int32_t>>& out) const;
    Cells assign(int64_t leaders, int64_t fanout, uint64_t salt, const Callbacks& callbacks);
    void sort_nodes(const Callbacks& callbacks);
    void join_cell(Worker& worker, const std::vector<int32_t>& nodes);
    void find_candidates(Worker& worker, int64_t first, int64_t last, int64_t most) const;
    void refine_block(Worker& worker, int64_t first, int64_t last, int64_t most);

    static constexpr uint32_t kNew = uint32_t{1} << 31, kNoLink = ~uint32_t{0};

    const ScanOps& scan_;
    Pool& pool_;
    const int64_t* groups_;
    uint64_t seed_;
    bool released_ = false;
    NodeCodes codes_;
    NodeLists lists_;
    int64_t degree_ = 0;
    std::vector<uint32_t>
        links_;  // the first entries of each list when the last round began, with kNew where it is new
    uint64_t calls_ = 0;
    std::atomic<int64_t> pairs_ = 0, changed_ = 0;
    std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace vicinal
