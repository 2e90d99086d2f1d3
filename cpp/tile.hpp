// One thread's scan of tiles: a block of coded rows against blocks of stored columns, and the pairs that pass with the
// bounds that their scores give.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "stored.hpp"

namespace vicinal {

// A pair that passed: its row and its column in their blocks.
struct Candidate {
    int32_t row;
    int32_t column;
    int32_t score;
    float lower;  // radius
};

// Radii that several threads read while one lowers them; an old value is only ever too high.
using Radii = std::vector<double>;
inline double read_radius(Radii& radii, int64_t i) {
    return std::atomic_ref<double>(radii[i]).load(std::memory_order_relaxed);
}
inline void lower_radius(Radii& radii, int64_t i, double value) {
    if (value < read_radius(radii, i)) std::atomic_ref<double>(radii[i]).store(value, std::memory_order_relaxed);
}

class Tiles {
public:
    Tiles(const Layer& layer, const Coder& coder, const Isa& isa);

    // Rows that stay where they are meanwhile.
    void set_rows(const CodedBlock& coded);
    void set_stored_rows(int64_t block);
    const Side& rows() const { return side_; }

    // Takes up a block of columns: a pair matters that can be within either radius.
    void begin(int64_t block, const double* row_radii, const double* column_radii);
    // Hands the pairs that matter to use(first column of the panel, pairs, n), a panel at a time. On the diagonal, each
    // pair once. keep(row, column) says which pairs count.
    template <class Keep, class Use>
    void scan(bool diagonal, Keep&& keep, Use&& use);
    // Leaves those of a panel's pairs that matter, with this layer's scores, and returns how many.
    size_t narrow(int first_column, Survivor* pairs, size_t n);
    // What this layer's scores say of a panel's pairs.
    const Candidate* candidates(int first_column, const Survivor* pairs, size_t n);
    // Whether any pair of the rows and the current block can pass.
    bool some() const { return row_keys_.some || column_keys_.some; }
    // Whether the scores of the block in hand bound distances from above too.
    bool whole() const { return whole_; }

    // All scores of the rows with a stored block's columns, less row_base, a few rows at a time: use(row, its scores)
    // may change them. False, and no use, where they bound nothing from above.
    template <class Use>
    bool scores(int64_t block, const double* any_radii, Use&& use);
    int32_t row_base(int row) const { return row_keys_.base[row]; }

private:
    ScanJob job() const;
    // Fills scores_ with those of kRowStep rows from this one on.
    void fill_scores(int first_row);
    // The job's columns: a panel of the block in hand.
    void set_panel(ScanJob& job, int first_column) const;

    const Layer& layer_;
    const Coder& coder_;
    const ScanOps& scan_;
    const RowOps& row_ops_;
    Side side_;
    const int8_t* codes_ = nullptr;
    std::vector<int8_t> unpacked_;
    int64_t block_ = 0;
    bool whole_ = false;
    Keys row_keys_, column_keys_;
    std::unique_ptr<Survivor[]> survivors_;  // not touched beyond what passes
    std::vector<uint8_t> columns_;
    std::vector<int32_t> products_, scores_;
    std::vector<float> lower_;
    std::vector<Candidate> candidates_;
};

template <class Keep, class Use>
void Tiles::scan(bool diagonal, Keep&& keep, Use&& use) {
    const Side& columns = layer_.side(block_);
    if (!row_keys_.some && !column_keys_.some) return;
    ScanJob job = this->job();
    for (int first = 0; first < columns.size; first += kPanel) {
        set_panel(job, first);
        // Rows beyond the panel's last column meet these columns in their own panel.
        if (diagonal) job.n_rows = static_cast<int>(padded(std::min(first + kPanel, side_.size), scan_.row_step));
        const size_t passed = scan_.survivors(job, survivors_.get());
        size_t kept = 0;
        for (size_t i = 0; i < passed; ++i) {
            const Survivor s = survivors_[i];
            const int column = first + s.column;
            if (s.row >= side_.size || column >= columns.size || (diagonal && s.row >= column)) continue;
            if (keep(s.row, column)) survivors_[kept++] = s;
        }
        if (kept > 0) use(first, survivors_.get(), kept);
    }
}

template <class Use>
bool Tiles::scores(int64_t block, const double* any_radii, Use&& use) {
    begin(block, any_radii, any_radii);
    if (!whole_) return false;
    const int64_t stride = padded(layer_.side(block).size, kPanel);
    for (int first = 0; first < side_.size; first += kRowStep) {
        fill_scores(first);
        for (int i = first; i < std::min(first + kRowStep, side_.size); ++i) use(i, &scores_[(i - first) * stride]);
    }
    return true;
}

}  // namespace vicinal
