// The scan: computes whole-number scores of a block of rows and a panel of 64 stored columns, and finds the pairs that
// pass.
//
// A panel interleaves the codes of 64 columns in groups of bytes: panel[group][column][4 or 8]. Rows are contiguous.
// The dot kernel multiplies signed rows by unsigned panels (code + 128); the others add absolute differences or count
// bits. The score of a pair is this sum (negated where smaller is nearer) + row_base + column_base. A pair passes if
// its score reaches the threshold of the row or of the column, so one scan serves both sides of a self-join.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "rows.hpp"
#include "strings.hpp"

namespace vicinal {

inline constexpr int kPanel = 64;     // columns in a panel
inline constexpr int kRowStep = 96;   // rows of a block are padded to this: a multiple of row_step of every scan
inline constexpr int kRowAlign = 64;  // bytes of a row of codes are padded to this
inline constexpr int32_t kPassAll = -(1 << 30);  // the threshold that every score reaches
inline constexpr int32_t kPassNone = 1 << 30;    // the threshold that no score reaches

struct ScanJob {
    const int8_t* rows;  // n_rows x row_bytes, row_bytes a multiple of kRowAlign, zeros at the end
    int64_t row_bytes;
    int n_rows;
    const uint8_t* panel;
    int groups;
    const int32_t* row_base;       // score = product + row_base + column_base
    const int32_t* row_threshold;  // the row's threshold less row_base
    const int32_t* column_base;
    const int32_t* column_threshold;
};

struct ScanOps {
    int row_step;             // rows of a tile; n_rows is a multiple of it
    double products_a_cycle;  // approximate, to estimate costs
    // Writes the pairs that pass, at most 64 * n_rows, and returns their number.
    size_t (*survivors)(const ScanJob&, Survivor* out);
    // Writes all scores less row_base: out[row * stride + column].
    void (*scores)(const ScanJob&, int32_t* out, int64_t stride);
};

struct Isa {
    const char* name;
    const RowOps* rows;
    const ScanOps* dot;
    const ScanOps* coarse;  // of coarse codes (coarse.hpp); null where `dot` is as fast
    const ScanOps* absolute;
    const ScanOps* hamming;    // bits
    const ScanOps* jaccard;    // bits: thresholds are shares of the sum of both bases, in units of 2^-16
    const StringOps* strings;  // vectors stored as byte strings
};

// Finds an instruction set by name; "" takes VICINAL_ISA or else the best. Throws std::invalid_argument.
const Isa& find_isa(const std::string& name);

const ScanOps& portable_dot();
const ScanOps& avx2_dot();
const ScanOps& avx2_coarse();
const ScanOps& avxvnni_dot();
const ScanOps& avx512_dot();
const ScanOps& amx_dot();
const ScanOps& portable_absolute();
const ScanOps& portable_hamming();
const ScanOps& portable_jaccard();
const ScanOps& avx2_absolute();
const ScanOps& avx2_hamming();
const ScanOps& avx2_jaccard();
const ScanOps& avx512_absolute();
const ScanOps& avx512_hamming();
const ScanOps& avx512_jaccard();
const ScanOps& vpopcnt_hamming();
const ScanOps& vpopcnt_jaccard();
const ScanOps& neon_dot();
const ScanOps& dotprod_dot();
const ScanOps& i8mm_dot();
const ScanOps& neon_absolute();
const ScanOps& neon_hamming();
const ScanOps& neon_jaccard();
const ScanOps& dotprod_absolute();
const ScanOps& dotprod_hamming();
const ScanOps& dotprod_jaccard();

// Requests the tile registers from the operating system; false where it refuses.
bool amx_permitted();

}  // namespace vicinal
