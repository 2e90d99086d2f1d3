// The scan of the dot kernel with AVX-VNNI.
#include "avx2/scan_256.hpp"

namespace vicinal {
namespace {

struct Vnni {
    static constexpr int kRows = 6, kVectors = 2;
    static constexpr double kProductsACycle = 64;
    struct Row {
        __m256i words;
        explicit Row(__m256i broadcast) : words(broadcast) {}
    };
    struct Extra {
        explicit Extra(const ScanJob&) {}
        const int32_t* get() const { return nullptr; }
    };
    static __m256i prepare(__m256i columns) { return columns; }
    // As assembly, so that the accumulators stay in their registers.
    static void add(__m256i& sum, __m256i columns, const Row& row) {
        asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(columns), "x"(row.words));
    }
};

}  // namespace

const ScanOps& avxvnni_dot() { return Scan256<Vnni>::kOps; }

}  // namespace vicinal
