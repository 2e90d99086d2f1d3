// Codes of rows for the dot kernel, and the whole-number thresholds that make the scan a proof.
//
// A row x is moved by a common centre c, scaled by a power of two f, and rounded: f (x - c) = s q + r, with whole
// numbers q in [-127, 127] and one scale s for all rows of a block (blocks hold rows of like largest coordinate, so the
// common scale costs little). The kernel knows q, and an upper bound `slack` of |r|.
//
// Euclidean. By the triangle inequality the distance of two rows is at least |s q - s' q'| - slack - slack'. A pair can
// only matter to a row that keeps neighbours up to the radius w if that is at most w, that is if
//     s^2 |q|^2 + s'^2 |q'|^2 - 2 s s' <q, q'>  <=  (w + slack + slack')^2.
// Divided by 2 s s' this compares the product of codes with one number of each row:
//     <q, q'>  -  s |q|^2 / 2 s'  -  s' |q'|^2 / 2 s  >=  -(w + slack + slack')^2 / 2 s s'.
// The left side becomes the score (each base rounded so that the score rises), the right side the floor (rounded down,
// with the largest slack' of the block in place of slack'). Rounding so only ever lets more pairs through.
//
// Where one block's rows are much longer than the other's, that is a waste: with the true lengths, kept beside the
// codes, |x - y|^2 = |x|^2 + |y|^2 - 2 <x, y>, and <x, y> is at most s s' <q, q'> + |s q| slack' + slack (|s' q'| +
// slack'), which is off by far less than slack times the longer row. So then
//     <q, q'>  -  |x|^2 / 2 s s'  -  |y|^2 / 2 s s'  >=  -(w^2 + 2 (|s q| slack' + slack (|s' q'| + slack'))) / 2 s s'.
// And no row is nearer than the difference of the lengths: where that is more than every w, a tile is left out.
//
// Data in a few tight regions far from each other have a centre each (centre.cpp), or the codes would say nothing
// within a region. Between regions no product counts: a pair is as far as the centres, less both lengths.
//
// Inner product. <x, y> = <x - c, y - c> + h(x) + h(y) with h(x) = <x, c> - |c|^2 / 2, and the first term is
// at most s s' <q, q'> + |s q| slack' + slack (|s' q'| + slack'); the rest is the same.
//
// Roundings on the way: x - c is rounded once in float64, once more to float32, and what rounding lost is computed in
// float32: each is relative to |x - c|, and `slack` is raised by 2^-20 |x - c|, which is more than their sum. Values
// too small for float32 lose at most 2^-70 a coordinate, in units where the largest is about 1. The radius w is raised
// by a billionth, more than the float64 distance itself can have lost, and by 1e-150 for squares that underflow. A row
// whose coordinates are not finite after scaling has infinite slack: it is always measured. Sums of squares that leave
// float64 (values beyond 1e150) are the caller's to refuse.
#pragma once

#include <vector>

#include "coder.hpp"
#include "rotation.hpp"

namespace vicinal {

class DotCoder final : public Coder, public CentredCoder {
public:
    // Chooses centre and factor from the rows.
    DotCoder(const Rows& rows, Metric metric, const RowOps& ops);

    const CentredCoder* centred_coder() const override { return regions() == 1 ? this : nullptr; }
    void centred(const Rows& rows, int64_t row, float* out) const override;
    bool can_rotate() const override { return sum() == Sum::squares && full_range(); }
    void code_rotated(const Rows& rows, const int32_t* which, int n, const Rotation& rotation, float* rotated,
                      CodedBlock& out) const override;
    int regions() const override { return static_cast<int>(centres_.size()); }
    int region(const Rows& rows, int64_t row) const override;
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
    Sum sum() const override { return metric_ == Metric::inner_product ? Sum::products : Sum::squares; }
    double finish(double sum) const override;
    int64_t row_bytes() const override { return padded(dim_, kRowAlign); }
    int group_bytes() const override { return 4; }
    uint8_t offset() const override { return 128; }
    const ScanOps& scan(const Isa& isa) const override { return *isa.dot; }

private:
    // Whether codes have their full range, and sums of products room for a sketch's coordinates more.
    bool full_range() const { return highest_code_ == 127 && dim_ + 8 <= (1 << 28) / (127 * 255); }
    // Codes row i of a block: x, of which roundings have lost at most `lost` beside those named above. An infinite loss
    // leaves zeros and the infinite slack.
    void put_row(const float* x, double lost, int i, CodedBlock& block) const;
    void put_length(double square, int i, CodedBlock& block) const;
    double allowance(const Side& rows, int row, const Side& columns) const;
    double apart(const Side& rows, const Side& columns) const {
        return apart_[rows.region * centres_.size() + columns.region];
    }
    void keys_by_products(const Side& own, const double* radii, const Side& other, Keys& keys, bool& whole) const;
    void keys_by_distances(const Side& own, const double* radii, const Side& other, Keys& keys, bool& whole) const;
    double distance_within(double radius) const;

    Metric metric_;
    const RowOps& ops_;
    int64_t dim_;
    int highest_code_;
    std::vector<std::vector<double>> centres_;  // of each region; nearly always one
    std::vector<double> apart_;                 // no more than the scaled distance of each two of them
    double centre_squared_ = 0;
    double factor_ = 1;
};

}  // namespace vicinal
