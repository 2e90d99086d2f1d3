// Codes of rows for the absolute kernel, and the bound that sums of their absolute differences prove.
//
// Coordinate c of a row x is counted in units of one scale s from a low end: u = (x[c] - low[c]) / s. It is kept within
// the range [0, 255], w = clip(u), and rounded, q = round(w). Rounding loses r = sum |w - q|; what lies beyond the
// range is e = sum |u - w|. Clipping parts a difference exactly: |u - u'| = |w - w'| + |(u - w) - (u' - w')|. So in
// units of s
//     |x - y|_1  >=  sum |q - q'|  -  r - r'  +  |e - e'|,
//     |x - y|_1  <=  sum |q - q'|  +  r + r'  +  e + e'.
// A range that leaves a few large coordinates outside costs little, and makes s, and with it r, small. Which range is
// best is tried out on a sample: the one under which the lower bound of random pairs lies nearest to their distance.
// Whole numbers that span at most 255 keep their values, and so lose nothing.
//
// The scan compares sum |q - q'| with  w + r + (the highest r' of the block) - (how far e lies outside the block's e').
// Coordinates are coded in the order of their spread, widest first, so that a tile is soon left.
//
// Roundings: u and its sums are float64; each coordinate within the range is wrong by at most 2^-42, each one beyond by
// less than (dim + 16) 2^-53 of e; both are added to r. The radius is raised by a billionth, more than the float64
// distance itself can have lost. A row that is not finite in units of s has infinite r: it is always measured.
#pragma once

#include <vector>

#include "coder.hpp"

namespace vicinal {

class AbsoluteCoder final : public Coder {
public:
    // Chooses range and scale from a sample of the rows.
    AbsoluteCoder(const Rows& rows, const RowOps& ops);

    // Of what lies in the range and beyond it: blocks hold rows of like excess.
    double peak(const Rows& rows, int64_t row, int region) const override;
    void code(const Rows& rows, const int32_t* which, int n, int region, double highest_peak,
              CodedBlock& out) const override;
    double radius(double distance) const override;
    double nowhere() const override;
    bool keys(const Side& rows, const double* row_radii, const Side& columns, const double* column_radii,
              Keys& row_keys, Keys& column_keys) const override;
    void lower(const Side& rows, const Side& columns, int first_column, const Survivor* survivors, size_t n,
               float* out) const override;
    double upper(const Side& rows, int row, const Side& columns, int32_t score) const override;
    Sum sum() const override { return Sum::absolutes; }
    double finish(double sum) const override { return sum; }
    int64_t row_bytes() const override { return padded(dim_, kRowAlign); }
    int group_bytes() const override { return 8; }
    uint8_t offset() const override { return 0; }
    const ScanOps& scan(const Isa& isa) const override { return *isa.absolute; }

private:
    struct Sample;
    struct Range {
        std::vector<double> low;
        double scale;
    };

    void choose(const Sample& sample);
    double loss(const Sample& sample, const Range& range) const;

    const RowOps& ops_;
    int64_t dim_;
    double highest_;  // code
    Range range_;
    std::vector<int32_t> order_;  // of coordinates
};

}  // namespace vicinal
