// The scan: whole-number scores of a block of rows against a panel of 64 stored columns, and the pairs that pass.
//
// A panel holds 64 codes side by side, a group of bytes of each in turn: panel[group][column][4 or 8]. Rows lie one
// after the other. What is added up over bytes depends on the kernel: the dot kernel multiplies signed rows with panels
// that are unsigned (code + 128), the others add absolute differences or count bits. A pair's score is that sum
// (negative where smaller is nearer) + row_base + column_base, and it passes where it reaches the row's floor or the
// column's floor: one pass serves the rows and the columns of a self-join.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "rows.hpp"
#include "strings.hpp"

namespace vicinal {

inline constexpr int kPanel = 64;     // columns in a panel
inline constexpr int kRowStep = 96;   // rows in a block are padded to this: a multiple of every tile's height
inline constexpr int kRowAlign = 64;  // bytes in a row of codes are padded to this
inline constexpr int32_t kEverything = -(1 << 30);  // the floor that every score reaches
inline constexpr int32_t kNothing = 1 << 30;        // the floor that none reaches

struct ScanJob {
    const int8_t* rows;  // n_rows x row_bytes, row_bytes a multiple of kRowAlign, zeros at the end
    int64_t row_bytes;
    int n_rows;
    const uint8_t* panel;
    int groups;
    const int32_t* row_base;   // score = product + row_base + column_base
    const int32_t* row_floor;  // the row's floor less row_base
    const int32_t* column_base;
    const int32_t* column_floor;
};

struct ScanOps {
    int row_step;             // rows of a tile: a job's n_rows is a multiple of it
    double products_a_cycle;  // about, for what weighs one way against another
    // Writes the pairs that pass, at most 64 * n_rows, and returns how many.
    size_t (*survivors)(const ScanJob&, Survivor* out);
    // Writes every score less its row_base: out[row * stride + column].
    void (*scores)(const ScanJob&, int32_t* out, int64_t stride);
};

struct Isa {
    const char* name;
    const RowOps* rows;
    const ScanOps* dot;
    const ScanOps* absolute;
    const ScanOps* differing;  // bits
    const ScanOps* share;      // bits: floors are shares of both bases' sum, in units of 2^-16
    const StringOps* strings;  // vectors kept as byte strings
};

// The instruction set of that name; "" asks VICINAL_ISA and then takes the best. Throws std::invalid_argument.
const Isa& find_isa(const std::string& name);

const ScanOps& portable_dot();
const ScanOps& avx2_dot();
const ScanOps& avxvnni_dot();
const ScanOps& avx512_dot();
const ScanOps& amx_dot();
const ScanOps& portable_absolute();
const ScanOps& portable_differing();
const ScanOps& portable_share();
const ScanOps& avx2_absolute();
const ScanOps& avx2_differing();
const ScanOps& avx2_share();
const ScanOps& avx512_absolute();
const ScanOps& avx512_differing();
const ScanOps& avx512_share();
const ScanOps& vpopcnt_differing();
const ScanOps& vpopcnt_share();

// Asks the kernel for the tile registers; false where there are none.
bool amx_permitted();

}  // namespace vicinal
