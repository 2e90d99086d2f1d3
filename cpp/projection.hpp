// A linear map of rows to a few coordinates that brings no two of them farther apart.
//
// Let P have the columns p_1 .. p_m, and let l be an upper bound of the largest eigenvalue of P'P. With A = P' /
// sqrt(l) no product of a vector with A is longer than the vector, so that I - A'A = B'B for some B and
//     |y - y'|^2  =  |A y - A y'|^2  +  |B y - B y'|^2  >=  |A y - A y'|^2  +  (|B y| - |B y'|)^2,
// where |B y|^2 = |y|^2 - |A y|^2. Nothing else is required of the columns: the errors of their computation only make
// the bound less tight. They are mixed with each other first, so that all coordinates have similar sizes and one scale
// serves their codes, and rounded to whole numbers of a byte, so that P'P is computed without error.
//
// The bound l. Where the columns are nearly orthogonal and equally long, E = P'P / c - I is small for the mean c of the
// diagonal, and l = c (1 + |E|) with |E|^4 <= |E^4|, in the Frobenius norm. Otherwise l^32 = |(P'P)^16|^2. Both are
// raised by 1e-9 of themselves, which exceeds the errors of float64.
//
// Errors. A y takes m dim products a row, in float32. With g = (66 + dim / 64) 2^-24 (1 + 2^-10) the error of a float32
// sum of dim products in pieces of 64, relative to the sum of their absolute values, the error of A y is at most
// g |y| |P|_F / sqrt(l), and that of |A y|^2 at most 2 + 2^-10 times as much times |y|.
#pragma once

#include <cstdint>
#include <vector>

#include "scan.hpp"

namespace vicinal {

// Makes the columns of directions[coordinate][column] about orthonormal, each of them orthogonal to those before it.
void orthonormalise(const RowOps& ops, std::vector<float>& directions, int64_t dim, int columns);

class Projection {
public:
    // directions: dim x columns, nearly orthonormal; the first `kept` are used. typical_remainder: an estimate of |B
    // v|; results do not depend on it.
    Projection(const std::vector<float>& directions, int64_t dim, int columns, int kept, double typical_remainder,
               const ScanOps& scan);

    int kept() const { return kept_; }
    double typical_remainder() const { return typical_remainder_; }
    // The directions after mixing: dim x columns(), zeros from kept() on.
    const std::vector<float>& directions() const { return directions_; }
    int columns() const { return columns_; }
    // Upper bound of the error of A y, relative to |y|.
    double error() const { return error_; }
    // A y of n rows that are `stride` apart: out is n x columns().
    void project(const RowOps& ops, const float* rows, int64_t n, int64_t stride, std::vector<float>& out) const;

private:
    int64_t dim_;
    int kept_, columns_;
    double typical_remainder_, error_ = 0;
    float unit_ = 0;                         // 1 / sqrt(l)
    std::vector<float> directions_, whole_;  // dim x columns_, before and after rounding
};

}  // namespace vicinal
