// The scans of the absolute and the bits kernel, over panels of eight bytes a column: panel[group][column][8]. Included by
// each instruction set's own file, which says with a Vector how some columns' sums are added to:
//
//   kColumns, kRows, kVectors    columns in a register, rows and registers of a tile
//   Register, zero(), load(p), broadcast(p), add(sum, row, columns), store(sum, int32_t* out)
//
// Scores are sign * sum + row_base + column_base.
#pragma once

#include <cstring>

#include "scan.hpp"

namespace vicinal {
namespace {

template <class Vector, int kSign>
struct ByteScan {
    static constexpr int kRows = Vector::kRows;
    static constexpr int kVectors = Vector::kVectors;
    static constexpr int kWidth = Vector::kColumns * kVectors;
    static_assert(kPanel % kWidth == 0 && kRowStep % kRows == 0);

    // Scores less row_base.
    static inline __attribute__((always_inline)) void tile(const ScanJob& job, int row, int column,
                                                           int32_t (&out)[kRows][kWidth]) {
        typename Vector::Register sums[kRows][kVectors];
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
            for (int v = 0; v < kVectors; ++v) sums[r][v] = Vector::zero();
        }
        const uint8_t* panel = job.panel + 8 * column;
        const int8_t* rows = job.rows + row * job.row_bytes;
        for (int g = 0; g < job.groups; ++g, panel += 8 * kPanel, rows += 8) {
            typename Vector::Register columns[kVectors];
#pragma GCC unroll 4
            for (int v = 0; v < kVectors; ++v) columns[v] = Vector::load(panel + 8 * Vector::kColumns * v);
#pragma GCC unroll 6
            for (int r = 0; r < kRows; ++r) {
                const auto own = Vector::broadcast(rows + r * job.row_bytes);
#pragma GCC unroll 4
                for (int v = 0; v < kVectors; ++v) sums[r][v] = Vector::add(sums[r][v], own, columns[v]);
            }
        }
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
            for (int v = 0; v < kVectors; ++v) Vector::store(sums[r][v], &out[r][Vector::kColumns * v]);
            for (int c = 0; c < kWidth; ++c) out[r][c] = kSign * out[r][c] + job.column_base[column + c];
        }
    }

    static size_t survivors(const ScanJob& job, Survivor* out) {
        Survivor* const begin = out;
        for (int row = 0; row < job.n_rows; row += kRows) {
            for (int column = 0; column < kPanel; column += kWidth) {
                int32_t scores[kRows][kWidth];
                tile(job, row, column, scores);
                for (int r = 0; r < kRows; ++r) {
                    const int32_t base = job.row_base[row + r], floor = job.row_floor[row + r];
                    int32_t passed = 0;
                    for (int c = 0; c < kWidth; ++c) {
                        const int32_t least = job.column_floor[column + c] - base;
                        passed |= scores[r][c] >= (floor < least ? floor : least);
                    }
                    if (!passed) continue;
                    for (int c = 0; c < kWidth; ++c) {
                        const int32_t least = job.column_floor[column + c] - base;
                        if (scores[r][c] < (floor < least ? floor : least)) continue;
                        *out++ = {static_cast<uint16_t>(row + r), static_cast<uint16_t>(column + c), scores[r][c] + base};
                    }
                }
            }
        }
        return out - begin;
    }

    static void scores(const ScanJob& job, int32_t* out, int64_t stride) {
        for (int row = 0; row < job.n_rows; row += kRows) {
            for (int column = 0; column < kPanel; column += kWidth) {
                int32_t scores[kRows][kWidth];
                tile(job, row, column, scores);
                for (int r = 0; r < kRows; ++r) {
                    std::memcpy(out + (row + r) * stride + column, scores[r], sizeof scores[r]);
                }
            }
        }
    }

    static constexpr ScanOps kOps = {kRows, survivors, scores};
};

// One column a register: any machine.
struct Word {
    static constexpr int kColumns = 1, kRows = 2, kVectors = 4;
    using Register = uint64_t;
    static Register zero() { return 0; }
    static Register load(const void* p) {
        uint64_t word;
        std::memcpy(&word, p, 8);
        return word;
    }
    static Register broadcast(const void* p) { return load(p); }
    static void store(Register sum, int32_t* out) { *out = static_cast<int32_t>(sum); }
};

struct DifferingBits : Word {
    static Register add(Register sum, Register row, Register column) { return sum + __builtin_popcountll(row ^ column); }
};

struct CommonBits : Word {
    static Register add(Register sum, Register row, Register column) { return sum + __builtin_popcountll(row & column); }
};

struct Absolutes : Word {
    static Register add(Register sum, Register row, Register column) {
        uint8_t a[8], b[8];
        std::memcpy(a, &row, 8);
        std::memcpy(b, &column, 8);
        int total = 0;
        for (int i = 0; i < 8; ++i) total += a[i] < b[i] ? b[i] - a[i] : a[i] - b[i];
        return sum + total;
    }
};

}  // namespace
}  // namespace vicinal
