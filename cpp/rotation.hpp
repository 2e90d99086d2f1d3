// A rotation that maps chosen directions to the last coordinates of a row.
//
// Let P have m orthonormal columns. Householder reflections H_1 .. H_m with vectors v_j (H_j = I - v_j v_j', |v_j|^2 =
// 2) map its columns, one after the other, to the last m coordinates. With Q = H_1 .. H_m = I - Y T Y', Y = (v_1 ..
// v_m) and T upper triangular with ones on the diagonal, the last m coordinates of z = Q'y are those of P'y up to
// signs, and the others are the component of y orthogonal to P. Q is orthogonal whatever the error of P, so that
// distances and inner products of rows do not change. The columns of P are first mixed with each other, so that all
// coordinates have similar sizes and one scale serves their codes.
//
// Errors. With W = Y T', z = y - W (Y'y) takes 2 m dim products a row, in float32. Let u = 2^-24, and g(n) = (66 + n /
// 64) u (1 + 2^-10) the error of a float32 sum of n products in pieces of 64, relative to the sum of their absolute
// values. With W~ and Y~ the matrices rounded to float32, the error of z is at most |y| times
//     |W~ - W| |Y~| + |W| |Y~ - Y|  +  |W| g(dim) |Y|_F  +  g(m) |W|_F |Y|  +  4 u (1 + |W||Y|),
// in spectral norms but for the two marked F, bounded by |A|^8 <= tr (A'A)^4. Reflections in float64 are orthogonal to
// far less than the 1e-9 that is added.
#pragma once

#include <cstdint>
#include <vector>

#include "rows.hpp"

namespace vicinal {

// Orthonormalises the columns of directions[coordinate][column], up to rounding, each against those before it.
void orthonormalise(std::vector<float>& directions, int64_t dim, int columns);

class Rotation {
public:
    // directions: dim x columns, nearly orthonormal; the first `kept` are used. typical_remainder: an estimate of the
    // length of the component orthogonal to them; results do not depend on it.
    Rotation(const std::vector<float>& directions, int64_t dim, int columns, int kept, double typical_remainder);

    int64_t dim() const { return dim_; }
    // The first of the last coordinates, to which the directions are mapped.
    int64_t first() const { return dim_ - kept_; }
    int kept() const { return kept_; }
    // Upper bound of the error of z, relative to |y|.
    double error() const { return error_; }
    // The directions after mixing: dim x columns(), zeros from kept() on.
    const std::vector<float>& directions() const { return directions_; }
    int columns() const { return columns_; }
    double typical_remainder() const { return typical_remainder_; }
    // Rotates n rows that are `stride` apart; values from dim to dim_padded() are not used. out is n x dim_padded().
    void rotate(const RowOps& ops, const float* x, int64_t n, int64_t stride, float* out) const;
    int64_t dim_padded() const { return padded(dim_, kProjected); }

private:
    int64_t dim_;
    int kept_, columns_;
    double typical_remainder_, error_ = 0;
    std::vector<float> directions_;  // after mixing
    std::vector<float> roots_;       // Y: dim x columns
    std::vector<float> weights_;     // W': columns x dim_padded
};

}  // namespace vicinal
