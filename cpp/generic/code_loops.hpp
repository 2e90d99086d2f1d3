// The loops of rows.hpp that make codes, compiled for each instruction set.
#pragma once

#include <algorithm>
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

}  // namespace
}  // namespace vicinal
