// The loop of rows.hpp that unpacks the columns of a panel, compiled for each instruction set.
#pragma once

#include <algorithm>
#include <cstring>

#include "generic/half.hpp"
#include "scan.hpp"

namespace vicinal {
namespace {

// Transposes blocks of 8 x 8 or 4 x 4 groups of four bytes, with zeros after the last group.
#if defined(__AVX2__)
constexpr int kSide = 8;
using Groups = __m256i;

inline void transpose(Groups (&x)[kSide]) {
    Groups twos[8], fours[8];
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        twos[i] = _mm256_unpacklo_epi32(x[i], x[i + 1]);
        twos[i + 1] = _mm256_unpackhi_epi32(x[i], x[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        fours[i] = _mm256_unpacklo_epi64(twos[i], twos[i + 2]);
        fours[i + 1] = _mm256_unpackhi_epi64(twos[i], twos[i + 2]);
        fours[i + 2] = _mm256_unpacklo_epi64(twos[i + 1], twos[i + 3]);
        fours[i + 3] = _mm256_unpackhi_epi64(twos[i + 1], twos[i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        x[i] = _mm256_permute2x128_si256(fours[i], fours[i + 4], 0x20);
        x[i + 4] = _mm256_permute2x128_si256(fours[i], fours[i + 4], 0x31);
    }
}
#else
constexpr int kSide = 4;
using Groups = uint32_t __attribute__((vector_size(16)));

inline void transpose(Groups (&x)[kSide]) {
    const Groups low[] = {__builtin_shuffle(x[0], x[1], Groups{0, 4, 1, 5}),
                          __builtin_shuffle(x[2], x[3], Groups{0, 4, 1, 5})};
    const Groups high[] = {__builtin_shuffle(x[0], x[1], Groups{2, 6, 3, 7}),
                           __builtin_shuffle(x[2], x[3], Groups{2, 6, 3, 7})};
    x[0] = __builtin_shuffle(low[0], low[1], Groups{0, 1, 4, 5});
    x[1] = __builtin_shuffle(low[0], low[1], Groups{2, 3, 6, 7});
    x[2] = __builtin_shuffle(high[0], high[1], Groups{0, 1, 4, 5});
    x[3] = __builtin_shuffle(high[0], high[1], Groups{2, 3, 6, 7});
}
#endif

void unpack_columns(const uint8_t* panel, int64_t groups, int64_t row_bytes, uint8_t* out) {
    const auto block = [&](int64_t first, int count) {
        // Asks for bytes that are read two blocks later, since the panel is rarely in the cache.
        const uint8_t* ahead = panel + (first + 2 * kSide) * kPanel * 4;
        for (int c = 0; c < kPanel; c += kSide) {
            for (int i = 0; i < kSide * kSide / 16; ++i) __builtin_prefetch(ahead + kSide * 4 * c + 64 * i);
            Groups x[kSide] = {};
#pragma GCC unroll 8
            for (int i = 0; i < count; ++i) std::memcpy(&x[i], panel + ((first + i) * kPanel + c) * 4, sizeof x[i]);
            transpose(x);
#pragma GCC unroll 8
            for (int j = 0; j < kSide; ++j) std::memcpy(out + (c + j) * row_bytes + 4 * first, &x[j], sizeof x[j]);
        }
    };
    for (int64_t g = 0; 4 * g < row_bytes; g += kSide) {
        if (g + kSide <= groups) {
            block(g, kSide);
        } else {
            block(g, static_cast<int>(std::max<int64_t>(groups - g, 0)));
        }
    }
}

}  // namespace
}  // namespace vicinal
