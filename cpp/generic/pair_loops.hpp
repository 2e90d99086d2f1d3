// The loops of rows.hpp that compare pairs of codes, compiled for each instruction set.
#pragma once

#include <algorithm>
#include <cstring>
#include <iterator>
#include <vector>

#include "generic/half.hpp"
#include "scan.hpp"

namespace vicinal {
namespace {

#if defined(VICINAL_NEON)
inline int32_t neon_product(const int8_t* x, const uint8_t* y, int64_t bytes) {
    int32x4_t sums[4] = {};
    for (int64_t c = 0; c < bytes; c += 64) {
        for (int i = 0; i < 4; ++i) {
            const int8x16_t own = vld1q_s8(x + c + 16 * i);
            const uint8x16_t other = vld1q_u8(y + c + 16 * i);
#if defined(__ARM_FEATURE_MATMUL_INT8)
            sums[i] = vusdotq_s32(sums[i], other, own);
#elif defined(__ARM_FEATURE_DOTPROD)
            // Of the offset 128 that makes the second factor signed, half fits a signed byte.
            const int32x4_t offset = vdotq_s32(vdupq_n_s32(0), own, vdupq_n_s8(64));
            const int8x16_t less = vreinterpretq_s8_u8(veorq_u8(other, vdupq_n_u8(128)));
            sums[i] = vaddq_s32(vdotq_s32(sums[i], own, less), vaddq_s32(offset, offset));
#else
            const int16x8_t low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(other)));
            const int16x8_t high = vreinterpretq_s16_u16(vmovl_high_u8(other));
            const int16x8_t own_low = vmovl_s8(vget_low_s8(own)), own_high = vmovl_high_s8(own);
            sums[i] = vmlal_s16(sums[i], vget_low_s16(low), vget_low_s16(own_low));
            sums[i] = vmlal_high_s16(sums[i], low, own_low);
            sums[i] = vmlal_s16(sums[i], vget_low_s16(high), vget_low_s16(own_high));
            sums[i] = vmlal_high_s16(sums[i], high, own_high);
#endif
        }
    }
    return vaddvq_s32(vaddq_s32(vaddq_s32(sums[0], sums[1]), vaddq_s32(sums[2], sums[3])));
}
#endif

#if defined(__AVX512VNNI__)
// The sums of the lanes of sixteen vectors.
inline __attribute__((always_inline)) __m512i totals(const __m512i (&sums)[16]) {
    __m512i pairs[8], fours[4], eights[2];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
        pairs[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(sums[2 * i], sums[2 * i + 1]),
                                    _mm512_unpackhi_epi32(sums[2 * i], sums[2 * i + 1]));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        fours[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(pairs[2 * i], pairs[2 * i + 1]),
                                    _mm512_unpackhi_epi64(pairs[2 * i], pairs[2 * i + 1]));
    }
    const auto halves = [](__m512i x, __m512i y) {
        return _mm512_add_epi32(_mm512_shuffle_i32x4(x, y, 0x88), _mm512_shuffle_i32x4(x, y, 0xdd));
    };
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) eights[i] = halves(fours[2 * i], fours[2 * i + 1]);
    return halves(eights[0], eights[1]);
}

// Products over kVectors vectors of each row and column, added to `out` or stored. Loads limit the speed, so the
// vectors of the current row stay in registers.
template <int kVectors>
void add_products(const int8_t* rows, const uint8_t* columns, int64_t row_bytes, const Survivor* pairs, size_t n,
                  bool add, int32_t* out) {
    __m512i own[kVectors] = {};
    int held = -1;
    for (size_t i = 0; i < n; i += 16) {
        const size_t count = std::min<size_t>(16, n - i);
        const Survivor* batch = pairs + i;
        Survivor last[16];
        if (count < 16) {
            for (size_t j = 0; j < 16; ++j) last[j] = batch[std::min(j, count - 1)];
            batch = last;
        }
        __m512i sums[16];
#pragma GCC unroll 16
        for (int j = 0; j < 16; ++j) {
            if (batch[j].row != held) {
                held = batch[j].row;
#pragma GCC unroll 8
                for (int v = 0; v < kVectors; ++v) own[v] = _mm512_loadu_si512(rows + held * row_bytes + 64 * v);
            }
            const uint8_t* column = columns + batch[j].column * row_bytes;
            __m512i sum = _mm512_setzero_si512();
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v) {
                sum = _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(column + 64 * v), own[v]);
            }
            sums[j] = sum;
        }
        const auto stored = static_cast<__mmask16>((1u << count) - 1);
        const __m512i before = add ? _mm512_maskz_loadu_epi32(stored, out + i) : _mm512_setzero_si512();
        _mm512_mask_storeu_epi32(out + i, stored, _mm512_add_epi32(before, totals(sums)));
    }
}

// Takes long rows in parts of about equal size, one after the other: so the columns stay in the first-level cache.
void products(const int8_t* rows, const int32_t*, const uint8_t* columns, int64_t row_bytes, const Survivor* pairs,
              size_t n, int32_t* out) {
    using Part = void (*)(const int8_t*, const uint8_t*, int64_t, const Survivor*, size_t, bool, int32_t*);
    constexpr Part kParts[] = {add_products<1>, add_products<2>, add_products<3>, add_products<4>,
                               add_products<5>, add_products<6>, add_products<7>, add_products<8>};
    constexpr int64_t kMost = std::size(kParts);
    const int64_t vectors = row_bytes / 64;
    for (int64_t done = 0, parts = (vectors + kMost - 1) / kMost; parts > 0; --parts) {
        const int64_t size = (vectors - done + parts - 1) / parts;
        kParts[size - 1](rows + 64 * done, columns + 64 * done, row_bytes, pairs, n, done > 0, out);
        done += size;
    }
}
#elif defined(__AVX2__)
// Writes eight sums whose total is the product of a row and each of kCount columns. Unsigned times signed bytes are
// added in pairs of 16 bits, which holds 127 * 128 twice: so the columns are made signed, by subtracting 128, and take
// the signs of the row. `missing` is added to the first sum: for one column 128 times the sum of the row. Several
// columns take a sign by inverting all bits, for which one exclusive-or suffices: -c - 1 in the place of -c, so that
// the sum of what is below zero in the row is missing too.
template <int kCount>
inline __attribute__((always_inline)) void part_products(const int8_t* row, int32_t missing, const uint8_t* columns,
                                                         int64_t row_bytes, const Survivor* pairs, __m256i* out) {
    const __m256i ones = _mm256_set1_epi16(1), offset = _mm256_set1_epi8(-128);
    __m256i sums[kCount];
    const uint8_t* from[kCount];
#pragma GCC unroll 4
    for (int j = 0; j < kCount; ++j) {
        sums[j] = _mm256_zextsi128_si256(_mm_cvtsi32_si128(missing));
        from[j] = columns + pairs[j].column * row_bytes;
    }
    for (int64_t c = 0; c < row_bytes; c += 64) {
#pragma GCC unroll 2
        for (int half = 0; half < 64; half += 32) {
            const __m256i own = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + c + half));
            const __m256i size = _mm256_abs_epi8(own);
            const __m256i inverse = _mm256_xor_si256(_mm256_cmpgt_epi8(_mm256_setzero_si256(), own), offset);
#pragma GCC unroll 4
            for (int j = 0; j < kCount; ++j) {
                const __m256i other = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from[j] + c + half));
                const __m256i turned = kCount == 1 ? _mm256_sign_epi8(_mm256_xor_si256(other, offset), own)
                                                   : _mm256_xor_si256(other, inverse);
                sums[j] = _mm256_add_epi32(sums[j], _mm256_madd_epi16(_mm256_maddubs_epi16(size, turned), ones));
            }
        }
    }
#pragma GCC unroll 4
    for (int j = 0; j < kCount; ++j) out[j] = sums[j];
}

// The sum of the numbers below zero, without their sign.
inline int32_t below_zero(const int8_t* row, int64_t row_bytes) {
    __m256i sums = _mm256_setzero_si256();
    for (int64_t c = 0; c < row_bytes; c += 32) {
        const __m256i own = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + c));
        const __m256i below = _mm256_sub_epi8(_mm256_setzero_si256(), _mm256_min_epi8(own, _mm256_setzero_si256()));
        sums = _mm256_add_epi64(sums, _mm256_sad_epu8(below, _mm256_setzero_si256()));
    }
    const __m128i half = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    return _mm_cvtsi128_si32(_mm_add_epi64(half, _mm_unpackhi_epi64(half, half)));
}

// The sums of the lanes of eight vectors.
inline __m256i totals(const __m256i* sums) {
    __m256i pairs[4], fours[2];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        pairs[i] = _mm256_add_epi32(_mm256_unpacklo_epi32(sums[2 * i], sums[2 * i + 1]),
                                    _mm256_unpackhi_epi32(sums[2 * i], sums[2 * i + 1]));
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
        fours[i] = _mm256_add_epi32(_mm256_unpacklo_epi64(pairs[2 * i], pairs[2 * i + 1]),
                                    _mm256_unpackhi_epi64(pairs[2 * i], pairs[2 * i + 1]));
    }
    return _mm256_add_epi32(_mm256_permute2x128_si256(fours[0], fours[1], 0x20),
                            _mm256_permute2x128_si256(fours[0], fours[1], 0x31));
}

// Pairs of one row are taken together, up to four, unless the rows of the pairs before had few each: then this costs
// more, in branches that no processor foresees, than it saves.
void products(const int8_t* rows, const int32_t* row_sums, const uint8_t* columns, int64_t row_bytes,
              const Survivor* pairs, size_t n, int32_t* out) {
    constexpr size_t kBatch = 64;
    thread_local std::vector<int32_t> below;  // of the rows, or -1 where not known yet
    below.clear();
    __m256i sums[kBatch] = {};
    bool together = true;
    for (size_t i = 0; i < n; i += kBatch) {
        const Survivor* const end = pairs + std::min(n, i + kBatch);
        size_t runs = 0;
        int held = -1;
        __m256i* to = sums;
        for (const Survivor* pair = pairs + i; pair < end;) {
            const int own = pair->row;
            runs += own != held;
            held = own;
            const int8_t* row = rows + own * row_bytes;
            int32_t missing = 128 * row_sums[own];
            if (!together || pair + 1 == end || pair[1].row != own) {
                part_products<1>(row, missing, columns, row_bytes, pair++, to++);
                continue;
            }
            if (below.size() <= static_cast<size_t>(own)) below.resize(own + 1, -1);
            if (below[own] < 0) below[own] = below_zero(row, row_bytes);
            missing += below[own];
            if (pair + 2 == end || pair[2].row != own) {
                part_products<2>(row, missing, columns, row_bytes, pair, to);
                pair += 2, to += 2;
            } else if (pair + 3 == end || pair[3].row != own) {
                part_products<3>(row, missing, columns, row_bytes, pair, to);
                pair += 3, to += 3;
            } else {
                part_products<4>(row, missing, columns, row_bytes, pair, to);
                pair += 4, to += 4;
            }
        }
        const size_t count = end - pairs - i;
        together = 3 * runs < count;
        for (size_t j = 0; j < count; j += 8) {
            const __m256i eight = totals(sums + j);
            if (count - j >= 8) {
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i + j), eight);
            } else {
                std::memcpy(out + i + j, &eight, (count - j) * sizeof *out);
            }
        }
    }
}
#else
// The inner product of signed and unsigned bytes, whose number is a multiple of 64.
inline int32_t product(const int8_t* x, const uint8_t* y, int64_t bytes) {
#if defined(VICINAL_NEON)
    return neon_product(x, y, bytes);
#else
    int32_t sum = 0;
    for (int64_t c = 0; c < bytes; ++c) sum += x[c] * y[c];
    return sum;
#endif
}

void products(const int8_t* rows, const int32_t*, const uint8_t* columns, int64_t row_bytes, const Survivor* pairs,
              size_t n, int32_t* out) {
    for (size_t i = 0; i < n; ++i) {
        out[i] = product(rows + pairs[i].row * row_bytes, columns + pairs[i].column * row_bytes, row_bytes);
    }
}
#endif

size_t passing(const ScanJob& job, const int32_t* products, Survivor* pairs, size_t n) {
    size_t kept = 0;
#if defined(__AVX512VNNI__)
    static_assert(kPanel == 64 && sizeof(Survivor) == 8);
    __m512i column_base[4], column_threshold[4];
    for (int v = 0; v < 4; ++v) {
        column_base[v] = _mm512_loadu_si512(job.column_base + 16 * v);
        column_threshold[v] = _mm512_loadu_si512(job.column_threshold + 16 * v);
    }
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1)),
                  high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    // The base and the threshold of each row one after the other.
    thread_local std::vector<int64_t> of_row;
    of_row.resize(padded(job.n_rows, 16));
    for (int row = 0; row < job.n_rows; row += 16) {
        const auto own = static_cast<__mmask16>((1u << std::min(16, job.n_rows - row)) - 1);
        const __m512i bases = _mm512_maskz_loadu_epi32(own, job.row_base + row);
        const __m512i thresholds = _mm512_maskz_loadu_epi32(own, job.row_threshold + row);
        _mm512_storeu_si512(&of_row[row], _mm512_permutex2var_epi32(bases, low, thresholds));
        _mm512_storeu_si512(&of_row[row + 8], _mm512_permutex2var_epi32(bases, high, thresholds));
    }
    for (size_t i = 0; i < n; i += 16) {
        const auto own = static_cast<__mmask16>((1u << std::min<size_t>(16, n - i)) - 1);
        const __m512i keys = _mm512_permutex2var_epi32(_mm512_maskz_loadu_epi64(own & 0xff, pairs + i), even,
                                                       _mm512_maskz_loadu_epi64(own >> 8, pairs + i + 8));
        const __m512i rows = _mm512_and_si512(keys, _mm512_set1_epi32(0xffff)), columns = _mm512_srli_epi32(keys, 16);
        const __mmask16 last_half = _mm512_test_epi32_mask(columns, _mm512_set1_epi32(32));
        const auto of_columns = [&](const __m512i(&values)[4]) {
            return _mm512_mask_mov_epi32(_mm512_permutex2var_epi32(values[0], columns, values[1]), last_half,
                                         _mm512_permutex2var_epi32(values[2], columns, values[3]));
        };
        const auto of_rows = [&](__m256i eight) { return _mm512_i32gather_epi64(eight, of_row.data(), 8); };
        const __m512i first_rows = of_rows(_mm512_castsi512_si256(rows));
        const __m512i last_rows = of_rows(_mm512_extracti64x4_epi64(rows, 1));
        const __m512i base = _mm512_permutex2var_epi32(first_rows, even, last_rows);
        const __m512i threshold = _mm512_permutex2var_epi32(first_rows, odd, last_rows);
        const __m512i sums = _mm512_add_epi32(_mm512_maskz_loadu_epi32(own, products + i), of_columns(column_base));
        const __m512i least = _mm512_min_epi32(threshold, _mm512_sub_epi32(of_columns(column_threshold), base));
        const __mmask16 passed = _mm512_mask_cmpge_epi32_mask(own, sums, least);
        const __m512i scores = _mm512_maskz_compress_epi32(passed, _mm512_add_epi32(sums, base));
        const __m512i left = _mm512_maskz_compress_epi32(passed, keys);
        // What is written is within what has been read.
        _mm512_mask_storeu_epi64(pairs + kept, own & 0xff, _mm512_permutex2var_epi32(left, low, scores));
        _mm512_mask_storeu_epi64(pairs + kept + 8, own >> 8, _mm512_permutex2var_epi32(left, high, scores));
        kept += __builtin_popcount(passed);
    }
#else
    // Without a branch, since which pairs pass is hard to foresee.
    for (size_t i = 0; i < n; ++i) {
        Survivor pair = pairs[i];
        const int32_t base = job.row_base[pair.row], sum = products[i] + job.column_base[pair.column];
        pair.score = sum + base;
        pairs[kept] = pair;
        kept += sum >= std::min(job.row_threshold[pair.row], job.column_threshold[pair.column] - base);
    }
#endif
    return kept;
}

// The inner products of one row of signed bytes and four of unsigned ones.
#if defined(__AVX512VNNI__)
inline void four_products(const int8_t* x, const uint8_t* const (&rows)[4], int64_t bytes, int32_t* out) {
    __m512i sums[4] = {};
    for (int64_t c = 0; c < bytes; c += 64) {
        const __m512i own = _mm512_loadu_si512(x + c);
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) sums[r] = _mm512_dpbusd_epi32(sums[r], _mm512_loadu_si512(rows[r] + c), own);
    }
    const __m512i first =
        _mm512_add_epi32(_mm512_unpacklo_epi32(sums[0], sums[1]), _mm512_unpackhi_epi32(sums[0], sums[1]));
    const __m512i last =
        _mm512_add_epi32(_mm512_unpacklo_epi32(sums[2], sums[3]), _mm512_unpackhi_epi32(sums[2], sums[3]));
    const __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(first, last), _mm512_unpackhi_epi64(first, last));
    const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    const __m128i quarter = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), quarter);
}
#elif defined(__AVX2__)
// Unsigned times signed bytes are added in pairs of 16 bits, which holds 127 * 127 twice: so the rows are made signed,
// and take the signs of x.
inline void four_products(const int8_t* x, const uint8_t* const (&rows)[4], int64_t bytes, int32_t* out) {
    __m256i sums[4] = {};
    __m256i total = {};
    const __m256i ones = _mm256_set1_epi16(1), offset = _mm256_set1_epi8(-128);
    for (int64_t c = 0; c < bytes; c += 32) {
        const __m256i own = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + c));
        const __m256i size = _mm256_abs_epi8(own);
        total = _mm256_add_epi32(total, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), own), ones));
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) {
            const __m256i row = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[r] + c));
            const __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(_mm256_xor_si256(row, offset), own));
            sums[r] = _mm256_add_epi32(sums[r], _mm256_madd_epi16(pairs, ones));
        }
    }
    total = _mm256_slli_epi32(total, 7);
    for (__m256i& sum : sums) sum = _mm256_add_epi32(sum, total);
    const __m256i first =
        _mm256_add_epi32(_mm256_unpacklo_epi32(sums[0], sums[1]), _mm256_unpackhi_epi32(sums[0], sums[1]));
    const __m256i last =
        _mm256_add_epi32(_mm256_unpacklo_epi32(sums[2], sums[3]), _mm256_unpackhi_epi32(sums[2], sums[3]));
    const __m256i all = _mm256_add_epi32(_mm256_unpacklo_epi64(first, last), _mm256_unpackhi_epi64(first, last));
    const __m128i half = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), half);
}
#else
inline void four_products(const int8_t* x, const uint8_t* const (&rows)[4], int64_t bytes, int32_t* out) {
    for (int r = 0; r < 4; ++r) out[r] = product(x, rows[r], bytes);
}
#endif

// Some rows are fetched ahead, for they are rarely in the cache.
void named_products(const int8_t* x, const uint8_t* rows, int64_t row_bytes, const int32_t* which, size_t n,
                    int32_t* out) {
    const auto fetch = [&](size_t i) {
        for (int64_t c = 0; c < row_bytes; c += 64) __builtin_prefetch(rows + which[i] * row_bytes + c);
    };
    for (size_t i = 0; i < n; i += 4) {
        const uint8_t* four[4];
        int32_t sums[4];
        for (size_t r = 0; r < 4; ++r) {
            if (i + 4 + r < n) fetch(i + 4 + r);
            four[r] = rows + which[i + r < n ? i + r : n - 1] * row_bytes;
        }
        four_products(x, four, row_bytes, sums);
        for (size_t r = 0; r < 4 && i + r < n; ++r) out[i + r] = sums[r];
    }
}

}  // namespace
}  // namespace vicinal
