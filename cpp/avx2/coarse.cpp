// The scan of coarse codes (coarse.hpp) with AVX2. The instruction for unsigned times signed bytes adds two products in
// 16 bits: at most 2 * 127 * 64, so that two of these sums still fit and share one widening to 32 bits.
//
// Sixteen columns of the panel are halved into a buffer, group after group, in which they stay in the first-level cache
// for all rows whatever the number of coordinates. In the panel their groups are 256 bytes apart, which would use a
// quarter of the sets of that cache.
#include <immintrin.h>

#include <cstring>
#include <vector>

#include "scan.hpp"

namespace vicinal {
namespace {

constexpr int kRows = 3;
constexpr int kVectors = 2;
constexpr int kWidth = 8 * kVectors;
constexpr int kStrip = 4 * kWidth;  // bytes of a group of the columns of a tile
using Tile = __m256i[kRows][kVectors];

// The columns of a tile, halved, with zeros up to an even number of groups.
const uint8_t* halved(const ScanJob& job, int column) {
    thread_local std::vector<uint8_t> strip;
    strip.resize(static_cast<size_t>(job.groups + 1) * kStrip);
    const uint8_t* panel = job.panel + 4 * column;
    uint8_t* out = strip.data();
    for (int g = 0; g < job.groups; ++g, panel += 4 * kPanel, out += kStrip) {
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
            const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel + 32 * v));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 32 * v),
                                _mm256_and_si256(_mm256_srli_epi16(codes, 1), _mm256_set1_epi8(127)));
        }
    }
    std::memset(out, 0, kStrip);
    return strip.data();
}

inline __m256i word_of(const int8_t* row) {
    int32_t word;
    std::memcpy(&word, row, 4);
    return _mm256_set1_epi32(word);
}

// Scores less row_base.
inline __attribute__((always_inline)) void multiply(const ScanJob& job, int row, int column, const uint8_t* strip,
                                                    Tile& tile) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
        const __m256i base = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(job.column_base + column + 8 * v));
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) tile[r][v] = base;
    }
    const int8_t* rows = job.rows + row * job.row_bytes;
    for (int g = 0; g < job.groups; g += 2, strip += 2 * kStrip, rows += 8) {
        __m256i first[kVectors], second[kVectors];
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
            first[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(strip + 32 * v));
            second[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(strip + kStrip + 32 * v));
        }
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
            const int8_t* own = rows + r * job.row_bytes;
            const __m256i one = word_of(own), other = word_of(own + 4);
#pragma GCC unroll 2
            for (int v = 0; v < kVectors; ++v) {
                const __m256i pairs =
                    _mm256_add_epi16(_mm256_maddubs_epi16(first[v], one), _mm256_maddubs_epi16(second[v], other));
                tile[r][v] = _mm256_add_epi32(tile[r][v], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
            }
        }
    }
}

size_t survivors(const ScanJob& job, Survivor* out) {
    Survivor* const begin = out;
    for (int column = 0; column < kPanel; column += kWidth) {
        const uint8_t* strip = halved(job, column);
        __m256i column_threshold[kVectors];
        for (int v = 0; v < kVectors; ++v) {
            column_threshold[v] =
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(job.column_threshold + column + 8 * v));
        }
        for (int row = 0; row < job.n_rows; row += kRows) {
            Tile tile;
            multiply(job, row, column, strip, tile);
#pragma GCC unroll 4
            for (int r = 0; r < kRows; ++r) {
                const __m256i base = _mm256_set1_epi32(job.row_base[row + r]);
                const __m256i threshold = _mm256_set1_epi32(job.row_threshold[row + r]);
                uint32_t below = 0;
#pragma GCC unroll 2
                for (int v = 0; v < kVectors; ++v) {
                    const __m256i least = _mm256_min_epi32(threshold, _mm256_sub_epi32(column_threshold[v], base));
                    const __m256i less = _mm256_cmpgt_epi32(least, tile[r][v]);
                    below |= static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(less))) << (8 * v);
                }
                uint32_t passed = ~below & ((1u << kWidth) - 1);
                if (!passed) continue;
                alignas(32) int32_t scores[kWidth];
#pragma GCC unroll 2
                for (int v = 0; v < kVectors; ++v)
                    _mm256_store_si256(reinterpret_cast<__m256i*>(scores + 8 * v), tile[r][v]);
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

void scores(const ScanJob& job, int32_t* out, int64_t stride) {
    for (int column = 0; column < kPanel; column += kWidth) {
        const uint8_t* strip = halved(job, column);
        for (int row = 0; row < job.n_rows; row += kRows) {
            Tile tile;
            multiply(job, row, column, strip, tile);
#pragma GCC unroll 4
            for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
                for (int v = 0; v < kVectors; ++v) {
                    auto* to = reinterpret_cast<__m256i*>(out + (row + r) * stride + column + 8 * v);
                    _mm256_storeu_si256(to, tile[r][v]);
                }
            }
        }
    }
}

constexpr ScanOps kOps = {kRows, 48, survivors, scores};

}  // namespace

const ScanOps& avx2_coarse() { return kOps; }

}  // namespace vicinal
