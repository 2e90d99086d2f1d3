// The coder of the bits kernel: Hamming and Jaccard distances of packed bits, computed exactly.
//
// The codes are the rows themselves. The scan counts the bits h in which two rows differ. If a and b are the numbers of
// ones of the rows, the Jaccard distance is 1 - (a + b - h) / (a + b + h) = 2 h / (a + b + h), so that
//     distance <= w   if and only if   h <= (a + b) w / (2 - w),
// which is a share of a + b, in units of 2^-16 and rounded up. For Hamming the condition is h <= w in whole numbers.
// Pairs that pass are measured in float64 from the given rows, which also decides ties.
#pragma once

#include "coder.hpp"

namespace vicinal {

class BitsCoder final : public Coder {
public:
    BitsCoder(const Rows& rows, Metric metric);

    double peak(const Rows&, int64_t, int) const override { return 0; }
    void encode(const Rows& rows, const int32_t* which, int n, int region, double highest_peak,
                CodedBlock& out) const override;
    double radius_of(double distance) const override { return distance; }
    double empty_radius() const override { return -1; }
    bool thresholds(const BlockStats& rows, const double* row_radii, const BlockStats& columns,
                    const double* column_radii, Thresholds& row_thresholds,
                    Thresholds& column_thresholds) const override;
    void lower_bounds(const BlockStats& rows, const BlockStats& columns, int first_column, const Survivor* survivors,
                      size_t n, float* out) const override;
    double upper_bound(const BlockStats& rows, int row, const BlockStats& columns, int32_t score) const override;
    Sum sum() const override { return jaccard_ ? Sum::jaccard : Sum::hamming; }
    double distance_of(double sum) const override { return sum; }
    int64_t row_bytes() const override { return padded(dim_, kRowAlign); }
    int group_bytes() const override { return 8; }
    uint8_t offset() const override { return 0; }
    const ScanOps& scan(const Isa& isa) const override { return jaccard_ ? *isa.jaccard : *isa.hamming; }

private:
    int32_t threshold(double radius) const;

    bool jaccard_;
    int64_t dim_;
};

}  // namespace vicinal
