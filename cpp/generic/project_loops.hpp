// The projection of rows.hpp, compiled for each instruction set.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__AVX2__)
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
constexpr int kWide = 8, kTileRows = 4, kTileVectors = 2;
#elif defined(VICINAL_NEON)
constexpr int kWide = 4, kTileRows = 4, kTileVectors = 4;
#else
constexpr int kWide = 4, kTileRows = 2, kTileVectors = 4;
#endif
using Wide = float __attribute__((vector_size(kWide * sizeof(float))));
constexpr int64_t kPiece = 64;
static_assert(kProjected % (kTileVectors * kWide) == 0 || kTileVectors * kWide == 2 * kProjected);

// Adds a product to a sum; fused, it is not rounded before, where one instruction does both.
template <bool kFused>
inline Wide add_product(Wide sum, Wide a, float b) {
#if defined(__AVX512F__)
    if constexpr (kFused)
        return bit_copy<Wide>(_mm512_fmadd_ps(bit_copy<__m512>(a), _mm512_set1_ps(b), bit_copy<__m512>(sum)));
#elif defined(__FMA__)
    if constexpr (kFused)
        return bit_copy<Wide>(_mm256_fmadd_ps(bit_copy<__m256>(a), _mm256_set1_ps(b), bit_copy<__m256>(sum)));
#endif
    return sum + a * b;
}

template <bool kFused, int kRows, int kVectors>
inline void project_tile(const float* x, int64_t stride, int64_t dim, const float* directions, int64_t m, float* out) {
    Wide totals[kRows][kVectors] = {};
    for (int64_t c = 0; c < dim;) {
        Wide sums[kRows][kVectors] = {};
        for (const int64_t end = c + kPiece < dim ? c + kPiece : dim; c < end; ++c, directions += m) {
            for (int v = 0; v < kVectors; ++v) {
                Wide own;
                std::memcpy(&own, directions + v * kWide, sizeof own);
                for (int r = 0; r < kRows; ++r) sums[r][v] = add_product<kFused>(sums[r][v], own, x[r * stride + c]);
            }
        }
        for (int r = 0; r < kRows; ++r) {
            for (int v = 0; v < kVectors; ++v) totals[r][v] += sums[r][v];
        }
    }
    for (int r = 0; r < kRows; ++r) std::memcpy(out + r * m, totals[r], sizeof totals[r]);
}

template <bool kFused>
void project_rows(const float* x, int64_t n, int64_t stride, int64_t dim, const float* directions, int64_t m,
                  float* out) {
    for (int64_t row = 0; row < n;) {
        const bool all = row + kTileRows <= n;
        for (int64_t j = 0; j < m;) {
            const bool wide = j + kTileVectors * kWide <= m;
            const auto tile = all    ? wide ? project_tile<kFused, kTileRows, kTileVectors>
                                            : project_tile<kFused, kTileRows, kTileVectors / 2>
                              : wide ? project_tile<kFused, 1, kTileVectors>
                                     : project_tile<kFused, 1, kTileVectors / 2>;
            tile(x + row * stride, stride, dim, directions + j, m, out + row * m + j);
            j += (wide ? kTileVectors : kTileVectors / 2) * kWide;
        }
        row += all ? kTileRows : 1;
    }
}

}  // namespace
}  // namespace vicinal
