// The scan of the dot kernel on processors without dot products: two products of signed bytes are added in 16 bits,
// which holds them while the rows are within +-127.
#include "neon/scan_tile.hpp"

namespace vicinal {
namespace {

struct Widening {
    static constexpr int kRows = 6, kVectors = 1;
    static constexpr double kProductsACycle = 10;

    explicit Widening(const ScanJob& job) : job_(job) {}

    void load(int row) {
        rows_ = job_.rows + row * job_.row_bytes;
        offsets(rows_, job_.row_bytes, offsets_);
    }

    // Rows have zeros at the end, so that one group more than the last counts nothing.
    inline __attribute__((always_inline)) void multiply(int column, int32x4_t (&sums)[kRows][kVectors]) const {
        int32x4_t halves[kRows][kVectors][2];
        for (auto& row : halves) {
            for (auto& vector : row) vector[0] = vector[1] = vdupq_n_s32(0);
        }
        const uint8_t* panel = job_.panel + 4 * column;
        for (int g = 0; g < job_.groups; g += 2, panel += 8 * kPanel) {
#pragma GCC unroll 2
            for (int v = 0; v < kVectors; ++v) {
                const int8x16_t first = signed_columns(panel + 16 * v);
                const int8x16_t second = signed_columns(panel + 4 * kPanel + 16 * v);
#pragma GCC unroll 6
                for (int r = 0; r < kRows; ++r) {
                    int32_t words[2];
                    std::memcpy(words, rows_ + r * job_.row_bytes + 4 * g, 8);
                    const int8x16_t one = vreinterpretq_s8_s32(vdupq_n_s32(words[0]));
                    const int8x16_t two = vreinterpretq_s8_s32(vdupq_n_s32(words[1]));
                    const int16x8_t low =
                        vmlal_s8(vmull_s8(vget_low_s8(first), vget_low_s8(one)), vget_low_s8(second), vget_low_s8(two));
                    const int16x8_t high = vmlal_high_s8(vmull_high_s8(first, one), second, two);
                    halves[r][v][0] = vpadalq_s16(halves[r][v][0], low);
                    halves[r][v][1] = vpadalq_s16(halves[r][v][1], high);
                }
            }
        }
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
            const int32x4_t base = vld1q_s32(job_.column_base + column + 4 * v);
#pragma GCC unroll 6
            for (int r = 0; r < kRows; ++r) {
                sums[r][v] =
                    vaddq_s32(vpaddq_s32(halves[r][v][0], halves[r][v][1]), vaddq_s32(base, vdupq_n_s32(offsets_[r])));
            }
        }
    }

private:
    const ScanJob& job_;
    const int8_t* rows_ = nullptr;
    int32_t offsets_[kRows];
};

}  // namespace

const ScanOps& neon_dot() { return NeonScan<Widening>::kOps; }

}  // namespace vicinal
