// The scan of the absolute kernel and of the bits kernel: sums of integers over coordinates, eight bytes at a time.
//
// A panel interleaves the codes of 64 columns, eight bytes of each: panel[group][column][8]. Each 64-bit lane of a
// vector holds the sum of one column. A step adds the absolute differences of eight bytes of a column and of a row, or
// the number of bits in which they differ. These sums never decrease, so after every few steps a tile is abandoned if
// none of its pairs can pass. The score of a pair is the negated sum: higher is nearer.
//
// Included by the files of each instruction set and compiled with their flags.
#pragma once

#include <bit>
#include <cstring>
#if defined(VICINAL_NEON)
#include "neon/lanes.hpp"
#elif defined(__SSE2__)
#include <immintrin.h>
#endif

#include "scan.hpp"

namespace vicinal {
namespace {

#if defined(VICINAL_NEON)
// neon/lanes.hpp has the vectors.
#elif defined(__AVX512BW__)
struct Lanes {
    using Vector = __m512i;
    static constexpr int kLanes = 8, kVectors = 8, kRows = 3;

    static Vector load(const void* p) { return _mm512_loadu_si512(p); }
    static Vector broadcast(int64_t word) { return _mm512_set1_epi64(word); }
    static Vector widen(const int32_t* p) {
        return _mm512_cvtepi32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static Vector add(Vector a, Vector b) { return _mm512_add_epi64(a, b); }
    static Vector subtract(Vector a, Vector b) { return _mm512_sub_epi64(a, b); }
    static Vector multiply(Vector a, Vector b) { return _mm512_mul_epu32(a, b); }
    static Vector shift(Vector a, int bits) { return _mm512_slli_epi64(a, bits); }
    static uint32_t at_most(Vector a, Vector b) { return _mm512_cmple_epi64_mask(a, b); }
    static Vector differences(Vector a, Vector b) { return _mm512_sad_epu8(a, b); }
    static Vector differing(Vector a, Vector b) {
        const Vector x = _mm512_xor_si512(a, b);
#if defined(__AVX512VPOPCNTDQ__)
        return _mm512_popcnt_epi64(x);
#else
        const Vector table = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
        const Vector low = _mm512_set1_epi8(15);
        const Vector counts =
            _mm512_add_epi8(_mm512_shuffle_epi8(table, _mm512_and_si512(x, low)),
                            _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(x, 4), low)));
        return _mm512_sad_epu8(counts, _mm512_setzero_si512());
#endif
    }
};
#elif defined(__AVX2__)
struct Lanes {
    using Vector = __m256i;
    static constexpr int kLanes = 4, kVectors = 4, kRows = 2;

    static Vector load(const void* p) { return _mm256_loadu_si256(static_cast<const Vector*>(p)); }
    static Vector broadcast(int64_t word) { return _mm256_set1_epi64x(word); }
    static Vector widen(const int32_t* p) {
        return _mm256_cvtepi32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static Vector add(Vector a, Vector b) { return _mm256_add_epi64(a, b); }
    static Vector subtract(Vector a, Vector b) { return _mm256_sub_epi64(a, b); }
    static Vector multiply(Vector a, Vector b) { return _mm256_mul_epu32(a, b); }
    static Vector shift(Vector a, int bits) { return _mm256_slli_epi64(a, bits); }
    static uint32_t at_most(Vector a, Vector b) { return _mm256_movemask_pd(_mm256_castsi256_pd(subtract(b, a))) ^ 15; }
    static Vector differences(Vector a, Vector b) { return _mm256_sad_epu8(a, b); }
    static Vector differing(Vector a, Vector b) {
        const Vector x = _mm256_xor_si256(a, b), low = _mm256_set1_epi8(15);
        const Vector table = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
        const Vector counts =
            _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(x, low)),
                            _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), low)));
        return _mm256_sad_epu8(counts, _mm256_setzero_si256());
    }
};
#elif defined(__SSE2__)
struct Lanes {
    using Vector = __m128i;
    static constexpr int kLanes = 2, kVectors = 4, kRows = 2;

    static Vector load(const void* p) { return _mm_loadu_si128(static_cast<const Vector*>(p)); }
    static Vector broadcast(int64_t word) { return _mm_set1_epi64x(word); }
    static Vector widen(const int32_t* p) { return _mm_set_epi64x(p[1], p[0]); }
    static Vector add(Vector a, Vector b) { return _mm_add_epi64(a, b); }
    static Vector subtract(Vector a, Vector b) { return _mm_sub_epi64(a, b); }
    static Vector multiply(Vector a, Vector b) { return _mm_mul_epu32(a, b); }
    static Vector shift(Vector a, int bits) { return _mm_slli_epi64(a, bits); }
    static uint32_t at_most(Vector a, Vector b) { return _mm_movemask_pd(_mm_castsi128_pd(subtract(b, a))) ^ 3; }
    static Vector differences(Vector a, Vector b) { return _mm_sad_epu8(a, b); }
    static Vector differing(Vector a, Vector b) {
        // Counts the ones of two bits, then of four, then of eight.
        const Vector x = _mm_xor_si128(a, b), two = _mm_set1_epi8(0x33);
        const Vector pairs = _mm_sub_epi8(x, _mm_and_si128(_mm_srli_epi16(x, 1), _mm_set1_epi8(0x55)));
        const Vector fours = _mm_add_epi8(_mm_and_si128(pairs, two), _mm_and_si128(_mm_srli_epi16(pairs, 2), two));
        const Vector counts = _mm_and_si128(_mm_add_epi8(fours, _mm_srli_epi16(fours, 4)), _mm_set1_epi8(15));
        return _mm_sad_epu8(counts, _mm_setzero_si128());
    }
};
#else
struct Lanes {
    using Vector = int64_t;
    static constexpr int kLanes = 1, kVectors = 8, kRows = 1;

    static Vector load(const void* p) {
        Vector word;
        std::memcpy(&word, p, 8);
        return word;
    }
    static Vector broadcast(int64_t word) { return word; }
    static Vector widen(const int32_t* p) { return *p; }
    static Vector add(Vector a, Vector b) { return a + b; }
    static Vector subtract(Vector a, Vector b) { return a - b; }
    static Vector multiply(Vector a, Vector b) { return a * b; }
    static Vector shift(Vector a, int bits) { return a << bits; }
    static uint32_t at_most(Vector a, Vector b) { return a <= b; }
    static Vector differences(Vector a, Vector b) {
        uint8_t x[8], y[8];
        std::memcpy(x, &a, 8);
        std::memcpy(y, &b, 8);
        int32_t sum = 0;
        for (int i = 0; i < 8; ++i) sum += x[i] > y[i] ? x[i] - y[i] : y[i] - x[i];
        return sum;
    }
    static Vector differing(Vector a, Vector b) { return std::popcount(static_cast<uint64_t>(a ^ b)); }
};
#endif

using Vector = Lanes::Vector;

#if defined(VICINAL_NEON)
struct Differences {
    static void add(Vector& sum, Vector columns, Vector row) { Lanes::add_differences(sum, columns, row); }
};

struct Differing {
    static void add(Vector& sum, Vector columns, Vector row) { Lanes::add_differing(sum, columns, row); }
};

inline Vector fold(Vector sum) { return Lanes::fold(sum); }
#else
struct Differences {
    static void add(Vector& sum, Vector columns, Vector row) {
        sum = Lanes::add(sum, Lanes::differences(columns, row));
    }
};

struct Differing {
    static void add(Vector& sum, Vector columns, Vector row) { sum = Lanes::add(sum, Lanes::differing(columns, row)); }
};

// The sum of a column, where a lane holds it in parts.
inline Vector fold(Vector sum) { return sum; }
#endif

// A pair passes if its score reaches the threshold of the row or of the column.
struct ScoreLimits {
    Vector row[Lanes::kRows], column[Lanes::kVectors];

    ScoreLimits(const ScanJob& job, int first_row, int first_column) {
        for (int r = 0; r < Lanes::kRows; ++r) row[r] = Lanes::broadcast(-int64_t{job.row_threshold[first_row + r]});
        for (int v = 0; v < Lanes::kVectors; ++v) {
            const Vector thresholds = Lanes::widen(job.column_threshold + first_column + v * Lanes::kLanes);
            column[v] = Lanes::subtract(Lanes::broadcast(0), thresholds);
        }
    }
    uint32_t passed(int r, int v, Vector sum) const {
        return Lanes::at_most(sum, row[r]) | Lanes::at_most(sum, column[v]);
    }
};

// A pair passes if its sum is at most a share of the sum of both bases: the row's share or the column's, in units of
// 2^-16.
struct ShareLimits {
    Vector row[Lanes::kRows], row_base[Lanes::kRows], column[Lanes::kVectors], column_base[Lanes::kVectors];

    ShareLimits(const ScanJob& job, int first_row, int first_column) {
        for (int r = 0; r < Lanes::kRows; ++r) {
            row[r] = Lanes::broadcast(job.row_threshold[first_row + r]);
            row_base[r] = Lanes::broadcast(job.row_base[first_row + r]);
        }
        for (int v = 0; v < Lanes::kVectors; ++v) {
            column[v] = Lanes::widen(job.column_threshold + first_column + v * Lanes::kLanes);
            column_base[v] = Lanes::widen(job.column_base + first_column + v * Lanes::kLanes);
        }
    }
    uint32_t passed(int r, int v, Vector sum) const {
        const Vector whole = Lanes::add(row_base[r], column_base[v]), scaled = Lanes::shift(sum, 16);
        return Lanes::at_most(scaled, Lanes::multiply(whole, row[r])) |
               Lanes::at_most(scaled, Lanes::multiply(whole, column[v]));
    }
};

template <class Term, class Limits>
struct LaneScan {
    static constexpr int kRows = Lanes::kRows, kVectors = Lanes::kVectors, kLanes = Lanes::kLanes;
    static constexpr int kColumns = kVectors * kLanes;
    static constexpr int kSteps = 16;  // between two checks of a tile
    using Tile = Vector[kRows][kVectors];

    static inline __attribute__((always_inline)) void add(const ScanJob& job, int row, int column, int first, int last,
                                                          Tile& tile) {
        const int8_t* rows = job.rows + row * job.row_bytes + 8 * first;
        const uint8_t* panel = job.panel + (static_cast<int64_t>(first) * kPanel + column) * 8;
        for (int g = first; g < last; ++g, rows += 8, panel += 8 * kPanel) {
            Vector word[kRows];
#pragma GCC unroll 3
            for (int r = 0; r < kRows; ++r) {
                int64_t eight;
                std::memcpy(&eight, rows + r * job.row_bytes, 8);
                word[r] = Lanes::broadcast(eight);
            }
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v) {
                const Vector columns = Lanes::load(panel + 8 * kLanes * v);
#pragma GCC unroll 3
                for (int r = 0; r < kRows; ++r) Term::add(tile[r][v], columns, word[r]);
            }
        }
    }

    static inline __attribute__((always_inline)) void clear(Tile& tile) {
#pragma GCC unroll 3
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v) tile[r][v] = Lanes::broadcast(0);
        }
    }

    // Bit mask of the columns that pass for row r.
    static inline __attribute__((always_inline)) uint64_t look(const Limits& limits, int r, const Tile& tile) {
        uint64_t passed = 0;
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) passed |= uint64_t{limits.passed(r, v, fold(tile[r][v]))} << (v * kLanes);
        return passed;
    }

    static void take(const Vector (&row)[kVectors], int64_t (&sums)[kColumns]) {
        for (int v = 0; v < kVectors; ++v) {
            const Vector sum = fold(row[v]);
            std::memcpy(sums + v * kLanes, &sum, sizeof sum);
        }
    }

    static size_t survivors(const ScanJob& job, Survivor* out) {
        Survivor* const begin = out;
        for (int column = 0; column < kPanel; column += kColumns) {
            for (int row = 0; row < job.n_rows; row += kRows) {
                const Limits limits(job, row, column);
                Tile tile;
                clear(tile);
                uint64_t passed[kRows];
                uint64_t any = 1;
                for (int first = 0; first < job.groups && any; first += kSteps) {
                    add(job, row, column, first, first + kSteps < job.groups ? first + kSteps : job.groups, tile);
                    any = 0;
#pragma GCC unroll 3
                    for (int r = 0; r < kRows; ++r) any |= passed[r] = look(limits, r, tile);
                }
                if (!any) continue;
                for (int r = 0; r < kRows; ++r) {
                    if (!passed[r]) continue;
                    int64_t sums[kColumns];
                    take(tile[r], sums);
                    for (uint64_t mask = passed[r]; mask; mask &= mask - 1) {
                        const int c = __builtin_ctzll(mask);
                        *out++ = {static_cast<uint16_t>(row + r), static_cast<uint16_t>(column + c),
                                  -static_cast<int32_t>(sums[c])};
                    }
                }
            }
        }
        return out - begin;
    }

    static void scores(const ScanJob& job, int32_t* out, int64_t stride) {
        for (int column = 0; column < kPanel; column += kColumns) {
            for (int row = 0; row < job.n_rows; row += kRows) {
                Tile tile;
                clear(tile);
                add(job, row, column, 0, job.groups, tile);
                for (int r = 0; r < kRows; ++r) {
                    int64_t sums[kColumns];
                    take(tile[r], sums);
                    for (int c = 0; c < kColumns; ++c) {
                        out[(row + r) * stride + column + c] = -static_cast<int32_t>(sums[c]) - job.row_base[row + r];
                    }
                }
            }
        }
    }

    static constexpr ScanOps kOps = {kRows, 64, survivors, scores};
};

}  // namespace
}  // namespace vicinal
