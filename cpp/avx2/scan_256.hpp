// The scan of the dot kernel in 256-bit registers of eight columns, with VNNI or without: the including file defines a
// type Op with kRows, kVectors and add(sum, columns, row) for a broadcast word of the row.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "scan.hpp"

namespace vicinal {
namespace {

template <class Op>
struct Scan256 {
    static constexpr int kRows = Op::kRows;
    static constexpr int kVectors = Op::kVectors;
    static constexpr int kWidth = 8 * kVectors;
    static_assert(kPanel % kWidth == 0 && kRowStep % kRows == 0);

    // Scores less row_base.
    static inline __attribute__((always_inline)) void tile(const ScanJob& job, int row, int column,
                                                           const int32_t* extra, __m256i (&sums)[kRows][kVectors]) {
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
            const auto* base = reinterpret_cast<const __m256i*>(job.column_base + column + 8 * v);
#pragma GCC unroll 6
            for (int r = 0; r < kRows; ++r) {
                sums[r][v] = _mm256_add_epi32(_mm256_loadu_si256(base), _mm256_set1_epi32(extra ? extra[row + r] : 0));
            }
        }
        const uint8_t* panel = job.panel + 4 * column;
        const int8_t* rows = job.rows + row * job.row_bytes;
        for (int g = 0; g < job.groups; ++g, panel += 4 * kPanel, rows += 4) {
            __m256i columns[kVectors];
#pragma GCC unroll 2
            for (int v = 0; v < kVectors; ++v) {
                columns[v] = Op::prepare(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel + 32 * v)));
            }
#pragma GCC unroll 6
            for (int r = 0; r < kRows; ++r) {
                int32_t word;
                std::memcpy(&word, rows + r * job.row_bytes, 4);
                const typename Op::Row own(_mm256_set1_epi32(word));
#pragma GCC unroll 2
                for (int v = 0; v < kVectors; ++v) Op::add(sums[r][v], columns[v], own);
            }
        }
    }

    static size_t survivors(const ScanJob& job, Survivor* out) {
        Survivor* const begin = out;
        const typename Op::Extra extra(job);
        for (int column = 0; column < kPanel; column += kWidth) {
            for (int row = 0; row < job.n_rows; row += kRows) {
                __m256i sums[kRows][kVectors];
                tile(job, row, column, extra.get(), sums);
#pragma GCC unroll 6
                for (int r = 0; r < kRows; ++r) {
                    const __m256i base = _mm256_set1_epi32(job.row_base[row + r]);
                    const __m256i threshold = _mm256_set1_epi32(job.row_threshold[row + r]);
                    uint32_t below = 0;
#pragma GCC unroll 2
                    for (int v = 0; v < kVectors; ++v) {
                        const auto* columns = reinterpret_cast<const __m256i*>(job.column_threshold + column + 8 * v);
                        const __m256i least =
                            _mm256_min_epi32(threshold, _mm256_sub_epi32(_mm256_loadu_si256(columns), base));
                        const __m256i less = _mm256_cmpgt_epi32(least, sums[r][v]);
                        below |= static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(less))) << (8 * v);
                    }
                    uint32_t passed = ~below & ((uint64_t{1} << kWidth) - 1);
                    if (!passed) continue;
                    alignas(32) int32_t scores[kWidth];
#pragma GCC unroll 2
                    for (int v = 0; v < kVectors; ++v) {
                        _mm256_store_si256(reinterpret_cast<__m256i*>(scores + 8 * v), sums[r][v]);
                    }
                    for (; passed; passed &= passed - 1) {
                        const int c = __builtin_ctz(passed);
                        *out++ = {static_cast<uint16_t>(row + r), static_cast<uint16_t>(column + c),
                                  scores[c] + job.row_base[row + r]};
                    }
                }
            }
        }
        return out - begin;
    }

    static void scores(const ScanJob& job, int32_t* out, int64_t stride) {
        const typename Op::Extra extra(job);
        for (int column = 0; column < kPanel; column += kWidth) {
            for (int row = 0; row < job.n_rows; row += kRows) {
                __m256i sums[kRows][kVectors];
                tile(job, row, column, extra.get(), sums);
#pragma GCC unroll 6
                for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
                    for (int v = 0; v < kVectors; ++v) {
                        auto* to = reinterpret_cast<__m256i*>(out + (row + r) * stride + column + 8 * v);
                        _mm256_storeu_si256(to, sums[r][v]);
                    }
                }
            }
        }
    }

    static constexpr ScanOps kOps = {kRows, Op::kProductsACycle, survivors, scores};
};

}  // namespace
}  // namespace vicinal
