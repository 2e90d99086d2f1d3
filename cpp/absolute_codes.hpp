// Codes for sums of absolute differences.
//
// A row x is moved by a common centre and rounded to whole numbers q in [0, 255] with one scale s for all rows: the sum of
// absolute differences of two codes, times s, differs from the distance by at most what rounding lost of both rows, each
// summed over its coordinates (its slack). So a pair can only matter to a row that keeps neighbours up to w if
//     s sum |q - q'|  <=  w + slack + slack'.
// Coordinates beyond the scale are cut off, and what that takes is part of the slack. Roundings are covered as in
// dot_codes.hpp.
#pragma once

#include <vector>

#include "coder.hpp"

namespace vicinal {

class AbsoluteCoder final : public Coder {
public:
    AbsoluteCoder(const Rows& rows, const RowOps& ops);

    double peak(const Rows& rows, int64_t row) const override;
    void code(const Rows& rows, const int32_t* which, int n, double highest_peak, CodedBlock& out) const override;
    double radius(double distance) const override;
    double nowhere() const override;
    bool keys(const Side& rows, const double* row_radii, const Side& columns, const double* column_radii, Keys& row_keys,
              Keys& column_keys) const override;
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
    const RowOps& ops_;
    int64_t dim_;
    std::vector<double> centre_;
    double factor_;
    float scale_;
};

}  // namespace vicinal
