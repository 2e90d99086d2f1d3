// The scan as plain C++ for the compiler to vectorise: 4 rows by 16 columns at a time.
#include <cstring>

#include "scan.hpp"

namespace vicinal {
namespace {

constexpr int kRows = 4;
constexpr int kColumns = 16;

inline void multiply(const ScanJob& job, int row, int column, int32_t (&tile)[kRows][kColumns]) {
    for (auto& scores : tile) std::memcpy(scores, job.column_base + column, sizeof scores);
    for (int g = 0; g < job.groups; ++g) {
        const uint8_t* panel = job.panel + (static_cast<int64_t>(g) * kPanel + column) * 4;
        for (int r = 0; r < kRows; ++r) {
            const int8_t* word = job.rows + (row + r) * job.row_bytes + 4 * g;
            for (int c = 0; c < kColumns; ++c) {
                int32_t sum = 0;
                for (int b = 0; b < 4; ++b) sum += word[b] * panel[4 * c + b];
                tile[r][c] += sum;
            }
        }
    }
}

size_t survivors(const ScanJob& job, Survivor* out) {
    Survivor* const begin = out;
    for (int row = 0; row < job.n_rows; row += kRows) {
        for (int column = 0; column < kPanel; column += kColumns) {
            int32_t tile[kRows][kColumns];
            multiply(job, row, column, tile);
            for (int r = 0; r < kRows; ++r) {
                const int32_t base = job.row_base[row + r], floor = job.row_floor[row + r];
                for (int c = 0; c < kColumns; ++c) {
                    const int32_t least = job.column_floor[column + c] - base;
                    if (tile[r][c] >= (floor < least ? floor : least)) {
                        *out++ = {static_cast<uint16_t>(row + r), static_cast<uint16_t>(column + c), tile[r][c] + base};
                    }
                }
            }
        }
    }
    return out - begin;
}

void scores(const ScanJob& job, int32_t* out, int64_t stride) {
    for (int row = 0; row < job.n_rows; row += kRows) {
        for (int column = 0; column < kPanel; column += kColumns) {
            int32_t tile[kRows][kColumns];
            multiply(job, row, column, tile);
            for (int r = 0; r < kRows; ++r) std::memcpy(out + (row + r) * stride + column, tile[r], sizeof tile[r]);
        }
    }
}

constexpr ScanOps kOps = {kRows, survivors, scores};

}  // namespace

const ScanOps& portable_dot() { return kOps; }

}  // namespace vicinal
