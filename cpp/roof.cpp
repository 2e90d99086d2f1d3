// Measures the peak int8 throughput of one core, with loops that keep their accumulators in registers.
#include <algorithm>
#include <chrono>

#include "scan.hpp"

namespace vicinal {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t kRounds = 1 << 17;  // short, so that some of the tries run undisturbed on a loaded machine
constexpr int kTries = 40;

template <class Loop>
double best_of(double products, Loop&& loop) {
    double best = 0;
    for (int i = 0; i < kTries; ++i) {
        const auto start = Clock::now();
        loop(kRounds);
        const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
        best = std::max(best, products * kRounds / seconds / 1e9);
    }
    return best;
}

#if defined(__x86_64__)
// clang-format off
// Twelve independent accumulators hide the latency of the instruction on all processors.
#define VICINAL_TWELVE(op, reg)                                                                                    \
    op(reg, 0) op(reg, 1) op(reg, 2) op(reg, 3) op(reg, 4) op(reg, 5) op(reg, 6) op(reg, 7) op(reg, 8) op(reg, 9) \
        op(reg, 10) op(reg, 11)
#define VICINAL_CLEAR(reg, i) "vpxor %%" #reg #i ", %%" #reg #i ", %%" #reg #i "\n\t"
#define VICINAL_CLEAR_Z(reg, i) "vpxord %%" #reg #i ", %%" #reg #i ", %%" #reg #i "\n\t"
#define VICINAL_DOT(reg, i) "vpdpbusd %%" #reg "14, %%" #reg "15, %%" #reg #i "\n\t"
#define VICINAL_DOT_VEX(reg, i) "%{vex%} vpdpbusd %%" #reg "14, %%" #reg "15, %%" #reg #i "\n\t"
#define VICINAL_CLOBBERS                                                                                          \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
        "xmm13", "xmm14", "xmm15", "cc"

void avx512_loop(int64_t rounds) {
    asm volatile("vpxord %%zmm14, %%zmm14, %%zmm14\n\t"
                 "vpxord %%zmm15, %%zmm15, %%zmm15\n\t" VICINAL_TWELVE(VICINAL_CLEAR_Z, zmm) "1:\n\t" VICINAL_TWELVE(
                     VICINAL_DOT, zmm) "dec %0\n\t"
                                       "jnz 1b\n\tvzeroupper\n\t"
                 : "+r"(rounds)
                 :
                 : VICINAL_CLOBBERS);
}

void avxvnni_loop(int64_t rounds) {
    asm volatile("vpxor %%ymm14, %%ymm14, %%ymm14\n\t"
                 "vpxor %%ymm15, %%ymm15, %%ymm15\n\t" VICINAL_TWELVE(VICINAL_CLEAR, ymm) "1:\n\t" VICINAL_TWELVE(
                     VICINAL_DOT_VEX, ymm) "dec %0\n\t"
                                           "jnz 1b\n\tvzeroupper\n\t"
                 : "+r"(rounds)
                 :
                 : VICINAL_CLOBBERS);
}

// Without VNNI: products of coarse codes in 16 bits, four of them added before they are widened to 32 bits, as in
// avx2/coarse.cpp.
#define VICINAL_TEN(op, reg)                                                                                       \
    op(reg, 0) op(reg, 1) op(reg, 2) op(reg, 3) op(reg, 4) op(reg, 5) op(reg, 6) op(reg, 7) op(reg, 8) op(reg, 9)
#define VICINAL_COARSE(reg, i)                                  \
    "vpmaddubsw %%" #reg "14, %%" #reg "15, %%" #reg "11\n\t"   \
    "vpmaddubsw %%" #reg "14, %%" #reg "15, %%" #reg "12\n\t"   \
    "vpaddw %%" #reg "11, %%" #reg "12, %%" #reg "12\n\t"       \
    "vpmaddwd %%" #reg "13, %%" #reg "12, %%" #reg "12\n\t"     \
    "vpaddd %%" #reg "12, %%" #reg #i ", %%" #reg #i "\n\t"

void avx2_loop(int64_t rounds) {
    asm volatile("vpxor %%ymm13, %%ymm13, %%ymm13\n\t"
                 "vpxor %%ymm14, %%ymm14, %%ymm14\n\t"
                 "vpxor %%ymm15, %%ymm15, %%ymm15\n\t" VICINAL_TEN(VICINAL_CLEAR, ymm) "1:\n\t" VICINAL_TEN(
                     VICINAL_COARSE, ymm) "dec %0\n\t"
                                          "jnz 1b\n\tvzeroupper\n\t"
                 : "+r"(rounds)
                 :
                 : VICINAL_CLOBBERS);
}

// Four tiles of 16 x 16 sums over 64 coordinates each.
void amx_loop(int64_t rounds) {
    alignas(64) uint8_t config[64] = {1};
    for (int tile = 0; tile < 8; ++tile) {
        config[16 + 2 * tile] = 64;
        config[48 + tile] = 16;
    }
    asm volatile("ldtilecfg %1\n\t"
                 "1:\n\t"
                 "tdpbsud %%tmm7, %%tmm6, %%tmm0\n\t"
                 "tdpbsud %%tmm7, %%tmm6, %%tmm1\n\t"
                 "tdpbsud %%tmm7, %%tmm6, %%tmm2\n\t"
                 "tdpbsud %%tmm7, %%tmm6, %%tmm3\n\t"
                 "dec %0\n\t"
                 "jnz 1b\n\t"
                 "tilerelease"
                 : "+r"(rounds)
                 : "m"(config)
                 : "cc");
}
// clang-format on
#elif defined(__aarch64__)
// clang-format off
// Sixteen independent accumulators hide the latency of the instruction on four pipelines.
#define VICINAL_SIXTEEN(op)                                                                                       \
    op("v0") op("v1") op("v2") op("v3") op("v4") op("v5") op("v6") op("v7") op("v16") op("v17") op("v18") op("v19") \
        op("v20") op("v21") op("v22") op("v23")
#define VICINAL_CLEAR(v) "movi " v ".4s, #0\n\t"
#define VICINAL_SDOT(v) "sdot " v ".4s, v24.16b, v25.16b\n\t"
#define VICINAL_USMMLA(v) "usmmla " v ".4s, v24.16b, v25.16b\n\t"
#define VICINAL_ARM_LOOP(op)                                                                                      \
    asm volatile(".arch armv8.2-a+dotprod+i8mm\n\t" VICINAL_CLEAR("v24") VICINAL_CLEAR("v25")   \
                     VICINAL_SIXTEEN(VICINAL_CLEAR) "1:\n\t" VICINAL_SIXTEEN(op) "subs %0, %0, #1\n\t"           \
                                                                                 "b.ne 1b\n\t"                   \
                 : "+r"(rounds)                                                                                   \
                 :                                                                                                \
                 : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20", "v21",      \
                   "v22", "v23", "v24", "v25", "cc")

void dotprod_loop(int64_t rounds) { VICINAL_ARM_LOOP(VICINAL_SDOT); }
void i8mm_loop(int64_t rounds) { VICINAL_ARM_LOOP(VICINAL_USMMLA); }
// clang-format on
#endif

// Runs the scan on data in the first-level cache, where the compiler chooses the instructions.
double scan_roof(const ScanOps& ops) {
    constexpr int kBytes = 256;
    std::vector<int8_t> rows(kRowStep * kBytes, 1);
    std::vector<uint8_t> panel(kPanel * kBytes + 64 * kPanel, 1);
    std::vector<int32_t> base(kRowStep), threshold(kRowStep, kPassNone);
    std::vector<Survivor> out(kRowStep * kPanel);
    ScanJob job = {rows.data(), kBytes,           kRowStep,    panel.data(),    kBytes / 4,
                   base.data(), threshold.data(), base.data(), threshold.data()};
    return best_of(static_cast<double>(kRowStep) * kPanel * kBytes / 4096, [&](int64_t rounds) {
        for (int64_t i = 0; i < rounds / 4096; ++i) ops.survivors(job, out.data());
    });
}

}  // namespace

double int8_roof(const std::string& name) {
    const Isa& isa = find_isa(name);
    const std::string which = isa.name;
#if defined(__x86_64__)
    if (which == "amx") return best_of(4 * 16 * 16 * 64, amx_loop);
    if (which == "avx512") return best_of(12 * 64, avx512_loop);
    if (which == "avxvnni") return best_of(12 * 32, avxvnni_loop);
    if (which == "avx2") return best_of(10 * 64, avx2_loop);
#elif defined(__aarch64__)
    if (which == "i8mm") return best_of(16 * 32, i8mm_loop);
    if (which == "dotprod") return best_of(16 * 16, dotprod_loop);
#endif
    return scan_roof(*isa.dot);
}

}  // namespace vicinal
