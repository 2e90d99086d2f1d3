// The byte scans with AVX-512: eight columns a register.
#include <immintrin.h>

#include "scan_bytes_impl.hpp"

namespace vicinal {
namespace {

struct Eight {
    static constexpr int kColumns = 8, kRows = 6, kVectors = 4;
    using Register = __m512i;
    static Register zero() { return _mm512_setzero_si512(); }
    static Register load(const void* p) { return _mm512_loadu_si512(p); }
    static Register broadcast(const void* p) { return _mm512_set1_epi64(static_cast<int64_t>(Word::load(p))); }
    static void store(Register sum, int32_t* out) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi64_epi32(sum));
    }
};

struct Absolutes8 : Eight {
    static Register add(Register sum, Register row, Register columns) {
        return _mm512_add_epi64(sum, _mm512_sad_epu8(row, columns));
    }
};

struct DifferingBits8 : Eight {
    static Register add(Register sum, Register row, Register columns) {
        return _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(row, columns)));
    }
};

struct CommonBits8 : Eight {
    static Register add(Register sum, Register row, Register columns) {
        return _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_and_si512(row, columns)));
    }
};

}  // namespace

const ScanOps& avx512_absolute() { return ByteScan<Absolutes8, -1>::kOps; }
const ScanOps& avx512_differing() { return ByteScan<DifferingBits8, -1>::kOps; }
const ScanOps& avx512_common() { return ByteScan<CommonBits8, 1>::kOps; }

}  // namespace vicinal
