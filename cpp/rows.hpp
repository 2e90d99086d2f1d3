// Given rows, and the loops over one row or a few, which each instruction set compiles for itself.
//
// Sums over coordinates have the same order on every machine: eight lanes, of which lane j adds the coordinates j, j +
// 8, j + 16, ...; a product is rounded before it is added; at the end the lanes are added as ((l0 + l4) + (l2 + l6)) +
// ((l1 + l5) + (l3 + l7)). So a distance is the same double everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "vicinal.hpp"

namespace vicinal {

struct Rows {
    Matrix matrix;
    const double* inverse_norms = nullptr;  // for metrics that normalise rows, else null

    const std::byte* at(int64_t row) const {
        return static_cast<const std::byte*>(matrix.data) + row * matrix.row_stride;
    }
};

// What is summed over the coordinates of a pair. The last two are distances of packed bits.
enum class Sum { squares, products, absolutes, hamming, jaccard };

struct CentredRow {
    double peak;    // the maximum of |x - centre|
    double square;  // the squared length of what is written
};

struct CodedRow {
    int32_t squared_norm;  // of the code
    int32_t sum;           // of the code
    double residual;       // length of the rounding error, computed in float32
};

// What clipping and rounding lose of a row, in units of the scale.
struct ClippedRow {
    double residual;  // sum of the rounding errors within the range
    double excess;    // sum of the excesses beyond the range
};

// A pair that passed a scan: its row in the block and its column in the panel.
struct Survivor {
    uint16_t row;
    uint16_t column;
    int32_t score;
};

inline constexpr int kProjected = 16;  // the number of directions of a projection is a multiple of this

struct ScanJob;

struct RowOps {
    // Reads a row in float64, multiplied by its inverse norm if there is one, with zeros up to the next multiple of 8.
    void (*load)(const Rows&, int64_t row, double* out);
    double (*inverse_norm)(const Rows&, int64_t row);
    // Computes the sum between x, as load returns it, and each of n rows.
    void (*measure)(const Rows&, Sum, const double* x, const int32_t* rows, size_t n, double* out);
    // Rows of equal values have equal hashes.
    uint64_t (*hash)(const Rows&, int64_t row);
    // The maximum of |x - centre| over the coordinates of a row that are numbers.
    double (*peak)(const Rows&, int64_t row, const double* centre);
    // Writes factor * (x - centre) of a row in float32, with zeros up to the next multiple of 8.
    CentredRow (*centre_row)(const Rows&, int64_t row, const double* centre, double factor, float* out);
    void (*centred)(const double* x, const double* centre, double factor, int64_t dim, float* out);
    // Codes one row: round(x / scale), |code| <= 127 if |x| <= 127 * scale.
    CodedRow (*quantise)(const float* x, int64_t dim, float scale, int8_t* code);
    // The statistics of a row's coarse codes (coarse.hpp), whose scale is given, from its codes.
    CodedRow (*halve)(const float* x, int64_t dim, float scale, const int8_t* code);
    // Codes round((x - low) * inverse), clipped to [0, highest]; x and low are padded to a multiple of 8.
    ClippedRow (*clip)(const double* x, const double* low, double inverse, double highest, int64_t dim, uint8_t* code);
    // Writes round(x * inverse) of n coordinates, a multiple of 8; |x * inverse| < 32767.5.
    void (*round_rows)(const float* x, int64_t n, float inverse, int16_t* out);
    // Writes the 64 columns of a panel of groups of four bytes (scan.hpp) one after the other, with zeros up to
    // row_bytes, a multiple of 64.
    void (*unpack_columns)(const uint8_t* panel, int64_t groups, int64_t row_bytes, uint8_t* out);
    // Inner products of pairs of rows, whose sums are given, and columns of row_bytes, a multiple of 64. Fastest where
    // pairs of one row follow each other.
    void (*products)(const int8_t* rows, const int32_t* row_sums, const uint8_t* columns, int64_t row_bytes,
                     const Survivor* pairs, size_t n, int32_t* out);
    // Of pairs of the job's rows and columns with their products, keeps those that pass, in order, with their scores,
    // and returns their number.
    size_t (*passing)(const ScanJob&, const int32_t* products, Survivor* pairs, size_t n);
    // Inner products of one row of signed codes and n named rows of unsigned ones.
    void (*named_products)(const int8_t* x, const uint8_t* rows, int64_t row_bytes, const int32_t* which, size_t n,
                           int32_t* out);
    // Multiplies n rows of `dim` coordinates, `stride` apart, by `directions`, dim x m with m a multiple of kProjected;
    // out is n x m. Products are rounded to float32 and added in pieces of 64 coordinates, whose sums are then added:
    // the error is within (66 + dim / 64) 2^-24 (1 + 2^-10) of the sum of the absolute products.
    void (*project)(const float* x, int64_t n, int64_t stride, int64_t dim, const float* directions, int64_t m,
                    float* out);
    // As project; products may be added without being rounded, so that the last bits depend on the instruction set.
    void (*project_fused)(const float* x, int64_t n, int64_t stride, int64_t dim, const float* directions, int64_t m,
                          float* out);
    // As project, of whole numbers of two bytes, two coordinates in each value: without error if sums fit in 32 bits.
    void (*project_pairs)(const int32_t* x, int64_t n, int64_t stride, int64_t pairs, const int32_t* directions,
                          int64_t m, int32_t* out);
};

const RowOps& portable_rows();
const RowOps& avx2_rows();
const RowOps& avx512_rows();
const RowOps& neon_rows();
const RowOps& dotprod_rows();
const RowOps& i8mm_rows();

// Asks for the bytes of a row that is read soon, if they are contiguous. Rows are read in the order of the codes, which
// no processor foresees.
inline void prefetch(const Rows& rows, int64_t row) {
    const Matrix& m = rows.matrix;
    const int64_t bytes = m.column_stride > 0 && m.column_stride <= 8 ? m.dim * m.column_stride : 1;
    for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(rows.at(row) + b);
}

// The same, from a loop over n named rows that is at the i-th.
inline void prefetch_next(const Rows& rows, const int32_t* which, int i, int n) {
    constexpr int kAhead = 4;
    if (i + kAhead < n) prefetch(rows, which[i + kAhead]);
}

// Throws where queries have another number of coordinates than the stored vectors.
inline void check_dim(const Matrix& queries, const Matrix& vectors) {
    if (queries.dim == vectors.dim) return;
    throw std::invalid_argument("queries: expected dim " + std::to_string(vectors.dim) + " as the vectors have, got " +
                                std::to_string(queries.dim));
}

inline int64_t padded(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

}  // namespace vicinal
