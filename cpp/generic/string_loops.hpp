// The loops of strings.hpp, included by one file of each instruction set and compiled with its flags.
#pragma once

#include "generic/half.hpp"
#include "strings.hpp"

namespace vicinal {
namespace {

constexpr int kLanes = 32;
using Float16 = float __attribute__((vector_size(64)));
using UInt32x16 = uint32_t __attribute__((vector_size(64)));
using UInt16x16 = uint16_t __attribute__((vector_size(32)));

struct Lanes {
    Float16 low = {}, high = {};
};

struct Single {
    static constexpr int64_t kSize = 4;
    static Float16 load16(const uint8_t* p) {
        Float16 v;
        std::memcpy(&v, p, 64);
        return v;
    }
};

struct Half16 {
    static constexpr int64_t kSize = 2;
    static Float16 load16(const uint8_t* p) {
        UInt16x8 half[2];
        std::memcpy(half, p, 32);
        Float8 wide[2] = {widen(half[0]), widen(half[1])};
        Float16 v;
        std::memcpy(&v, wide, 64);
        return v;
    }
};

struct Brain16 {
    static constexpr int64_t kSize = 2;
    static Float16 load16(const uint8_t* p) {
        UInt16x16 half;
        std::memcpy(&half, p, 32);
        return bit_copy<Float16>(__builtin_convertvector(half, UInt32x16) << 16);
    }
};

template <class T>
inline Lanes load(const uint8_t* p) {
    return {T::load16(p), T::load16(p + 16 * T::kSize)};
}

template <class T>
inline Lanes load_tail(const uint8_t* p, int64_t count) {
    uint8_t tail[kLanes * T::kSize] = {};
    std::memcpy(tail, p, count * T::kSize);
    return load<T>(tail);
}

inline float total(const Lanes& lanes) {
    const Float16 sixteen = lanes.low + lanes.high;
    float v[16];
    std::memcpy(v, &sixteen, sizeof v);
    for (int width = 8; width > 0; width /= 2) {
        for (int j = 0; j < width; ++j) v[j] += v[j + width];
    }
    return v[0];
}

// Calls f(row, lanes of x, lanes of y) over all elements, with zeros up to a whole number of lanes.
template <class T, int kRows, class F>
inline void over_elements(const uint8_t* x, const uint8_t* const* y, int64_t n, F&& f) {
    const int64_t whole = n / kLanes * kLanes;
    for (int64_t c = 0; c < whole; c += kLanes) {
        const Lanes from = load<T>(x + c * T::kSize);
        for (int r = 0; r < kRows; ++r) f(r, from, load<T>(y[r] + c * T::kSize));
    }
    if (whole < n) {
        const Lanes from = load_tail<T>(x + whole * T::kSize, n - whole);
        for (int r = 0; r < kRows; ++r) f(r, from, load_tail<T>(y[r] + whole * T::kSize, n - whole));
    }
}

template <class F>
auto with_format(int format, F&& f) {
    switch (format) {
        case 4: return f(Half16{});
        case 5: return f(Brain16{});
        default: return f(Single{});
    }
}

template <int kRows>
inline void products_of(int format, const uint8_t* x, const uint8_t* const* y, int64_t n, float* out) {
    with_format(format, [&](auto type) {
        Lanes sums[kRows];
        over_elements<decltype(type), kRows>(x, y, n, [&](int r, const Lanes& a, const Lanes& b) {
            sums[r].low += a.low * b.low;
            sums[r].high += a.high * b.high;
        });
        for (int r = 0; r < kRows; ++r) out[r] = total(sums[r]);
    });
}

float product(int format, const uint8_t* x, const uint8_t* y, int64_t n) {
    float out;
    products_of<1>(format, x, &y, n, &out);
    return out;
}

void product4(int format, const uint8_t* x, const uint8_t* const* y, int64_t n, float* out) {
    products_of<4>(format, x, y, n, out);
}

void products(int format, const uint8_t* x, const uint8_t* y, int64_t n, float* out) {
    with_format(format, [&](auto type) {
        Lanes xx, xy, yy;
        over_elements<decltype(type), 1>(x, &y, n, [&](int, const Lanes& a, const Lanes& b) {
            xx.low += a.low * a.low, xx.high += a.high * a.high;
            xy.low += a.low * b.low, xy.high += a.high * b.high;
            yy.low += b.low * b.low, yy.high += b.high * b.high;
        });
        out[0] = total(xx), out[1] = total(xy), out[2] = total(yy);
    });
}

float squares(int format, const uint8_t* x, const uint8_t* y, int64_t n) {
    Lanes sum;
    with_format(format, [&](auto type) {
        over_elements<decltype(type), 1>(x, &y, n, [&](int, const Lanes& a, const Lanes& b) {
            const Float16 low = a.low - b.low, high = a.high - b.high;
            sum.low += low * low, sum.high += high * high;
        });
    });
    return total(sum);
}

inline Float16 absolute(const Float16& v) { return bit_copy<Float16>(bit_copy<UInt32x16>(v) & 0x7fffffffu); }

float absolutes(int format, const uint8_t* x, const uint8_t* y, int64_t n) {
    Lanes sum;
    with_format(format, [&](auto type) {
        over_elements<decltype(type), 1>(x, &y, n, [&](int, const Lanes& a, const Lanes& b) {
            sum.low += absolute(a.low - b.low), sum.high += absolute(a.high - b.high);
        });
    });
    return total(sum);
}

template <class T>
void integers_of(const T* x, const T* y, int64_t n, int64_t* out) {
    out[0] = out[1] = out[2] = out[3] = out[4] = 0;
    constexpr int64_t kBlock = 16384;  // 16384 * 255 * 255 < 2^31
    for (int64_t start = 0; start < n; start += kBlock) {
        const int64_t end = start + kBlock < n ? start + kBlock : n;
        int32_t xx = 0, xy = 0, yy = 0, squared = 0, absolute_sum = 0;
        for (int64_t i = start; i < end; ++i) {
            const int32_t a = x[i], b = y[i], d = a - b;
            xx += a * a, xy += a * b, yy += b * b, squared += d * d, absolute_sum += d < 0 ? -d : d;
        }
        out[0] += xx, out[1] += xy, out[2] += yy, out[3] += squared, out[4] += absolute_sum;
    }
}

void integers(bool is_signed, const uint8_t* x, const uint8_t* y, int64_t n, int64_t* out) {
    if (is_signed) return integers_of(reinterpret_cast<const int8_t*>(x), reinterpret_cast<const int8_t*>(y), n, out);
    integers_of(x, y, n, out);
}

constexpr StringOps kStringOps = {products, product, squares, absolutes, product4, integers};

}  // namespace
}  // namespace vicinal
