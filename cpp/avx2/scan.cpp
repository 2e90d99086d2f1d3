// The scan of the dot kernel with AVX2 without VNNI. The instruction for unsigned times signed bytes adds two products
// in 16 bits, which overflows unless both factors are within 127. So columns are made signed
// again, the sign of the row is moved to them, and the row becomes unsigned. The offset of the panel adds 128 times the
// sum of the row to a product, which is added at the start.
#include <vector>

#include "avx2/scan_256.hpp"

namespace vicinal {
namespace {

struct Signed {
    static constexpr int kRows = 4, kVectors = 2;
    static constexpr double kProductsACycle = 32;
    struct Row {
        __m256i words, magnitude;
        explicit Row(__m256i broadcast) : words(broadcast), magnitude(_mm256_abs_epi8(broadcast)) {}
    };
    // 128 times the sum of each row of the job.
    class Extra {
    public:
        explicit Extra(const ScanJob& job) {
            sums_.resize(job.n_rows);
            for (int r = 0; r < job.n_rows; ++r) {
                const int8_t* row = job.rows + r * job.row_bytes;
                int32_t sum = 0;
                for (int64_t c = 0; c < job.row_bytes; ++c) sum += row[c];
                sums_[r] = 128 * sum;
            }
        }
        const int32_t* get() const { return sums_.data(); }

    private:
        std::vector<int32_t> sums_;
    };
    static __m256i prepare(__m256i columns) { return _mm256_xor_si256(columns, _mm256_set1_epi8(-128)); }
    static void add(__m256i& sum, __m256i columns, const Row& row) {
        const __m256i pairs = _mm256_maddubs_epi16(row.magnitude, _mm256_sign_epi8(columns, row.words));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
};

}  // namespace

const ScanOps& avx2_dot() { return Scan256<Signed>::kOps; }

}  // namespace vicinal
