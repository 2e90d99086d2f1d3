// The loops of rows.hpp, included by one file of each instruction set and compiled with its flags. They use the generic
// vectors of the compiler, which exist for AVX-512, AVX2, NEON and SSE2.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "generic/code_loops.hpp"
#include "generic/half.hpp"
#include "generic/pair_loops.hpp"
#include "generic/project_loops.hpp"
#include "generic/transpose_loops.hpp"
#include "rows.hpp"

namespace vicinal {
namespace {

#if defined(__AVX2__) && !defined(__AVX512F__)
// Two registers: compilers split the generic vector into single values.
struct Double8 {
    __m256d low, high;

    double operator[](int i) const { return i < 4 ? low[i] : high[i - 4]; }
    friend Double8 operator+(Double8 a, Double8 b) { return {a.low + b.low, a.high + b.high}; }
    friend Double8 operator-(Double8 a, Double8 b) { return {a.low - b.low, a.high - b.high}; }
    friend Double8 operator*(Double8 a, Double8 b) { return {a.low * b.low, a.high * b.high}; }
    friend Double8 operator*(Double8 a, double b) { return {a.low * b, a.high * b}; }
    void operator+=(Double8 other) { *this = *this + other; }
    void operator*=(double factor) { *this = *this * factor; }
};
inline Int32x8 whole(Double8 x) {
    return bit_copy<Int32x8>(_mm256_set_m128i(_mm256_cvttpd_epi32(x.high), _mm256_cvttpd_epi32(x.low)));
}
inline Double8 load8(const double* p) { return {_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}; }
// NaN in `x` is ignored.
inline Double8 higher(Double8 x, Double8 y) { return {_mm256_max_pd(x.low, y.low), _mm256_max_pd(x.high, y.high)}; }
inline Double8 magnitude(Double8 x) {
    const __m256d sign = _mm256_set1_pd(-0.0);
    return {_mm256_andnot_pd(sign, x.low), _mm256_andnot_pd(sign, x.high)};
}
#else
using Double8 = double __attribute__((vector_size(64)));
inline Int32x8 whole(Double8 x) { return __builtin_convertvector(x, Int32x8); }
inline Double8 load8(const double* p) { return bit_copy<Double8>(*reinterpret_cast<const double (*)[8]>(p)); }
#if defined(__AVX512F__)
inline Double8 higher(Double8 x, Double8 y) {
    return bit_copy<Double8>(_mm512_max_pd(bit_copy<__m512d>(x), bit_copy<__m512d>(y)));
}
#else
inline Double8 higher(Double8 x, Double8 y) { return x > y ? x : y; }
#endif
inline Double8 magnitude(Double8 x) {
    using Bits = uint64_t __attribute__((vector_size(64)));
    return bit_copy<Double8>(bit_copy<Bits>(x) & ~(uint64_t{1} << 63));
}
#endif
using Int8x8 = int8_t __attribute__((vector_size(8)));
using UInt8x8 = uint8_t __attribute__((vector_size(8)));

struct Half {
    uint16_t bits;
};

// Compilers split the generic conversion into two halves.
inline Double8 widen(Float8 value) {
#if defined(__AVX512F__)
    return bit_copy<Double8>(_mm512_cvtps_pd(bit_copy<__m256>(value)));
#elif defined(__AVX2__)
    const auto all = bit_copy<__m256>(value);
    return {_mm256_cvtps_pd(_mm256_castps256_ps128(all)), _mm256_cvtps_pd(_mm256_extractf128_ps(all, 1))};
#else
    return __builtin_convertvector(value, Double8);
#endif
}

inline Float8 narrow(const Double8& value) {
#if defined(__AVX512F__)
    return bit_copy<Float8>(_mm512_cvtpd_ps(bit_copy<__m512d>(value)));
#elif defined(__AVX2__)
    return bit_copy<Float8>(_mm256_set_m128(_mm256_cvtpd_ps(value.high), _mm256_cvtpd_ps(value.low)));
#else
    return __builtin_convertvector(value, Float8);
#endif
}

inline Double8 widen(Int32x8 value) {
#if defined(__AVX512F__)
    return bit_copy<Double8>(_mm512_cvtepi32_pd(bit_copy<__m256i>(value)));
#elif defined(__AVX2__)
    const auto all = bit_copy<__m256i>(value);
    return {_mm256_cvtepi32_pd(_mm256_castsi256_si128(all)), _mm256_cvtepi32_pd(_mm256_extracti128_si256(all, 1))};
#else
    return __builtin_convertvector(value, Double8);
#endif
}

template <class T>
inline Double8 load8(const std::byte* p) {
    if constexpr (sizeof(T) == 8) {
        double values[8];
        std::memcpy(values, p, 64);
        return load8(values);
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
        return magnitude(difference);
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
    thread_local Gathered gathered[4];
    const auto at = [&](size_t i) { return gathered[i % 4].row(rows.matrix, rows.at(which[i]), sizeof(T)); };
    const auto factor = [&](size_t i) { return kNormalise ? rows.inverse_norms[which[i]] : 1.0; };
    size_t i = 0;
    for (; i + 3 < n; i += 4) {
        measure_rows<T, kSum, kNormalise, 4>({at(i), at(i + 1), at(i + 2), at(i + 3)},
                                             {factor(i), factor(i + 1), factor(i + 2), factor(i + 3)}, x,
                                             rows.matrix.dim, out + i);
    }
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
        const Int32x8 bytes = whole(load8(x + 8 * w));
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

uint64_t hash_values(const double* x, int64_t dim) {
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

// As hash_values, without widening: vector units multiply 32 bits at once.
uint64_t hash_floats(const std::byte* p, int64_t dim) {
    UInt32x8 lanes = {1, 2, 3, 4, 5, 6, 7, 8};
    const auto add = [&](Float8 x) {
        const auto bits = bit_copy<UInt32x8>(x + 0.0f);
        lanes = (lanes ^ (bits >> 15) ^ bits) * 0x9e3779b1u;
    };
    const int64_t whole = dim / 8 * 8;
    Float8 x;
    for (int64_t c = 0; c < whole; c += 8) {
        std::memcpy(&x, p + c * sizeof(float), sizeof x);
        add(x);
    }
    if (whole < dim) {
        x = Float8{};
        std::memcpy(&x, p + whole * sizeof(float), (dim - whole) * sizeof(float));
        add(x);
    }
    uint64_t all = 0;
    for (int j = 0; j < 8; ++j) all = (all ^ (all >> 29) ^ lanes[j]) * 0xbf58476d1ce4e5b9u;
    return all ^ (all >> 31);
}

uint64_t hash(const Rows& rows, int64_t row) {
    const Matrix& m = rows.matrix;
    if (m.dtype == DType::f32 && m.column_stride == sizeof(float) && !rows.inverse_norms)
        return hash_floats(rows.at(row), m.dim);
    thread_local std::vector<double> x;
    x.resize(padded(m.dim, 8));
    load(rows, row, x.data());
    return hash_values(x.data(), m.dim);
}

// Calls use(first coordinate, eight coordinates less those of the centre) for a row, with zeros at the end.
template <class T, class Use>
inline void each_centred(const Rows& rows, int64_t row, const double* centre, Use&& use) {
    thread_local Gathered gathered;
    const std::byte* p = gathered.row(rows.matrix, rows.at(row), sizeof(T));
    const int64_t dim = rows.matrix.dim, whole = dim / 8 * 8;
    const double factor = rows.inverse_norms ? rows.inverse_norms[row] : 1.0;
    for (int64_t c = 0; c < whole; c += 8) use(c, load8<T>(p + c * sizeof(T)) * factor - load8(centre + c));
    if (whole < dim) {
        use(whole, load_tail<T>(p + whole * sizeof(T), dim - whole) * factor - load8(centre + whole));
    }
}

inline double highest_of(const Double8& lanes) {
    double highest = 0;
    for (int j = 0; j < 8; ++j) highest = lanes[j] > highest ? lanes[j] : highest;
    return highest;
}

double peak(const Rows& rows, int64_t row, const double* centre) {
    return with_type(rows.matrix.dtype, [&](auto type) {
        Double8 peaks = {};
        each_centred<decltype(type)>(rows, row, centre,
                                     [&](int64_t, const Double8& x) { peaks = higher(magnitude(x), peaks); });
        return highest_of(peaks);
    });
}

CentredRow centre_row(const Rows& rows, int64_t row, const double* centre, double factor, float* out) {
    return with_type(rows.matrix.dtype, [&](auto type) {
        Double8 peaks = {}, squares = {};
        each_centred<decltype(type)>(rows, row, centre, [&](int64_t c, const Double8& x) {
            peaks = higher(magnitude(x), peaks);
            const Float8 moved = narrow(x * factor);
            std::memcpy(out + c, &moved, sizeof moved);
            const Double8 rounded = widen(moved);
            squares += rounded * rounded;
        });
        return CentredRow{highest_of(peaks), total(squares)};
    });
}

void centred(const double* x, const double* centre, double factor, int64_t dim, float* out) {
    for (int64_t c = 0; c < padded(dim, 8); ++c) out[c] = static_cast<float>((x[c] - centre[c]) * factor);
}

constexpr RowOps kRowOps = {load,
                            inverse_norm,
                            measure,
                            hash,
                            peak,
                            centre_row,
                            centred,
                            quantise,
                            halve,
                            clip,
                            round_rows,
                            unpack_columns,
                            products,
                            passing,
                            named_products,
                            project_rows<Rounded>,
                            project_rows<Fused>,
                            project_rows<Pairs>};

}  // namespace
}  // namespace vicinal
