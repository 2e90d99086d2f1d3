// The scan of the dot kernel with AVX-512 VNNI: tiles of 6 rows by 64 columns with all 24 accumulators in registers. A
// step of four coordinates loads 4 vectors of the panel and 6 broadcast words of the rows for 24 multiply-and-add
// instructions.
#include <immintrin.h>

#include <cstring>

#include "scan.hpp"

namespace vicinal {
namespace {

constexpr int kRows = 6;
constexpr int kVectors = kPanel / 16;
using Tile = __m512i[kRows][kVectors];

// As assembly, because compilers copy or spill the accumulators around the intrinsic.
inline __attribute__((always_inline)) void accumulate(__m512i& sum, __m512i columns, __m512i row) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(columns), "v"(row));
}

inline __attribute__((always_inline)) void multiply(const ScanJob& job, int row, Tile& tile) {
    const int8_t* rows = job.rows + row * job.row_bytes;
    const uint8_t* panel = job.panel;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
        const __m512i base = _mm512_loadu_si512(job.column_base + 16 * v);
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) tile[r][v] = base;
    }
    for (int g = 0; g < job.groups; ++g) {
        __m512i columns[kVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) columns[v] = _mm512_loadu_si512(panel + 64 * v);
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) {
            int32_t word;
            std::memcpy(&word, rows + r * job.row_bytes, 4);
            const __m512i broadcast = _mm512_set1_epi32(word);
#pragma GCC unroll 4
            for (int v = 0; v < kVectors; ++v) {
                accumulate(tile[r][v], columns[v], broadcast);
            }
        }
        panel += 4 * kPanel;
        rows += 4;
    }
}

size_t survivors(const ScanJob& job, Survivor* out) {
    Survivor* const begin = out;
    __m512i column_threshold[kVectors];
    for (int v = 0; v < kVectors; ++v) column_threshold[v] = _mm512_loadu_si512(job.column_threshold + 16 * v);
    for (int row = 0; row < job.n_rows; row += kRows) {
        Tile tile;
        multiply(job, row, tile);
        uint64_t passed[kRows];
        uint64_t any = 0;
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) {
            const __m512i base = _mm512_set1_epi32(job.row_base[row + r]);
            const __m512i threshold = _mm512_set1_epi32(job.row_threshold[row + r]);
            uint64_t mask = 0;
#pragma GCC unroll 4
            for (int v = 0; v < kVectors; ++v) {
                const __m512i least = _mm512_min_epi32(threshold, _mm512_sub_epi32(column_threshold[v], base));
                mask |= static_cast<uint64_t>(_mm512_cmpge_epi32_mask(tile[r][v], least)) << (16 * v);
            }
            passed[r] = mask;
            any |= mask;
        }
        if (!any) continue;
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) {
            if (!passed[r]) continue;
            int32_t scores[kPanel];
#pragma GCC unroll 4
            for (int v = 0; v < kVectors; ++v) _mm512_storeu_si512(scores + 16 * v, tile[r][v]);
            for (uint64_t mask = passed[r]; mask; mask &= mask - 1) {
                const int column = __builtin_ctzll(mask);
                *out++ = {static_cast<uint16_t>(row + r), static_cast<uint16_t>(column),
                          scores[column] + job.row_base[row + r]};
            }
        }
    }
    return out - begin;
}

void scores(const ScanJob& job, int32_t* out, int64_t stride) {
    for (int row = 0; row < job.n_rows; row += kRows) {
        Tile tile;
        multiply(job, row, tile);
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
            for (int v = 0; v < kVectors; ++v) {
                _mm512_storeu_si512(out + (row + r) * stride + 16 * v, tile[r][v]);
            }
        }
    }
}

constexpr ScanOps kOps = {kRows, 64, survivors, scores};

}  // namespace

const ScanOps& avx512_dot() { return kOps; }

}  // namespace vicinal
