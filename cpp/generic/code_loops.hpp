// The loops of rows.hpp over codes, compiled for each instruction set.
#pragma once

#include <cmath>
#include <cstring>

#include "generic/half.hpp"
#include "rows.hpp"

namespace vicinal {
namespace {

using Int32x8 = int32_t __attribute__((vector_size(32)));

inline CodedRow coded_row(const int32_t (&norms)[8], const int32_t (&sums)[8], const float (&squares)[8]) {
    CodedRow row = {};
    double square = 0;
    for (int j = 0; j < 8; ++j) {
        row.squared_norm += norms[j];
        row.sum += sums[j];
        square += squares[j];
    }
    row.residual = std::sqrt(square);
    return row;
}

#if defined(__AVX2__)
// The sums over codes of which eight lanes are added at the end, as coded_row takes them.
struct CodeLanes {
    __m256i norms, sums;
    __m256 squares;

    explicit CodeLanes() : norms(_mm256_setzero_si256()), sums(norms), squares(_mm256_setzero_ps()) {}
    void add_codes(__m256i words) {
        norms = _mm256_add_epi32(norms, _mm256_madd_epi16(words, words));
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(words, _mm256_set1_epi16(1)));
    }
    void add_lost(__m256 lost) { squares = _mm256_add_ps(squares, _mm256_mul_ps(lost, lost)); }
    void store(int32_t (&norms_out)[8], int32_t (&sums_out)[8], float (&squares_out)[8]) const {
        std::memcpy(norms_out, &norms, sizeof norms);
        std::memcpy(sums_out, &sums, sizeof sums);
        std::memcpy(squares_out, &squares, sizeof squares);
    }
};
#endif

CodedRow quantise(const float* x, int64_t dim, float scale, int8_t* code) {
    // Adding 1.5 * 2^23 rounds to the nearest whole number and leaves it in the low bits.
    constexpr float kRound = 12582912.0f;
    const float inverse = 1.0f / scale;
    int32_t norms[8] = {}, sums[8] = {};
    float squares[8] = {};
    int64_t c = 0;
#if defined(__AVX2__)
    CodeLanes lanes;
    for (; c + 32 <= dim; c += 32) {
        __m256i q[4];
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) {
            const __m256 own = _mm256_loadu_ps(x + c + 8 * v);
            const __m256 shifted = _mm256_add_ps(_mm256_mul_ps(own, _mm256_set1_ps(inverse)), _mm256_set1_ps(kRound));
            const __m256 whole = _mm256_sub_ps(shifted, _mm256_set1_ps(kRound));
            lanes.add_lost(_mm256_sub_ps(own, _mm256_mul_ps(whole, _mm256_set1_ps(scale))));
            q[v] = _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(bit_copy<int32_t>(kRound)));
        }
        const __m256i low = _mm256_packs_epi32(q[0], q[1]), high = _mm256_packs_epi32(q[2], q[3]);
        lanes.add_codes(low);
        lanes.add_codes(high);
        const __m256i bytes =
            _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(code + c), bytes);
    }
    lanes.store(norms, sums, squares);
#endif
    for (; c < padded(dim, 8); c += 8) {
        for (int j = 0; j < 8; ++j) {
            const float shifted = x[c + j] * inverse + kRound;
            const float whole = shifted - kRound;
            const float lost = x[c + j] - whole * scale;
            const int8_t q = static_cast<int8_t>(bit_copy<int32_t>(shifted));
            code[c + j] = q;
            norms[j] += q * q;
            sums[j] += q;
            squares[j] += lost * lost;
        }
    }
    return coded_row(norms, sums, squares);
}

void round_rows(const float* x, int64_t n, float inverse, int16_t* out) {
    using Int16x8 = int16_t __attribute__((vector_size(16)));
    const Float8 round = Float8{} + 12582912.0f;
    for (int64_t c = 0; c < n; c += 8) {
        Float8 own;
        std::memcpy(&own, x + c, sizeof own);
        const Int32x8 whole = bit_copy<Int32x8>(own * inverse + round) - bit_copy<Int32x8>(round);
        const auto narrow = __builtin_convertvector(whole, Int16x8);
        std::memcpy(out + c, &narrow, sizeof narrow);
    }
}

// The coarse codes of a row that has been coded (coarse.hpp); `scale` is theirs.
CodedRow halve(const float* x, int64_t dim, float scale, const int8_t* code) {
    int32_t norms[8] = {}, sums[8] = {};
    float squares[8] = {};
    const auto add = [&](int64_t c, int j) {
        const int32_t q = code[c] >> 1;
        const float lost = x[c] - (static_cast<float>(q) + 0.25f) * scale;
        norms[j] += q * q;
        sums[j] += q;
        squares[j] += lost * lost;
    };
    int64_t c = 0;
#if defined(__AVX2__)
    CodeLanes lanes;
    for (; c + 32 <= dim; c += 32) {
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) {
            const auto* own = reinterpret_cast<const __m128i*>(code + c + 8 * v);
            const __m256 q = _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_cvtepi8_epi32(_mm_loadl_epi64(own)), 1));
            const __m256 value = _mm256_mul_ps(_mm256_add_ps(q, _mm256_set1_ps(0.25f)), _mm256_set1_ps(scale));
            lanes.add_lost(_mm256_sub_ps(_mm256_loadu_ps(x + c + 8 * v), value));
        }
        for (int half = 0; half < 2; ++half) {
            const auto* own = reinterpret_cast<const __m128i*>(code + c + 16 * half);
            lanes.add_codes(_mm256_srai_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(own)), 1));
        }
    }
    lanes.store(norms, sums, squares);
#endif
    for (; c + 8 <= dim; c += 8) {
        for (int j = 0; j < 8; ++j) add(c + j, j);
    }
    for (; c < dim; ++c) add(c, 0);
    return coded_row(norms, sums, squares);
}

ClippedRow clip(const double* x, const double* low, double inverse, double highest, int64_t dim, uint8_t* code) {
    // Adding 1.5 * 2^52 rounds to the nearest whole number and leaves it in the low bits.
    constexpr double kRound = 6755399441055744.0;
    double residuals[8] = {}, excesses[8] = {};
    for (int64_t c = 0; c < padded(dim, 8); c += 8) {
        for (int j = 0; j < 8; ++j) {
            const double value = (x[c + j] - low[c + j]) * inverse;
            const double above = value > 0 ? value : 0, within = above < highest ? above : highest;
            const double shifted = within + kRound;
            residuals[j] += std::fabs(within - (shifted - kRound));
            excesses[j] += std::fabs(value - within);
            code[c + j] = static_cast<uint8_t>(bit_copy<uint64_t>(shifted));
        }
    }
    ClippedRow row = {};
    for (int j = 0; j < 8; ++j) {
        row.residual += residuals[j];
        row.excess += excesses[j];
    }
    return row;
}

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

// The inner product of signed and unsigned bytes, whose number is a multiple of 64.
inline int32_t product(const int8_t* x, const uint8_t* y, int64_t bytes) {
#if defined(__AVX512VNNI__)
    // Several sums, since one would wait for each of its additions.
    __m512i sums[4] = {};
    int64_t c = 0;
    for (; c + 256 <= bytes; c += 256) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            sums[i] =
                _mm512_dpbusd_epi32(sums[i], _mm512_loadu_si512(y + c + 64 * i), _mm512_loadu_si512(x + c + 64 * i));
        }
    }
    for (; c < bytes; c += 64) {
        sums[0] = _mm512_dpbusd_epi32(sums[0], _mm512_loadu_si512(y + c), _mm512_loadu_si512(x + c));
    }
    return _mm512_reduce_add_epi32(
        _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3])));
#elif defined(__AVX2__)
    __m256i sums[2] = {};
    for (int64_t c = 0; c < bytes; c += 32) {
        for (int half = 0; half < 2; ++half) {
            const auto* own = reinterpret_cast<const __m128i*>(x + c + 16 * half);
            const auto* other = reinterpret_cast<const __m128i*>(y + c + 16 * half);
            sums[half] = _mm256_add_epi32(sums[half], _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(own)),
                                                                        _mm256_cvtepu8_epi16(_mm_loadu_si128(other))));
        }
    }
    const auto all = bit_copy<Int32x8>(_mm256_add_epi32(sums[0], sums[1]));
    return ((all[0] + all[1]) + (all[2] + all[3])) + ((all[4] + all[5]) + (all[6] + all[7]));
#elif defined(VICINAL_NEON)
    return neon_product(x, y, bytes);
#else
    int32_t sum = 0;
    for (int64_t c = 0; c < bytes; ++c) sum += x[c] * y[c];
    return sum;
#endif
}

void products(const int8_t* rows, const uint8_t* columns, int64_t row_bytes, const Survivor* pairs, size_t n,
              int32_t* out) {
    for (size_t i = 0; i < n; ++i) {
        out[i] = product(rows + pairs[i].row * row_bytes, columns + pairs[i].column * row_bytes, row_bytes);
    }
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
