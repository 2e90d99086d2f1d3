// The projections of rows.hpp, compiled for each instruction set.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "generic/half.hpp"
#include "rows.hpp"

namespace vicinal {
namespace {

// The vector width, and as many accumulators as the registers hold.
#if defined(__AVX512F__)
constexpr int kWide = 16, kTileRows = 8, kTileVectors = 2;
#elif defined(__AVX2__)
constexpr int kWide = 8, kTileRows = 6, kTileVectors = 2;
#elif defined(VICINAL_NEON)
constexpr int kWide = 4, kTileRows = 4, kTileVectors = 4;
#else
constexpr int kWide = 4, kTileRows = 2, kTileVectors = 4;
#endif
using Wide = float __attribute__((vector_size(kWide * sizeof(float))));
using WideInt = int32_t __attribute__((vector_size(kWide * sizeof(int32_t))));
constexpr int64_t kPiece = 64;
static_assert(kProjected % (kTileVectors * kWide) == 0 || kTileVectors * kWide == 2 * kProjected);

// Three ways to add a product to a sum. A product is rounded,
struct Rounded {
    using Value = float;
    using Vector = Wide;
    static Vector add(Vector sum, Vector a, float b) { return sum + a * b; }
};

// or not, where one instruction multiplies and adds,
struct Fused {
    using Value = float;
    using Vector = Wide;
    static Vector add(Vector sum, Vector a, float b) {
#if defined(__AVX512F__)
        return bit_copy<Wide>(_mm512_fmadd_ps(bit_copy<__m512>(a), _mm512_set1_ps(b), bit_copy<__m512>(sum)));
#elif defined(__FMA__)
        return bit_copy<Wide>(_mm256_fmadd_ps(bit_copy<__m256>(a), _mm256_set1_ps(b), bit_copy<__m256>(sum)));
#else
        return sum + a * b;
#endif
    }
};

// or is that of two pairs of whole numbers of two bytes, without error.
struct Pairs {
    using Value = int32_t;
    using Vector = WideInt;
    static Vector add(Vector sum, Vector a, int32_t b) {
#if defined(__AVX512VNNI__)
        return bit_copy<WideInt>(
            _mm512_dpwssd_epi32(bit_copy<__m512i>(sum), bit_copy<__m512i>(a), _mm512_set1_epi32(b)));
#elif defined(__AVX2__)
        return sum + bit_copy<WideInt>(_mm256_madd_epi16(bit_copy<__m256i>(a), _mm256_set1_epi32(b)));
#elif defined(__SSE2__)
        return sum + bit_copy<WideInt>(_mm_madd_epi16(bit_copy<__m128i>(a), _mm_set1_epi32(b)));
#else
        return sum + (a << 16 >> 16) * (b << 16 >> 16) + (a >> 16) * (b >> 16);
#endif
    }
};

// Adds the products of a piece of some rows to `out`, whose rows are m apart.
template <class Kind, int kRows, int kVectors>
inline void project_tile(const typename Kind::Value* x, int64_t stride, int64_t piece,
                         const typename Kind::Value* directions, typename Kind::Value* out, int64_t m) {
    using Vector = typename Kind::Vector;
    Vector sums[kRows][kVectors] = {};
    for (int64_t c = 0; c < piece; ++c) {
        for (int v = 0; v < kVectors; ++v) {
            Vector own;
            std::memcpy(&own, directions + (c * kVectors + v) * kWide, sizeof own);
            for (int r = 0; r < kRows; ++r) sums[r][v] = Kind::add(sums[r][v], own, x[r * stride + c]);
        }
    }
    for (int r = 0; r < kRows; ++r) {
        Vector totals[kVectors];
        std::memcpy(totals, out + r * m, sizeof totals);
        for (int v = 0; v < kVectors; ++v) totals[v] += sums[r][v];
        std::memcpy(out + r * m, totals, sizeof totals);
    }
}

// All rows with some of the directions, of which a piece is copied to stay in the cache.
template <class Kind, int kVectors>
inline void project_columns(const typename Kind::Value* x, int64_t n, int64_t stride, int64_t dim,
                            const typename Kind::Value* directions, int64_t m, typename Kind::Value* out) {
    typename Kind::Value copied[kPiece * kVectors * kWide];
    for (int64_t c = 0; c < dim; c += kPiece) {
        const int64_t piece = c + kPiece < dim ? kPiece : dim - c;
        for (int64_t i = 0; i < piece; ++i) {
            std::memcpy(&copied[i * kVectors * kWide], directions + (c + i) * m, kVectors * kWide * sizeof copied[0]);
        }
        int64_t row = 0;
        for (; row + kTileRows <= n; row += kTileRows) {
            project_tile<Kind, kTileRows, kVectors>(x + row * stride + c, stride, piece, copied, out + row * m, m);
        }
        for (; row < n; ++row) {
            project_tile<Kind, 1, kVectors>(x + row * stride + c, stride, piece, copied, out + row * m, m);
        }
    }
}

template <class Kind>
void project_rows(const typename Kind::Value* x, int64_t n, int64_t stride, int64_t dim,
                  const typename Kind::Value* directions, int64_t m, typename Kind::Value* out) {
    std::memset(out, 0, n * m * sizeof out[0]);
    int64_t j = 0;
    for (; j + kTileVectors * kWide <= m; j += kTileVectors * kWide) {
        project_columns<Kind, kTileVectors>(x, n, stride, dim, directions + j, m, out + j);
    }
    for (; j < m; j += kTileVectors / 2 * kWide) {
        project_columns<Kind, kTileVectors / 2>(x, n, stride, dim, directions + j, m, out + j);
    }
}

}  // namespace
}  // namespace vicinal
