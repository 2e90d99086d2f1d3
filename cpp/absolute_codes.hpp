// highest code
#pragma once

#include <vector>

#include "coder.hpp"

namespace vicinal {

class AbsoluteCoder final : public Coder {
public:
    // Chooses the range and the scale from a sample of the rows.
    AbsoluteCoder(const Rows& rows, const RowOps& ops);

    // The range plus the excess of the row, so that blocks have rows of similar excess.
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
    Sum sum() const override { return Sum::absolutes; }
    double distance_of(double sum) const override { return sum; }
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
    double max_code_;  // code
    Range range_;
    std::vector<int32_t> order_;  // the coordinates in the order of the codes
};

}  // namespace vicinal
