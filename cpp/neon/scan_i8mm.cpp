// The scan of the dot kernel with products of byte matrices (FEAT_I8MM): one instruction adds the products of two
// unsigned columns and two signed rows, eight coordinates of each. Tiles have 8 rows by 8 columns.
//
// Both sides are copied once into the order of the operands: the panel for each job, eight rows for each row of tiles.
// Then a step of eight coordinates is 4 loads of each side for 16 instructions.
#include "neon/scan_tile.hpp"

namespace vicinal {
namespace {

struct Matrices {
    static constexpr int kRows = 8, kVectors = 2;
    static constexpr double kProductsACycle = 60;
    static constexpr int kPairs = 4;               // of rows, and of columns, in a tile
    static constexpr int64_t kStep = 16 * kPairs;  // bytes of eight coordinates of the rows, or columns, of a tile
    static constexpr int kTileColumns = 2 * kPairs;

    explicit Matrices(const ScanJob& job) : job_(job), steps_((job.groups + 1) / 2) {
        thread_local std::vector<uint8_t> panel;
        thread_local std::vector<int8_t> rows;
        panel.resize(kPanel / kTileColumns * steps_ * kStep);
        rows.resize(steps_ * kStep);
        panel_ = panel.data();
        rows_ = rows.data();
        pack_panel();
    }

    void load(int row) {
        const int8_t* own = job_.rows + row * job_.row_bytes;
        for (int64_t step = 0; step < steps_; ++step) {
            for (int r = 0; r < kRows; ++r)
                std::memcpy(rows_ + step * kStep + 8 * r, own + r * job_.row_bytes + 8 * step, 8);
        }
    }

    inline __attribute__((always_inline)) void multiply(int column, int32x4_t (&sums)[kRows][kVectors]) const {
        int32x4_t squares[kPairs][kPairs];  // of a pair of columns and a pair of rows: two columns by two rows
#pragma GCC unroll 4
        for (int c = 0; c < kPairs; ++c) {
            const int32x2_t base = vld1_s32(job_.column_base + column + 2 * c);
#pragma GCC unroll 4
            for (int r = 0; r < kPairs; ++r)
                squares[c][r] = vcombine_s32(vdup_lane_s32(base, 0), vdup_lane_s32(base, 1));
        }
        const uint8_t* panel = panel_ + column / kTileColumns * steps_ * kStep;
        const int8_t* rows = rows_;
        for (int64_t step = 0; step < steps_; ++step, panel += kStep, rows += kStep) {
            int8x16_t own[kPairs];
#pragma GCC unroll 4
            for (int r = 0; r < kPairs; ++r) own[r] = vld1q_s8(rows + 16 * r);
#pragma GCC unroll 4
            for (int c = 0; c < kPairs; ++c) {
                const uint8x16_t columns = vld1q_u8(panel + 16 * c);
#pragma GCC unroll 4
                for (int r = 0; r < kPairs; ++r) squares[c][r] = vusmmlaq_s32(squares[c][r], columns, own[r]);
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < kPairs; ++r) {
#pragma GCC unroll 2
            for (int v = 0; v < kVectors; ++v) {
                sums[2 * r][v] = vuzp1q_s32(squares[2 * v][r], squares[2 * v + 1][r]);
                sums[2 * r + 1][v] = vuzp2q_s32(squares[2 * v][r], squares[2 * v + 1][r]);
            }
        }
    }

private:
    // The rows have zeros where an odd number of groups leaves half a step.
    void pack_panel() {
        const uint8_t* from = job_.panel;
        for (int64_t step = 0; step < steps_; ++step, from += 8 * kPanel) {
            for (int column = 0; column < kPanel; column += kTileColumns) {
                uint8_t* out = panel_ + (column / kTileColumns * steps_ + step) * kStep;
#pragma GCC unroll 2
                for (int v = 0; v < kVectors; ++v) {
                    const auto first = vreinterpretq_u32_u8(vld1q_u8(from + 4 * column + 16 * v));
                    const auto second = vreinterpretq_u32_u8(vld1q_u8(from + 4 * (kPanel + column) + 16 * v));
                    vst1q_u8(out + 32 * v, vreinterpretq_u8_u32(vzip1q_u32(first, second)));
                    vst1q_u8(out + 32 * v + 16, vreinterpretq_u8_u32(vzip2q_u32(first, second)));
                }
            }
        }
    }

    const ScanJob& job_;
    const int64_t steps_;
    uint8_t* panel_;
    int8_t* rows_;
};

}  // namespace

const ScanOps& i8mm_dot() { return NeonScan<Matrices>::kOps; }

}  // namespace vicinal
