// The coder of the dot kernel (Euclidean, cosine, inner product), and the thresholds that make the scan a proof.
//
// A row x is centred by subtracting c, scaled by a power of two f, and rounded: f (x - c) = s q + r, with whole numbers
// q in [-127, 127] and one scale s for all rows of a block (rows of a block have similar largest coordinates, so the
// common scale costs little). The kernel stores q and an upper bound `slack` of |r|.
//
// Euclidean. By the triangle inequality the distance of two rows is at least |s q - s' q'| - slack - slack'. A row that
// keeps neighbours within the radius w needs a pair only if this is at most w, that is if
//     s^2 |q|^2 + s'^2 |q'|^2 - 2 s s' <q, q'>  <=  (w + slack + slack')^2.
// Divided by 2 s s', this compares the product of codes with one number for each row:
//     <q, q'>  -  s |q|^2 / 2 s'  -  s' |q'|^2 / 2 s  >=  -(w + slack + slack')^2 / 2 s s'.
// The left side is the score (each base is rounded so that the score becomes higher), the right side the threshold
// (rounded down, with the largest slack' of the block). Rounding can only let more pairs pass.
//
// If the rows of one block are much longer than those of the other, the exact lengths, which are stored beside the
// codes, give a better bound: |x - y|^2 = |x|^2 + |y|^2 - 2 <x, y>, and <x, y> is at most s s' <q, q'> + |s q| slack' +
// slack (|s' q'| + slack'), whose error is far less than slack times the longer row. The condition is then
//     <q, q'>  -  |x|^2 / 2 s s'  -  |y|^2 / 2 s s'  >=  -(w^2 + 2 (|s q| slack' + slack (|s' q'| + slack'))) / 2 s s'.
// The distance is also at least the difference of the lengths: a tile in which this exceeds every w is skipped.
//
// Data in a few tight regions far from each other have one centre for each region (centre.hpp), because codes from a
// single centre would be equal within a region. Between regions no products are used: the distance is at least that of
// the centres minus both lengths.
//
// Inner product. <x, y> = <x - c, y - c> + h(x) + h(y) with h(x) = <x, c> - |c|^2 / 2, the `shift`. The first term is
// at most s s' <q, q'> + |s q| slack' + slack (|s' q'| + slack'); the rest is as above.
//
// Rounding errors. x - c is rounded in float64 and then to float32, and the residual r is computed in float32. These
// errors are relative to |x - c|, and `slack` is raised by 2^-20 |x - c|, which exceeds their sum. Values too small for
// float32 lose at most 2^-70 a coordinate, in units where the largest is about 1. The radius w is raised by 1e-9 of
// itself, which exceeds the error of the float64 distance, and by 1e-150 for squares that underflow. A row whose
// coordinates are not finite after scaling has infinite slack and is always measured. The caller must refuse values
// beyond 1e150, whose squares overflow.
#pragma once

#include <vector>

#include "centre.hpp"
#include "coder.hpp"
#include "projection.hpp"

namespace vicinal {

class DotCoder final : public Coder, public CentredCoder {
public:
    // Chooses the centre and the factor from the rows. `coarse`: rows and sketches have coarse codes too.
    DotCoder(const Rows& rows, Metric metric, const RowOps& ops, bool coarse = false, const Sampled& sampled = {});

    const CentredCoder* centred_coder() const override { return regions() == 1 ? this : nullptr; }
    void centred(const Rows& rows, int64_t row, float* out) const override;
    bool can_sketch() const override { return sum() == Sum::squares && max_code_ == 127; }
    void sketch(const Rows& rows, const int32_t* which, int n, const Projection& projection,
                Sketches& out) const override;
    int regions() const override { return static_cast<int>(centres_.size()); }
    int region(const Rows& rows, int64_t row) const override;
    double peak(const Rows& rows, int64_t row, int region) const override;
    void encode(const Rows& rows, const int32_t* which, int n, int region, double highest_peak,
                CodedBlock& out) const override;
    double radius_of(double distance) const override;
    double empty_radius() const override;
    bool thresholds(const BlockStats& rows, const double* row_radii, const BlockStats& columns,
                    const double* column_radii, Thresholds& row_thresholds,
                    Thresholds& column_thresholds) const override;
    void lower_bounds(const BlockStats& rows, const BlockStats& columns, int first_column, const Survivor* survivors,
                      size_t n, float* out) const override;
    double upper_bound(const BlockStats& rows, int row, const BlockStats& columns, int32_t score) const override;
    void upper_bounds(const BlockStats& rows, const BlockStats& columns, int first_column, const Survivor* survivors,
                      size_t n, float* out) const override;
    Sum sum() const override { return metric_ == Metric::inner_product ? Sum::products : Sum::squares; }
    double distance_of(double sum) const override;
    int64_t row_bytes() const override { return padded(dim_, kRowAlign); }
    int group_bytes() const override { return 4; }
    uint8_t offset() const override { return 128; }
    const ScanOps& scan(const Isa& isa) const override { return *isa.dot; }
    bool coarse() const override { return coarse_; }

    int max_code() const { return max_code_; }
    double factor() const { return factor_; }
    const std::vector<double>& centre() const { return centres_[0]; }
    // Inner product: h(x), in the unit of the centred and scaled rows.
    double shift(const Rows& rows, int64_t row) const;

private:
    struct Projected;

    // Codes row i of a block, of `terms` coordinates, and returns its statistics. `lost` is an upper bound of the
    // errors of x, without those listed above. If it is infinite, the codes stay 0 and the slack is infinite.
    void put_row(const float* x, int64_t terms, double lost, int i, int8_t* code, RowStats& out) const;
    // Stores the statistics of the coarse codes of row i, which is coded already.
    void put_coarse(const float* x, int64_t terms, double lost, int i, const int8_t* code, RowStats& out) const;
    void put_stats(const CodedRow& row, int64_t terms, double lost, int i, RowStats& out) const;
    void put_length(double square, int i, CodedBlock& block) const;
    void project(const Rows& rows, const int32_t* which, int n, const Projection& projection, Projected& out) const;
    double allowance(const BlockStats& rows, int row, const BlockStats& columns) const;
    double centre_distance(const BlockStats& rows, const BlockStats& columns) const {
        return centre_distances_[rows.region * centres_.size() + columns.region];
    }
    void thresholds_by_products(const BlockStats& own, const double* radii, const BlockStats& other,
                                Thresholds& thresholds, bool& unclipped) const;
    void thresholds_by_distances(const BlockStats& own, const double* radii, const BlockStats& other,
                                 Thresholds& thresholds, bool& unclipped) const;
    double distance_within(double radius) const;

    Metric metric_;
    const RowOps& ops_;
    int64_t dim_;
    int max_code_;
    bool coarse_;
    std::vector<std::vector<double>> centres_;  // one for each region
    std::vector<double> centre_distances_;      // lower bounds of the scaled distances of all pairs of centres
    double centre_squared_ = 0;
    double factor_ = 1;
};

}  // namespace vicinal
