// Packed bits, which are their own codes: scores are whole numbers of bits, and exact.
//
// hamming: minus the number of differing bits. jaccard: the number of common bits; with n and n' bits set, the distance
// 1 - c / (n + n' - c) is at most w just where c >= (1 - w) / (2 - w) * (n + n'), and the fewest bits of any row of the
// other block stand in for n'.
#pragma once

#include "coder.hpp"

namespace vicinal {

class BitsCoder final : public Coder {
public:
    BitsCoder(const Rows& rows, Metric metric, const RowOps& ops)
        : ops_(ops), dim_(rows.matrix.dim), jaccard_(metric == Metric::jaccard) {}

    double peak(const Rows&, int64_t) const override { return 0; }
    void code(const Rows& rows, const int32_t* which, int n, double highest_peak, CodedBlock& out) const override;
    double radius(double distance) const override { return distance; }
    double nowhere() const override { return -1; }
    bool keys(const Side& rows, const double* row_radii, const Side& columns, const double* column_radii, Keys& row_keys,
              Keys& column_keys) const override;
    void lower(const Side& rows, const Side& columns, int first_column, const Survivor* survivors, size_t n,
               float* out) const override;
    double upper(const Side& rows, int row, const Side& columns, int32_t score) const override;
    Sum sum() const override { return jaccard_ ? Sum::jaccard : Sum::differing_bits; }
    double finish(double sum) const override { return sum; }
    int64_t row_bytes() const override { return padded(dim_, kRowAlign); }
    int group_bytes() const override { return 8; }
    uint8_t offset() const override { return 0; }
    const ScanOps& scan(const Isa& isa) const override { return jaccard_ ? *isa.common : *isa.differing; }

private:
    const RowOps& ops_;
    int64_t dim_;
    bool jaccard_;
};

}  // namespace vicinal
