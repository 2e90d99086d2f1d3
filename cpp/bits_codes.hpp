// The bits kernel: Hamming and Jaccard distances of packed rows, counted exactly.
//
// The codes are the rows themselves. The scan counts the bits h in which two rows differ. With a and b ones in the
// rows, the Jaccard distance is 1 - (a + b - h) / (a + b + h) = 2 h / (a + b + h), so that
//     distance <= w   where   h <= (a + b) w / (2 - w):
// a share of a + b, kept in units of 2^-16 and rounded up. Hamming's test is h <= w, in whole numbers. What passes is
// measured as doubles from the rows given, which also decides ties.
#pragma once

#include "coder.hpp"

namespace vicinal {

class BitsCoder final : public Coder {
public:
    BitsCoder(const Rows& rows, Metric metric);

    double peak(const Rows&, int64_t, int) const override { return 0; }
    void code(const Rows& rows, const int32_t* which, int n, int region, double highest_peak,
              CodedBlock& out) const override;
    double radius(double distance) const override { return distance; }
    double nowhere() const override { return -1; }
    bool keys(const Side& rows, const double* row_radii, const Side& columns, const double* column_radii,
              Keys& row_keys, Keys& column_keys) const override;
    void lower(const Side& rows, const Side& columns, int first_column, const Survivor* survivors, size_t n,
               float* out) const override;
    double upper(const Side& rows, int row, const Side& columns, int32_t score) const override;
    Sum sum() const override { return jaccard_ ? Sum::jaccard : Sum::differing_bits; }
    double finish(double sum) const override { return sum; }
    int64_t row_bytes() const override { return padded(dim_, kRowAlign); }
    int group_bytes() const override { return 8; }
    uint8_t offset() const override { return 0; }
    const ScanOps& scan(const Isa& isa) const override { return jaccard_ ? *isa.share : *isa.differing; }

private:
    int32_t threshold(double radius) const;

    bool jaccard_;
    int64_t dim_;
};

}  // namespace vicinal
