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
    // The same of one panel and the rows [first_row, end); first_row is a multiple of row_step().
    template <class Keep, class Use>
    void scan(int first_column, int first_row, int end, bool diagonal, Keep&& keep, Use&& use);
    int row_step() const { return scan_.row_step; }
    // The rows of which some are paired with a panel: on the diagonal, those beyond its last column are paired with
    // its columns in their own panel.
    int rows_of(int first_column, bool diagonal) const {
        return diagonal ? std::min(first_column + kPanel, row_stats_.size) : row_stats_.size;
    }
    // Filters a panel's pairs by the scores of this layer and returns how many are left.
    size_t narrow(int first_column, Survivor* pairs, size_t n);
    // The panel's pairs with the bounds that the scores of this layer give.
    const Candidate* candidates(int first_column, const Survivor* pairs, size_t n);
    int columns() const { return layer_.stats(block_).size; }
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
    int8_t* room() const { return reinterpret_cast<int8_t*>(unpacked_.get()); }
    // The rows [first_row, end) and a panel of the current block.
    ScanJob job(int first_row, int end, int first_column) const;
    // Computes the scores of kRowStep rows from first_row on.
    void fill_scores(int first_row);

    const Layer& layer_;
    const Coder& coder_;
    const ScanOps& scan_;
    const RowOps& row_ops_;
    BlockStats row_stats_;
    const int8_t* codes_ = nullptr;
    int64_t block_ = 0;
    bool has_upper_bounds_ = false;
    Thresholds row_thresholds_, column_thresholds_;
    Bytes unpacked_;                         // room for the codes of the rows
    std::unique_ptr<Survivor[]> survivors_;  // uninitialised beyond the pairs that pass
    std::vector<uint8_t> columns_;
    std::vector<int32_t> products_, scores_;
    std::vector<float> lower_;
    std::vector<Candidate> candidates_;
};

// Finds the pairs that can be within a radius: by the codes alone, or first by a layer whose scan is faster, the coarse
// codes or sketches, and then, pair by pair, by the codes.
//
// The higher the radii, the more coordinates a sketch needs to exclude most pairs. Each pair takes the smallest sketch
// that is made for its radius, the higher one of row and column, or none. Rows of a block are sorted by their radii
// (Stored::arrange), so that a few ranges of rows share a size.
class Filter {
public:
    Filter(const Stored& stored, const Isa& isa) : tiles(stored.layer(), stored.coder(), isa) {
        if (stored.coarse()) coarse_.emplace(*stored.coarse(), stored.coder(), isa);
    }
    void use_sketches(const Stored& stored, const Isa& isa) {
        sketches_.clear();
        for (size_t s = 0; s < stored.sketches(); ++s) {
            sketches_.push_back({Tiles(stored.sketch(s), stored.coder(), isa), stored.highest_radius(s)});
        }
        const int step = tiles.row_step();
        step_ = kRows % step == 0 ? kRows : kRowStep;
    }

    // Calls load(tiles) for each layer.
    template <class Load>
    void load(Load&& load) {
        load(tiles);
        if (coarse_) load(*coarse_);
        for (Sketch& sketch : sketches_) load(sketch.tiles);
    }

    // As Tiles::begin and Tiles::scan.
    template <class Keep, class Use>
    void scan(int64_t block, const double* row_radii, const double* column_radii, bool diagonal, Keep&& keep,
              Use&& use);

    Tiles tiles;

private:
    static constexpr int kRows = 24;  // share a size; a multiple of the rows of a tile of most scans

    struct Sketch {
        Tiles tiles;
        double highest_radius;  // of the pairs it is used for
        bool begun = false;
    };
    // The number of the sketches for pairs of this radius, or the number of sizes.
    uint8_t size_for(double radius) const {
        uint8_t size = 0;
        while (size < sketches_.size() && !(radius <= sketches_[size].highest_radius)) ++size;
        return size;
    }
    // The size that `n` rows need, `step` at a time.
    void choose_sizes(const double* radii, int n, int step, std::vector<uint8_t>& out) const {
        out.clear();
        for (int first = 0; first < n; first += step) {
            out.push_back(size_for(*std::max_element(radii + first, radii + std::min(n, first + step))));
        }
    }
    Tiles& begin(size_t size, int64_t block, const double* row_radii, const double* column_radii);

    std::optional<Tiles> coarse_;
    std::vector<Sketch> sketches_;
    bool coarse_begun_ = false;
    int step_ = kRowStep;
    std::vector<uint8_t> row_sizes_, column_sizes_;
};

template <class Keep, class Use>
void Tiles::scan(bool diagonal, Keep&& keep, Use&& use) {
    if (!any()) return;
    for (int first = 0; first < layer_.stats(block_).size; first += kPanel) {
        scan(first, 0, rows_of(first, diagonal), diagonal, keep, use);
    }
}

template <class Keep, class Use>
void Tiles::scan(int first_column, int first_row, int end, bool diagonal, Keep&& keep, Use&& use) {
    const int n_columns = layer_.stats(block_).size;
    const size_t passed = scan_.survivors(job(first_row, end, first_column), survivors_.get());
    size_t kept = 0;
    for (size_t i = 0; i < passed; ++i) {
        Survivor s = survivors_[i];
        s.row += static_cast<uint16_t>(first_row);
        const int column = first_column + s.column;
        if (s.row >= row_stats_.size || column >= n_columns || (diagonal && s.row >= column)) continue;
        if (keep(s.row, column)) survivors_[kept++] = s;
    }
    if (kept > 0) use(first_column, survivors_.get(), kept);
}

template <class Keep, class Use>
void Filter::scan(int64_t block, const double* row_radii, const double* column_radii, bool diagonal, Keep&& keep,
                  Use&& use) {
    tiles.begin(block, row_radii, column_radii);
    if (!tiles.any()) return;
    coarse_begun_ = false;
    for (Sketch& sketch : sketches_) sketch.begun = false;
    const auto check = [&](int column, Survivor* pairs, size_t n) {
        n = tiles.narrow(column, pairs, n);
        if (n > 0) use(column, pairs, n);
    };
    if (sketches_.empty()) {
        if (!coarse_) return tiles.scan(diagonal, keep, use);
        return begin(0, block, row_radii, column_radii).scan(diagonal, keep, check);
    }
    const int n_columns = tiles.columns();
    choose_sizes(row_radii, tiles.rows().size, step_, row_sizes_);
    choose_sizes(column_radii, n_columns, kPanel, column_sizes_);
    for (int column = 0; column < n_columns; column += kPanel) {
        const int all = tiles.rows_of(column, diagonal);
        const uint8_t least = column_sizes_[column / kPanel];
        for (int first = 0, end; first < all; first = end) {
            const uint8_t size = std::max(least, row_sizes_[first / step_]);
            end = first;
            while (end < all && std::max(least, row_sizes_[end / step_]) == size) end = std::min(all, end + step_);
            Tiles& of = begin(size, block, row_radii, column_radii);
            if (&of == &tiles) tiles.scan(column, first, end, diagonal, keep, use);
            else if (of.any()) of.scan(column, first, end, diagonal, keep, check);
        }
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
