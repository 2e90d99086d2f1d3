// Conversion of half precision to single precision, on every instruction set.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(VICINAL_NEON)
#include <arm_neon.h>
#elif defined(__F16C__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace vicinal {
namespace {

using Float8 = float __attribute__((vector_size(32)));
using UInt16x8 = uint16_t __attribute__((vector_size(16)));
using UInt32x8 = uint32_t __attribute__((vector_size(32)));

template <class To, class From>
inline To bit_copy(const From& from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

inline Float8 widen(UInt16x8 half) {
#if defined(__F16C__)
    return bit_copy<Float8>(_mm256_cvtph_ps(bit_copy<__m128i>(half)));
#elif defined(VICINAL_NEON)
    const auto halves = bit_copy<float16x8_t>(half);
    const float32x4_t wide[2] = {vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves)};
    return bit_copy<Float8>(wide);
#else
    // Multiplication by 2^112 corrects the exponent and is exact for subnormal values too.
    const UInt32x8 bits = __builtin_convertvector(half, UInt32x8);
    const UInt32x8 magnitude = (bits & 0x7fffu) << 13;
    const Float8 value = bit_copy<Float8>(magnitude) * 0x1p112f;
    // Infinity and NaN keep the highest exponent.
    const UInt32x8 special = static_cast<UInt32x8>(magnitude >= 0x0f800000u) & 0x7f800000u;
    return bit_copy<Float8>(bit_copy<UInt32x8>(value) | special | ((bits & 0x8000u) << 16));
#endif
}

}  // namespace
}  // namespace vicinal
