// The projection of rows.hpp, compiled for each instruction set.
#pragma once

#include <cstdint>
#include <cstring>

#include "rows.hpp"

namespace vicinal {
namespace {

// The vector width, and as many accumulators as the registers hold.
#if defined(__AVX512F__)
constexpr int kWide = 16, kTileRows = 4, kTileVectors = 2;
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

template <int kRows, int kVectors>
inline void project_tile(const float* x, int64_t stride, int64_t dim, const float* directions, int64_t m, float* out) {
    Wide totals[kRows][kVectors] = {};
    for (int64_t c = 0; c < dim;) {
        Wide sums[kRows][kVectors] = {};
        for (const int64_t end = c + kPiece < dim ? c + kPiece : dim; c < end; ++c, directions += m) {
            for (int v = 0; v < kVectors; ++v) {
                Wide own;
                std::memcpy(&own, directions + v * kWide, sizeof own);
                for (int r = 0; r < kRows; ++r) sums[r][v] += own * x[r * stride + c];
            }
        }
        for (int r = 0; r < kRows; ++r) {
            for (int v = 0; v < kVectors; ++v) totals[r][v] += sums[r][v];
        }
    }
    for (int r = 0; r < kRows; ++r) std::memcpy(out + r * m, totals[r], sizeof totals[r]);
}

void project(const float* x, int64_t n, int64_t stride, int64_t dim, const float* directions, int64_t m, float* out) {
    for (int64_t row = 0; row < n;) {
        const bool all = row + kTileRows <= n;
        for (int64_t j = 0; j < m;) {
            const bool wide = j + kTileVectors * kWide <= m;
            const auto tile =
                all    ? wide ? project_tile<kTileRows, kTileVectors> : project_tile<kTileRows, kTileVectors / 2>
                : wide ? project_tile<1, kTileVectors>
                       : project_tile<1, kTileVectors / 2>;
            tile(x + row * stride, stride, dim, directions + j, m, out + row * m + j);
            j += (wide ? kTileVectors : kTileVectors / 2) * kWide;
        }
        row += all ? kTileRows : 1;
    }
}

}  // namespace
}  // namespace vicinal
