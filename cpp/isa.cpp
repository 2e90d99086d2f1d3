// Finds the instruction sets that both this machine and this build support.
#include <cstdlib>
#include <stdexcept>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include "scan.hpp"

namespace vicinal {
namespace {

#if defined(__aarch64__)
#if defined(__linux__)
// The bits of the kernel's interface, because headers older than the processors lack them.
bool has_dotprod() { return getauxval(AT_HWCAP) >> 20 & 1; }
bool has_i8mm() { return getauxval(AT_HWCAP2) >> 13 & 1; }
#elif defined(__APPLE__)
bool has(const char* feature) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(feature, &value, &size, nullptr, 0) == 0 && value != 0;
}
bool has_dotprod() { return has("hw.optional.arm.FEAT_DotProd"); }
bool has_i8mm() { return has("hw.optional.arm.FEAT_I8MM"); }
#else
bool has_dotprod() { return false; }
bool has_i8mm() { return false; }
#endif
#endif

std::vector<Isa> usable() {
    std::vector<Isa> sets;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vnni");
    const bool vpopcnt = avx512 && __builtin_cpu_supports("avx512vpopcntdq");
    const ScanOps* hamming = vpopcnt ? &vpopcnt_hamming() : &avx512_hamming();
    const ScanOps* jaccard = vpopcnt ? &vpopcnt_jaccard() : &avx512_jaccard();
    const bool amx = avx512 && __builtin_cpu_supports("amx-int8") && amx_permitted();
    if (amx) {
        sets.push_back(
            {"amx", &avx512_rows(), &amx_dot(), nullptr, &avx512_absolute(), hamming, jaccard, &avx512_strings()});
    }
    const bool avxvnni = avx2 && __builtin_cpu_supports("avxvnni");
    if (avx512) {
        sets.push_back({"avx512", &avx512_rows(), &avx512_dot(), nullptr, &avx512_absolute(), hamming, jaccard,
                        &avx512_strings()});
    }
    if (avxvnni) {
        sets.push_back({"avxvnni", &avx2_rows(), &avxvnni_dot(), nullptr, &avx2_absolute(), &avx2_hamming(),
                        &avx2_jaccard(), &avx2_strings()});
    }
    if (avx2) {
        sets.push_back({"avx2", &avx2_rows(), &avx2_dot(), &avx2_coarse(), &avx2_absolute(), &avx2_hamming(),
                        &avx2_jaccard(), &avx2_strings()});
    }
#elif defined(__aarch64__)
    const bool dotprod = has_dotprod(), i8mm = dotprod && has_i8mm();
    if (i8mm) {
        sets.push_back({"i8mm", &i8mm_rows(), &i8mm_dot(), nullptr, &dotprod_absolute(), &dotprod_hamming(),
                        &dotprod_jaccard(), &neon_strings()});
    }
    if (dotprod) {
        sets.push_back({"dotprod", &dotprod_rows(), &dotprod_dot(), nullptr, &dotprod_absolute(), &dotprod_hamming(),
                        &dotprod_jaccard(), &neon_strings()});
    }
    sets.push_back({"neon", &neon_rows(), &neon_dot(), nullptr, &neon_absolute(), &neon_hamming(), &neon_jaccard(),
                    &neon_strings()});
#endif
    sets.push_back({"portable", &portable_rows(), &portable_dot(), nullptr, &portable_absolute(), &portable_hamming(),
                    &portable_jaccard(), &portable_strings()});
    return sets;
}

const std::vector<Isa>& all() {
    static const std::vector<Isa> sets = usable();
    return sets;
}

}  // namespace

std::vector<std::string> isas() {
    std::vector<std::string> names;
    for (const Isa& isa : all()) names.emplace_back(isa.name);
    return names;
}

const Isa& find_isa(const std::string& name) {
    const char* forced = std::getenv("VICINAL_ISA");
    const std::string wanted = !name.empty() ? name : forced ? forced : "";
    if (wanted.empty()) return all().front();
    std::string choices;
    for (const Isa& isa : all()) {
        if (wanted == isa.name) return isa;
        choices += choices.empty() ? isa.name : std::string(", ") + isa.name;
    }
    throw std::invalid_argument("instruction set \"" + wanted +
                                "\" is not supported by this machine or build; choose one of " + choices);
}

}  // namespace vicinal
