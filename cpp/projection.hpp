// A linear map of rows to a few coordinates that brings no two of them farther apart.
//
// Let P have the columns p_1 .. p_m, and let l be an upper bound of the largest eigenvalue of P'P. With A = P' /
// sqrt(l) no product of a vector with A is longer than the vector, so that I - A'A = B'B for some B and
//     |y - y'|^2  =  |A y - A y'|^2  +  |B y - B y'|^2  >=  |A y - A y'|^2  +  (|B y| - |B y'|)^2,
// where |B y|^2 = |y|^2 - |A y|^2. Nothing else is required of the columns: the errors of their computation only make
// the bound less tight. The same holds of the first columns alone, with the same l. The columns between two sizes are
// mixed with each other first, so that their coordinates have similar sizes and one scale serves their codes, and
// rounded to whole numbers of a byte, so that P'P is computed without error.
//
// The bound l. Where the columns are nearly orthogonal and equally long, E = P'P / c - I is small for the mean c of the
// diagonal, and l = c (1 + |E|) with |E|^4 <= |E^4|, in the Frobenius norm. Otherwise l^32 = |(P'P)^16|^2. Both are
// raised by 1e-9 of themselves, which exceeds the errors of float64.
//
// Errors. A y takes m dim products a row, of whole numbers: y is rounded to s z with whole numbers z of two bytes,
// where s is the least for which neither these nor the sums P'z overflow. The error of A y is at most |y - s z| and the
// rounding of the sums to float32. With up to 8289 coordinates this is less than |y| / 100, so that the error of
// |A y|^2 is at most 2.01 times as much times |y|; of rows so short that s has its least value, it is below 2^-138 dim.
#pragma once

#include <cstdint>
#include <vector>

#include "scan.hpp"

namespace vicinal {

class Projection {
public:
    // The first `columns` of a projection, and an estimate of |B v|, on which results do not depend.
    struct Size {
        int columns;
        double typical_remainder;
    };
    // directions: dim x columns, nearly orthonormal, of which as many are used as the last of the ascending sizes says.
    Projection(const std::vector<float>& directions, int64_t dim, int columns, std::vector<Size> sizes,
               const ScanOps& scan);

    const std::vector<Size>& sizes() const { return sizes_; }
    int kept() const { return sizes_.back().columns; }
    int columns() const { return columns_; }
    // The scale s of a row with that largest absolute coordinate and length.
    float scale(double peak, double length) const;
    // Upper bound of the error of A y.
    double error(float scale, double length) const;
    // A y of n rows of padded(dim, 8) coordinates: out is n x columns().
    void project(const RowOps& ops, const float* rows, int64_t n, const float* scales, std::vector<float>& out) const;

private:
    int64_t dim_;
    std::vector<Size> sizes_;
    int columns_;
    double longest_ = 0;          // column after rounding
    float unit_ = 0;              // 1 / sqrt(l)
    std::vector<int32_t> pairs_;  // the columns after rounding, dim x columns_, two coordinates in each value
};

}  // namespace vicinal
