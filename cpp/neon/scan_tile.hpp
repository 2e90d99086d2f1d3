// The scan of the dot kernel in 128-bit registers of four columns. The including file defines a type Op: its rows and
// vectors of a tile, load(row), which prepares kRows rows, and multiply(column, sums), which computes their products
// with the panel from a column on, bases of the columns included.
#pragma once

#include <arm_neon.h>

#include <cstring>
#include <vector>

#include "scan.hpp"

namespace vicinal {
namespace {

template <class Op>
struct NeonScan {
    static constexpr int kRows = Op::kRows;
    static constexpr int kVectors = Op::kVectors;
    static constexpr int kWidth = 4 * kVectors;
    static_assert(kPanel % kWidth == 0 && kRowStep % kRows == 0);

    using Sums = int32x4_t[kRows][kVectors];
    using Passed = uint32x4_t[kRows][kVectors];

    // Compares the scores, less row_base, with their thresholds. Returns whether any pair passes.
    static inline __attribute__((always_inline)) bool compare(const ScanJob& job, int row, int column, const Sums& sums,
                                                              Passed& passed) {
        int32x4_t thresholds[kVectors];
        for (int v = 0; v < kVectors; ++v) thresholds[v] = vld1q_s32(job.column_threshold + column + 4 * v);
        uint32x4_t any = vdupq_n_u32(0);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
            const int32x4_t base = vdupq_n_s32(job.row_base[row + r]);
            const int32x4_t threshold = vdupq_n_s32(job.row_threshold[row + r]);
#pragma GCC unroll 2
            for (int v = 0; v < kVectors; ++v) {
                passed[r][v] = vcgeq_s32(sums[r][v], vminq_s32(threshold, vsubq_s32(thresholds[v], base)));
                any = vorrq_u32(any, passed[r][v]);
            }
        }
        return vmaxvq_u32(any) != 0;
    }

    static Survivor* write(const ScanJob& job, int row, int column, const Sums& sums, const Passed& passed,
                           Survivor* out) {
        for (int r = 0; r < kRows; ++r) {
            int32_t scores[kWidth];
            uint32_t those[kWidth];
            std::memcpy(scores, sums[r], sizeof scores);
            std::memcpy(those, passed[r], sizeof those);
            for (int c = 0; c < kWidth; ++c) {
                if (!those[c]) continue;
                *out++ = {static_cast<uint16_t>(row + r), static_cast<uint16_t>(column + c),
                          scores[c] + job.row_base[row + r]};
            }
        }
        return out;
    }

    static size_t survivors(const ScanJob& job, Survivor* out) {
        Survivor* const begin = out;
        Op op(job);
        for (int row = 0; row < job.n_rows; row += kRows) {
            op.load(row);
            for (int column = 0; column < kPanel; column += kWidth) {
                Sums sums;
                Passed passed;
                op.multiply(column, sums);
                if (compare(job, row, column, sums, passed)) out = write(job, row, column, sums, passed, out);
            }
        }
        return out - begin;
    }

    static void scores(const ScanJob& job, int32_t* out, int64_t stride) {
        Op op(job);
        for (int row = 0; row < job.n_rows; row += kRows) {
            op.load(row);
            for (int column = 0; column < kPanel; column += kWidth) {
                Sums sums;
                op.multiply(column, sums);
                for (int r = 0; r < kRows; ++r) {
                    std::memcpy(out + (row + r) * stride + column, sums[r], sizeof sums[r]);
                }
            }
        }
    }

    static constexpr ScanOps kOps = {kRows, Op::kProductsACycle, survivors, scores};
};

// 128 times the sum of kRows rows: what the offset of the panel adds to a product of signed bytes.
template <int kRows>
inline void offsets(const int8_t* rows, int64_t row_bytes, int32_t (&out)[kRows]) {
    for (int r = 0; r < kRows; ++r) {
        int32x4_t sum = vdupq_n_s32(0);
        for (int64_t c = 0; c < row_bytes; c += 16) {
            sum = vpadalq_s16(sum, vpaddlq_s8(vld1q_s8(rows + r * row_bytes + c)));
        }
        out[r] = 128 * vaddvq_s32(sum);
    }
}

inline int8x16_t signed_columns(const uint8_t* panel) {
    return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(panel), vdupq_n_u8(128)));
}

}  // namespace
}  // namespace vicinal
