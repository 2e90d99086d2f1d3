// The loops of rows.hpp, included by one file of each instruction set and compiled with its flags. They use the generic
// vectors of the compiler, which exist for AVX-512, AVX2, NEON and SSE2.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>

#include "generic/half.hpp"
#include "rows.hpp"

namespace vicinal {
namespace {

using Double8 = double __attribute__((vector_size(64)));
using Int8x8 = int8_t __attribute__((vector_size(8)));
using UInt8x8 = uint8_t __attribute__((vector_size(8)));
using Int32x8 = int32_t __attribute__((vector_size(32)));

struct Half {
    uint16_t bits;
};

// Compilers split the generic conversion into two halves.
inline Double8 widen(Float8 value) {
#if defined(__AVX512F__)
    return bit_copy<Double8>(_mm512_cvtps_pd(bit_copy<__m256>(value)));
#else
    return __builtin_convertvector(value, Double8);
#endif
}

inline Double8 widen(Int32x8 value) {
#if defined(__AVX512F__)
    return bit_copy<Double8>(_mm512_cvtepi32_pd(bit_copy<__m256i>(value)));
#else
    return __builtin_convertvector(value, Double8);
#endif
}

inline Double8 load8(const double* p) { return bit_copy<Double8>(*reinterpret_cast<const double (*)[8]>(p)); }

template <class T>
inline Double8 load8(const std::byte* p) {
    if constexpr (sizeof(T) == 8) {
        Double8 v;
        std::memcpy(&v, p, 64);
        return v;
    } else if constexpr (std::is_same_v<T, Half>) {
        UInt16x8 v;
        std::memcpy(&v, p, 16);
        return widen(widen(v));
    } else {
        T v __attribute__((vector_size(8 * sizeof(T))));
        std::memcpy(&v, p, 8 * sizeof(T));
        if constexpr (sizeof(T) == 1) {
            return widen(__builtin_convertvector(v, Int32x8));
        } else {
            return widen(v);
        }
    }
}

template <class T>
inline Double8 load_tail(const std::byte* p, int64_t count) {
    std::byte tail[8 * sizeof(T)] = {};
    std::memcpy(tail, p, count * sizeof(T));
    return load8<T>(tail);
}

inline double total(const Double8& l) { return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7])); }

template <Sum kSum>
inline Double8 term(const Double8& x, const Double8& y) {
    if constexpr (kSum == Sum::products) {
        return x * y;
    } else {
        const Double8 difference = x - y;
        if constexpr (kSum == Sum::squares) return difference * difference;
        using Bits = uint64_t __attribute__((vector_size(64)));
        return bit_copy<Double8>(bit_copy<Bits>(difference) & ~(uint64_t{1} << 63));
    }
}

// Copies a row whose coordinates are not contiguous.
struct Gathered {
    std::vector<std::byte> bytes;
    const std::byte* row(const Matrix& m, const std::byte* row, size_t size) {
        if (m.column_stride == static_cast<int64_t>(size)) return row;
        bytes.resize(m.dim * size);
        for (int64_t c = 0; c < m.dim; ++c) std::memcpy(&bytes[c * size], row + c * m.column_stride, size);
        return bytes.data();
    }
};

template <class T>
void load_as(const Rows& rows, int64_t row, double* out) {
    thread_local Gathered gathered;
    const std::byte* p = gathered.row(rows.matrix, rows.at(row), sizeof(T));
    const int64_t dim = rows.matrix.dim, whole = dim / 8 * 8;
    const double factor = rows.inverse_norms ? rows.inverse_norms[row] : 1.0;
    for (int64_t c = 0; c < whole; c += 8) {
        const Double8 v = load8<T>(p + c * sizeof(T)) * factor;
        std::memcpy(out + c, &v, 64);
    }
    if (whole < dim) {
        const Double8 v = load_tail<T>(p + whole * sizeof(T), dim - whole) * factor;
        std::memcpy(out + whole, &v, 64);
    }
}

template <class T>
double inverse_norm_as(const Rows& rows, int64_t row) {
    thread_local Gathered gathered;
    const std::byte* p = gathered.row(rows.matrix, rows.at(row), sizeof(T));
    const int64_t dim = rows.matrix.dim, whole = dim / 8 * 8;
    Double8 lanes = {};
    for (int64_t c = 0; c < whole; c += 8) {
        const Double8 v = load8<T>(p + c * sizeof(T));
        lanes += v * v;
    }
    if (whole < dim) {
        const Double8 v = load_tail<T>(p + whole * sizeof(T), dim - whole);
        lanes += v * v;
    }
    return 1.0 / std::sqrt(total(lanes));
}

// Processes kRows rows together, because the sum of one row is a single chain of additions.
template <class T, Sum kSum, bool kNormalise, int kRows>
inline void measure_rows(const std::byte* const (&p)[kRows], const double (&factor)[kRows], const double* x,
                         int64_t dim, double* out) {
    const int64_t whole = dim / 8 * 8;
    Double8 lanes[kRows] = {};
    const auto add = [&](int r, const Double8& from, Double8 y) {
        if constexpr (kNormalise) y *= factor[r];
        lanes[r] += term<kSum>(from, y);
    };
    for (int64_t c = 0; c < whole; c += 8) {
        const Double8 from = load8(x + c);
        for (int r = 0; r < kRows; ++r) add(r, from, load8<T>(p[r] + c * sizeof(T)));
    }
    if (whole < dim) {
        const Double8 from = load8(x + whole);
        for (int r = 0; r < kRows; ++r) add(r, from, load_tail<T>(p[r] + whole * sizeof(T), dim - whole));
    }
    for (int r = 0; r < kRows; ++r) out[r] = total(lanes[r]);
}

template <class T, Sum kSum, bool kNormalise>
void measure_as(const Rows& rows, const double* x, const int32_t* which, size_t n, double* out) {
    thread_local Gathered gathered[2];
    const auto at = [&](size_t i) { return gathered[i % 2].row(rows.matrix, rows.at(which[i]), sizeof(T)); };
    const auto factor = [&](size_t i) { return kNormalise ? rows.inverse_norms[which[i]] : 1.0; };
    size_t i = 0;
    for (; i + 1 < n; i += 2) {
        measure_rows<T, kSum, kNormalise, 2>({at(i), at(i + 1)}, {factor(i), factor(i + 1)}, x, rows.matrix.dim,
                                             out + i);
    }
    if (i < n) measure_rows<T, kSum, kNormalise, 1>({at(i)}, {factor(i)}, x, rows.matrix.dim, out + i);
}

// Of packed bits: the number of bits that differ, or the Jaccard distance.
void measure_bits(const Rows& rows, Sum sum, const double* x, const int32_t* which, size_t n, double* out) {
    thread_local std::vector<uint64_t> words;
    thread_local Gathered gathered;
    const int64_t dim = rows.matrix.dim;
    words.resize(padded(dim, 8) / 8);
    for (size_t w = 0; w < words.size(); ++w) {
        const Int32x8 bytes = __builtin_convertvector(load8(x + 8 * w), Int32x8);
        words[w] = bit_copy<uint64_t>(__builtin_convertvector(bytes, UInt8x8));
    }
    for (size_t i = 0; i < n; ++i) {
        const std::byte* p = gathered.row(rows.matrix, rows.at(which[i]), 1);
        int64_t differing = 0, either = 0;
        for (int64_t c = 0; c < dim; c += 8) {
            uint64_t word = 0;
            std::memcpy(&word, p + c, dim - c < 8 ? dim - c : 8);
            differing += std::popcount(words[c / 8] ^ word);
            either += std::popcount(words[c / 8] | word);
        }
        const auto both = static_cast<double>(either - differing);
        out[i] = sum == Sum::hamming ? static_cast<double>(differing)
                 : either == 0       ? 0
                                     : 1 - both / static_cast<double>(either);
    }
}

template <class F>
auto with_type(DType dtype, F&& f) {
    switch (dtype) {
        case DType::f16: return f(Half{});
        case DType::f32: return f(float{});
        case DType::f64: return f(double{});
        case DType::i8: return f(int8_t{});
        case DType::u8: break;
    }
    return f(uint8_t{});
}

void load(const Rows& rows, int64_t row, double* out) {
    with_type(rows.matrix.dtype, [&](auto type) { load_as<decltype(type)>(rows, row, out); });
}

double inverse_norm(const Rows& rows, int64_t row) {
    return with_type(rows.matrix.dtype, [&](auto type) { return inverse_norm_as<decltype(type)>(rows, row); });
}

void measure(const Rows& rows, Sum sum, const double* x, const int32_t* which, size_t n, double* out) {
    if (sum == Sum::hamming || sum == Sum::jaccard) return measure_bits(rows, sum, x, which, n, out);
    with_type(rows.matrix.dtype, [&](auto type) {
        using T = decltype(type);
        if (rows.inverse_norms) return measure_as<T, Sum::squares, true>(rows, x, which, n, out);
        switch (sum) {
            case Sum::squares: return measure_as<T, Sum::squares, false>(rows, x, which, n, out);
            case Sum::products: return measure_as<T, Sum::products, false>(rows, x, which, n, out);
            default: return measure_as<T, Sum::absolutes, false>(rows, x, which, n, out);
        }
    });
}

uint64_t hash(const double* x, int64_t dim) {
    uint64_t lanes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (int64_t c = 0; c < padded(dim, 8); c += 8) {
        for (int j = 0; j < 8; ++j) {
            const uint64_t bits = bit_copy<uint64_t>(x[c + j] + 0.0);  // -0 is 0
            lanes[j] = (lanes[j] ^ (bits >> 29) ^ bits) * 0x9e3779b97f4a7c15u;
        }
    }
    uint64_t all = 0;
    for (uint64_t lane : lanes) all = (all ^ (lane >> 31) ^ lane) * 0xbf58476d1ce4e5b9u;
    return all;
}

double peak(const double* x, const double* centre, int64_t dim) {
    double lanes[8] = {};
    for (int64_t c = 0; c < padded(dim, 8); c += 8) {
        for (int j = 0; j < 8; ++j) {
            const double v = std::fabs(x[c + j] - centre[c + j]);
            lanes[j] = v > lanes[j] ? v : lanes[j];
        }
    }
    double highest = 0;
    for (double v : lanes) highest = v > highest ? v : highest;
    return highest;
}

void centred(const double* x, const double* centre, double factor, int64_t dim, float* out) {
    for (int64_t c = 0; c < padded(dim, 8); ++c) out[c] = static_cast<float>((x[c] - centre[c]) * factor);
}

CodedRow quantise(const float* x, int64_t dim, float scale, int8_t* code) {
    // Adding 1.5 * 2^23 rounds to the nearest whole number and leaves it in the low bits.
    constexpr float kRound = 12582912.0f;
    const float inverse = 1.0f / scale;
    int32_t norms[8] = {}, sums[8] = {};
    float squares[8] = {};
    for (int64_t c = 0; c < padded(dim, 8); c += 8) {
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
    __m512i sum = _mm512_setzero_si512();
    for (int64_t c = 0; c < bytes; c += 64) {
        sum = _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(y + c), _mm512_loadu_si512(x + c));
    }
    return _mm512_reduce_add_epi32(sum);
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

constexpr RowOps kRowOps = {load, inverse_norm, measure, hash, peak, centred, quantise, clip, products, project};

}  // namespace
}  // namespace vicinal
