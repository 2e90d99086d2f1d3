// Rows read as float64, and the few loops over one row that each instruction set compiles for itself.
//
// Every sum over coordinates has one order, on every machine: eight lanes, lane j takes the coordinates j, j + 8,
// j + 16, ...; a product is rounded before it is added; at the end the lanes are added as
// ((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7)). So a distance is the same double everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "vicinal.hpp"

namespace vicinal {

struct Rows {
    Matrix matrix;
    const double* inverse_norms = nullptr;  // set where rows are normalised first

    const std::byte* at(int64_t row) const {
        return static_cast<const std::byte*>(matrix.data) + row * matrix.row_stride;
    }
};

// The last two are of packed bits, and are the distance.
enum class Sum { squares, products, absolutes, differing_bits, jaccard };

struct CodedRow {
    int32_t squared_norm;  // of the code
    int32_t sum;           // of the code
    double residual;       // sqrt of the summed squares of what rounding lost, itself computed in float32
};

// What coding within a range lost of a row, in units of the scale.
struct ClippedRow {
    double residual;  // sum of what rounding lost within the range
    double excess;    // sum of what lies beyond the range
};

// A pair that passed a scan: its row in the block, its column in the panel.
struct Survivor {
    uint16_t row;
    uint16_t column;
    int32_t score;
};

inline constexpr int kProjected = 16;  // directions of a projection come in such multiples

struct RowOps {
    // The row in float64, times its inverse norm where there is one; zeros up to the next multiple of 8.
    void (*load)(const Rows&, int64_t row, double* out);
    double (*inverse_norm)(const Rows&, int64_t row);
    // The sum over coordinates between x (as load gives it) and each of the rows named.
    void (*measure)(const Rows&, Sum, const double* x, const int32_t* rows, size_t n, double* out);
    // Equal for rows of equal values.
    uint64_t (*hash)(const double* x, int64_t dim);
    // max |x - centre|, and (x - centre) * factor in float32.
    double (*peak)(const double* x, const double* centre, int64_t dim);
    void (*centred)(const double* x, const double* centre, double factor, int64_t dim, float* out);
    // Codes of one row at the given scale: round(x / scale), |code| <= 127 provided |x| <= 127 * scale.
    CodedRow (*quantise)(const float* x, int64_t dim, float scale, int8_t* code);
    // Codes round((x - low) * inverse), kept within [0, highest]; x and low are padded to a multiple of 8.
    ClippedRow (*clip)(const double* x, const double* low, double inverse, double highest, int64_t dim, uint8_t* code);
    // The inner products of pairs of rows and columns, each of them row_bytes long, a multiple of 64.
    void (*products)(const int8_t* rows, const uint8_t* columns, int64_t row_bytes, const Survivor* pairs, size_t n,
                     int32_t* out);
    // n rows of `dim` coordinates, `stride` apart, times `directions`, dim x m with m a multiple of kProjected: out is
    // n x m. Products are rounded to float32 and added up in pieces of 64 coordinates, the pieces' sums one after the
    // other: within (66 + dim / 64) 2^-24 (1 + 2^-10) of the sum of their absolutes.
    void (*project)(const float* x, int64_t n, int64_t stride, int64_t dim, const float* directions, int64_t m,
                    float* out);
};

const RowOps& portable_rows();
const RowOps& avx2_rows();
const RowOps& avx512_rows();

inline int64_t padded(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

}  // namespace vicinal
