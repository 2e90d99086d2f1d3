// The vectors of generic/byte_scan.hpp in 128-bit registers.
//
// While a tile is added up, each 64-bit lane holds two sums of 32 bits; fold adds the two.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace vicinal {
namespace {

struct Lanes {
    using Vector = uint64x2_t;
    static constexpr int kLanes = 2, kVectors = 4, kRows = 3;

    static Vector load(const void* p) { return vreinterpretq_u64_u8(vld1q_u8(static_cast<const uint8_t*>(p))); }
    static Vector broadcast(int64_t word) { return vdupq_n_u64(static_cast<uint64_t>(word)); }
    static Vector widen(const int32_t* p) { return vreinterpretq_u64_s64(vmovl_s32(vld1_s32(p))); }
    static Vector add(Vector a, Vector b) { return vaddq_u64(a, b); }
    static Vector subtract(Vector a, Vector b) { return vsubq_u64(a, b); }
    static Vector multiply(Vector a, Vector b) { return vmull_u32(vmovn_u64(a), vmovn_u64(b)); }
    static Vector shift(Vector a, int bits) { return vshlq_u64(a, vdupq_n_s64(bits)); }
    static uint32_t at_most(Vector a, Vector b) {
        const uint64x2_t passed = vcleq_s64(vreinterpretq_s64_u64(a), vreinterpretq_s64_u64(b));
        return static_cast<uint32_t>((vgetq_lane_u64(passed, 0) & 1) | (vgetq_lane_u64(passed, 1) & 2));
    }
    static Vector fold(Vector sum) { return vpaddlq_u32(vreinterpretq_u32_u64(sum)); }
    static void add_differences(Vector& sum, Vector a, Vector b) {
        add_bytes(sum, vabdq_u8(vreinterpretq_u8_u64(a), vreinterpretq_u8_u64(b)));
    }
    static void add_differing(Vector& sum, Vector a, Vector b) {
        add_bytes(sum, vcntq_u8(vreinterpretq_u8_u64(veorq_u64(a, b))));
    }

private:
    static void add_bytes(Vector& sum, uint8x16_t bytes) {
        const uint32x4_t halves = vreinterpretq_u32_u64(sum);
#if defined(__ARM_FEATURE_DOTPROD)
        sum = vreinterpretq_u64_u32(vdotq_u32(halves, bytes, vdupq_n_u8(1)));
#else
        sum = vreinterpretq_u64_u32(vpadalq_u16(halves, vpaddlq_u8(bytes)));
#endif
    }
};

}  // namespace
}  // namespace vicinal
