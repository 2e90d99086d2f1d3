// The scan of the dot kernel with the dot product of signed bytes (FEAT_DotProd): tiles of 8 rows by 8 columns. A step
// of 16 coordinates loads 8 vectors of the rows and 8 of the panel for 64 instructions.
#include "neon/scan_tile.hpp"

namespace vicinal {
namespace {

struct Dot {
    static constexpr int kRows = 8, kVectors = 2;
    static constexpr double kProductsACycle = 28;
    using Sums = int32x4_t[kRows][kVectors];

    explicit Dot(const ScanJob& job) : job_(job) {}

    void load(int row) {
        rows_ = job_.rows + row * job_.row_bytes;
        offsets(rows_, job_.row_bytes, offsets_);
    }

    // Rows have zeros at the end, so that groups beyond the last count nothing.
    inline __attribute__((always_inline)) void multiply(int column, Sums& sums) const {
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
            const int32x4_t base = vld1q_s32(job_.column_base + column + 4 * v);
#pragma GCC unroll 8
            for (int r = 0; r < kRows; ++r) sums[r][v] = vaddq_s32(base, vdupq_n_s32(offsets_[r]));
        }
        const uint8_t* panel = job_.panel + 4 * column;
        for (int g = 0; g < job_.groups; g += 4, panel += 16 * kPanel) {
            int8x16_t rows[kRows];
#pragma GCC unroll 8
            for (int r = 0; r < kRows; ++r) rows[r] = vld1q_s8(rows_ + r * job_.row_bytes + 4 * g);
            add<0>(panel, rows, sums);
            add<1>(panel, rows, sums);
            add<2>(panel, rows, sums);
            add<3>(panel, rows, sums);
        }
    }

private:
    template <int kLane>
    static inline __attribute__((always_inline)) void add(const uint8_t* panel, const int8x16_t (&rows)[kRows],
                                                          Sums& sums) {
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
            const int8x16_t columns = signed_columns(panel + 4 * kPanel * kLane + 16 * v);
#pragma GCC unroll 8
            for (int r = 0; r < kRows; ++r) sums[r][v] = vdotq_laneq_s32(sums[r][v], columns, rows[r], kLane);
        }
    }

    const ScanJob& job_;
    const int8_t* rows_ = nullptr;
    int32_t offsets_[kRows];
};

}  // namespace

const ScanOps& dotprod_dot() { return NeonScan<Dot>::kOps; }

}  // namespace vicinal
