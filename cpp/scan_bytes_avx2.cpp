// The byte scans with AVX2: four columns a register for absolute differences, the population count of words for bits.
#include <immintrin.h>

#include "scan_bytes_impl.hpp"

namespace vicinal {
namespace {

struct Absolutes4 {
    static constexpr int kColumns = 4, kRows = 3, kVectors = 4;
    using Register = __m256i;
    static Register zero() { return _mm256_setzero_si256(); }
    static Register load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
    static Register broadcast(const void* p) { return _mm256_set1_epi64x(static_cast<int64_t>(Word::load(p))); }
    static Register add(Register sum, Register row, Register columns) {
        return _mm256_add_epi64(sum, _mm256_sad_epu8(row, columns));
    }
    static void store(Register sum, int32_t* out) {
        const __m256i low = _mm256_permutevar8x32_epi32(sum, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(low));
    }
};

}  // namespace

const ScanOps& avx2_absolute() { return ByteScan<Absolutes4, -1>::kOps; }
const ScanOps& avx2_differing() { return ByteScan<DifferingBits, -1>::kOps; }
const ScanOps& avx2_common() { return ByteScan<CommonBits, 1>::kOps; }

}  // namespace vicinal
