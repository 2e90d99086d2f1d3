// A rotation that puts chosen directions into a row's last coordinates.
//
// Let P have m orthonormal columns. Householder reflections H_1 .. H_m of unit roots v_j (H_j = I - v_j v_j', |v_j|^2 =
// 2) bring its columns, one after the other, to the last m coordinates: with Q = H_1 .. H_m = I - Y T Y', Y = (v_1 ..
// v_m) and T upper triangular with ones on the diagonal, the last m coordinates of z = Q'y are, but for signs, those of
// P'y, and the others are what P leaves of y. Q is orthogonal however exact P is, so distances and products of rows do
// not change. P is first mixed with itself, so that its coordinates are alike in size and codes of one scale serve them
// all.
//
// The errors. With W = Y T', z = y - W (Y'y) costs 2 m dim products a row, in float32. Let u = 2^-24, g(n) = (66 + n /
// 64) u (1 + 2^-10) what a float32 sum of n products in pieces of 64 can be off by, as a share of the sum of absolutes.
// Then, with W~ and Y~ as float32 keeps them, z is off by at most |y| times
//     |W~ - W| |Y~| + |W| |Y~ - Y|  +  |W| g(dim) |Y|_F  +  g(m) |W|_F |Y|  +  4 u (1 + |W||Y|),
// spectral norms but for the two marked F, bounded by |A|^8 <= tr (A'A)^4. Reflections in float64 are orthogonal to far
// less than the billionth that is added.
#pragma once

#include <cstdint>
#include <vector>

#include "rows.hpp"

namespace vicinal {

// Makes the columns (directions[coordinate][column]) about orthonormal, each against those before it.
void orthonormalise(std::vector<float>& directions, int64_t dim, int columns);

class Rotation {
public:
    // directions: dim x columns, nearly orthonormal, of which the first `told` count. usual_rest: about how much of a
    // row they leave; any number is right.
    Rotation(const std::vector<float>& directions, int64_t dim, int columns, int told, double usual_rest);

    int64_t dim() const { return dim_; }
    // The first of the last coordinates.
    int64_t first() const { return dim_ - told_; }
    int told() const { return told_; }
    // What z can be off by, as a share of |y|.
    double error() const { return error_; }
    // Directions that span what the last coordinates tell: dim x columns(), zeros from told() on.
    const std::vector<float>& directions() const { return directions_; }
    int columns() const { return columns_; }
    double usual_rest() const { return usual_rest_; }
    // n rows, `stride` apart, zeros or anything from dim to dim_padded(); out is n x dim_padded().
    void turn(const RowOps& ops, const float* x, int64_t n, int64_t stride, float* out) const;
    int64_t dim_padded() const { return padded(dim_, kProjected); }

private:
    int64_t dim_;
    int told_, columns_;
    double usual_rest_, error_ = 0;
    std::vector<float> directions_;  // mixed
    std::vector<float> roots_;       // Y: dim x columns
    std::vector<float> weights_;     // W': columns x dim_padded
};

}  // namespace vicinal
