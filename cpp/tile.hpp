// The scan of tiles by one thread: a block of coded rows against blocks of stored columns.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "stored.hpp"

namespace vicinal {

// A pair that passed the scan, numbered within its blocks, with a lower bound of its radius.
struct Candidate {
    int32_t row;
    int32_t column;
    int32_t score;
    float lower;
};

// Radii are lowered by one thread while others read them. An outdated value is too high, which lets more pairs pass and
// is harmless.
using Radii = std::vector<double>;
inline double read_radius(Radii& radii, int64_t i) {
    return std::atomic_ref<double>(radii[i]).load(std::memory_order_relaxed);
}
inline void lower_radius(Radii& radii, int64_t i, double value) {
    if (value < read_radius(radii, i)) std::atomic_ref<double>(radii[i]).store(value, std::memory_order_relaxed);
}

class Tiles {
public:
    // `max_rows`: the highest number of rows, if it is above that of a block of the layer.
    Tiles(const Layer& layer, const Coder& coder, const Isa& isa, int64_t max_rows = 0);

    // The coded rows must outlive the scan.
    void set_rows(const CodedBlock& coded);
    void set_stored_rows(int64_t block) { set_stored_rows(layer_, block); }
    // The rows of a layer of the same range.
    void set_stored_rows(const Layer& layer, int64_t block);
    const BlockStats& rows() const { return row_stats_; }

    // Sets the current block of columns and its thresholds. A pair passes if it can be within the radius of its row or
    // of its column.
    void begin(int64_t block, const double* row_radii, const double* column_radii);
    // Calls use(first column of the panel, pairs, n) for each panel with pairs that pass. On the diagonal each pair
    // occurs once. keep(row, column) excludes pairs.
    template <class Keep, class Use>
    void scan(bool diagonal, Keep&& keep, Use&& use);
    // Filters a panel's pairs by the scores of this layer and returns how many are left.
    size_t narrow(int first_column, Survivor* pairs, size_t n);
    // The panel's pairs with the bounds that the scores of this layer give.
    const Candidate* candidates(int first_column, const Survivor* pairs, size_t n);
    // Whether any pair of the rows and the current block can pass.
    bool any() const { return row_thresholds_.any || column_thresholds_.any; }
    // Whether the scores of the current block give upper bounds of distances.
    bool has_upper_bounds() const { return has_upper_bounds_; }

    // Computes all scores of the rows and a stored block, less row_base, a few rows at a time, and calls use(row,
    // scores), which may overwrite them. Returns false and computes nothing where the scores give no upper bounds.
    template <class Use>
    bool scores(int64_t block, const double* any_radii, Use&& use);
    int32_t row_base(int row) const { return row_thresholds_.base[row]; }

private:
    ScanJob job() const;
    // Computes the scores of kRowStep rows from first_row on.
    void fill_scores(int first_row);
    // Sets the job's columns to a panel of the current block.
    void set_panel(ScanJob& job, int first_column) const;

    const Layer& layer_;
    const Coder& coder_;
    const ScanOps& scan_;
    const RowOps& row_ops_;
    BlockStats row_stats_;
    const int8_t* codes_ = nullptr;
    std::vector<int8_t> unpacked_;
    int64_t block_ = 0;
    bool has_upper_bounds_ = false;
    Thresholds row_thresholds_, column_thresholds_;
    std::unique_ptr<Survivor[]> survivors_;  // uninitialised beyond the pairs that pass
    std::vector<uint8_t> columns_;
    std::vector<int32_t> products_, scores_;
    std::vector<float> lower_;
    std::vector<Candidate> candidates_;
};

// Finds the pairs that can be within a radius: by the codes alone, or first by a layer whose scan is faster, the coarse
// codes or the sketches, and then, pair by pair, by the codes.
class Filter {
public:
    Filter(const Stored& stored, const Isa& isa) : tiles(stored.layer(), stored.coder(), isa) {
        if (stored.coarse()) first.emplace(*stored.coarse(), stored.coder(), isa);
    }
    void use_sketches(const Stored& stored, const Isa& isa) { first.emplace(stored.sketches(), stored.coder(), isa); }

    // As Tiles::begin and Tiles::scan.
    template <class Keep, class Use>
    void scan(int64_t block, const double* row_radii, const double* column_radii, bool diagonal, Keep&& keep,
              Use&& use) {
        tiles.begin(block, row_radii, column_radii);
        if (!tiles.any()) return;
        if (!first) return tiles.scan(diagonal, keep, use);
        first->begin(block, row_radii, column_radii);
        first->scan(diagonal, keep, [&](int column, Survivor* pairs, size_t n) {
            n = tiles.narrow(column, pairs, n);
            if (n > 0) use(column, pairs, n);
        });
    }

    Tiles tiles;
    std::optional<Tiles> first;
};

template <class Keep, class Use>
void Tiles::scan(bool diagonal, Keep&& keep, Use&& use) {
    const BlockStats& columns = layer_.stats(block_);
    if (!row_thresholds_.any && !column_thresholds_.any) return;
    ScanJob job = this->job();
    for (int first = 0; first < columns.size; first += kPanel) {
        set_panel(job, first);
        // Rows beyond the panel's last column are paired with these columns in their own panel.
        if (diagonal) job.n_rows = static_cast<int>(padded(std::min(first + kPanel, row_stats_.size), scan_.row_step));
        const size_t passed = scan_.survivors(job, survivors_.get());
        size_t kept = 0;
        for (size_t i = 0; i < passed; ++i) {
            const Survivor s = survivors_[i];
            const int column = first + s.column;
            if (s.row >= row_stats_.size || column >= columns.size || (diagonal && s.row >= column)) continue;
            if (keep(s.row, column)) survivors_[kept++] = s;
        }
        if (kept > 0) use(first, survivors_.get(), kept);
    }
}

template <class Use>
bool Tiles::scores(int64_t block, const double* any_radii, Use&& use) {
    begin(block, any_radii, any_radii);
    if (!has_upper_bounds_) return false;
    const int64_t stride = padded(layer_.stats(block).size, kPanel);
    for (int first = 0; first < row_stats_.size; first += kRowStep) {
        fill_scores(first);
        for (int i = first; i < std::min(first + kRowStep, row_stats_.size); ++i)
            use(i, &scores_[(i - first) * stride]);
    }
    return true;
}

}  // namespace vicinal
