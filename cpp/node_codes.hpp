// The codes of the nodes of an approximate neighbour graph: distinct rows, coded once at one common scale.
//
// One scale makes the whole-number score of a pair (scan.hpp) comparable between all pairs, so a list of neighbours is
// ordered by scores alone, on every machine alike, and one scan serves any subset of the nodes. Nothing is proved from
// these scores: a list holds more entries than are asked for, and the distances of all of them are computed at the end.
#pragma once

#include <vector>

#include "coder.hpp"
#include "panels.hpp"
#include "pool.hpp"

namespace vicinal {

// Nearness of a pair in whole numbers: lower is nearer.
using Rank = uint32_t;

class NodeCodes {
public:
    // `which` are the rows of the nodes. The codes are kept in `lent`, if given: row_bytes() for each node.
    NodeCodes(const Rows& rows, std::vector<int32_t> which, Metric metric, const Coder& coder, const Isa& isa,
              Pool& pool, const Callbacks& callbacks, uint8_t* lent = nullptr);

    int64_t size() const { return static_cast<int64_t>(rows_.size()); }
    int32_t row(int64_t node) const { return rows_[node]; }
    const std::vector<int32_t>& rows() const { return rows_; }
    int64_t row_bytes() const { return row_bytes_; }
    int groups() const { return static_cast<int>(panel_bytes_ / width_); }
    int64_t panel_bytes() const { return panel_bytes_ * kPanel; }
    const int8_t* code(int64_t node) const { return reinterpret_cast<const int8_t*>(codes_.get()) + node * row_bytes_; }
    // What is added to a score for the node as a column, and as a row.
    int32_t base(int64_t node) const { return bases_[node]; }
    int32_t row_base(int64_t node) const { return bases_[node] - (sums_.empty() ? 0 : 128 * sums_[node]); }

    Rank rank(int32_t score, int32_t base, int32_t other_base) const {
        return jaccard_ ? share(score, base, other_base) : static_cast<Rank>(kMiddle - score);
    }
    // The threshold of a scan that no pair of at most this rank fails. `row_base` is that of a row of the scan, 0 for a
    // column.
    int32_t threshold(Rank worst, int32_t row_base) const;
    // What codes are multiples of, but for bits.
    double scale() const { return scale_; }
    // What a rank adds to the sum of a pair (coder.hpp), but for the error of codes; 0 where codes have none.
    double sum_of_rank() const { return sum_of_rank_; }
    // Half of a node's squared length in units of scale^2, of the dot kernel's distances.
    int32_t half_square(int64_t node) const { return -bases_[node]; }
    // Whether ranks and thresholds are shares of the sum of both bases (bits_codes.hpp).
    bool shares() const { return jaccard_; }
    int32_t no_threshold() const { return jaccard_ ? 0 : kPassNone; }
    // Nodes whose codes say nothing of their distances, in ascending order.
    const std::vector<int32_t>& uncoded() const { return uncoded_; }

    // Packs the code of a node into a column of a panel.
    void pack(int64_t node, uint8_t* panel, int column) const;
    // Gives the memory of the codes back: only the rows of the nodes and the scale remain.
    void release();
    // Renumbers the nodes: order[i] becomes node i.
    void renumber(const std::vector<int32_t>& order);

private:
    static constexpr int32_t kMiddle = 1 << 30;
    static Rank share(int32_t score, int32_t base, int32_t other_base);
    // Codes a node for the dot kernel; returns whether it could.
    bool put_dot(const class DotCoder& coder, const Rows& rows, double scale, int64_t node);

    const RowOps& ops_;
    Metric metric_;
    bool jaccard_;
    int width_;
    uint8_t offset_;
    int64_t dim_, row_bytes_, panel_bytes_;
    double scale_ = 1, sum_of_rank_ = 0;
    std::vector<int32_t> rows_;
    Bytes codes_;
    std::vector<int32_t> bases_, sums_, uncoded_;
};

}  // namespace vicinal
