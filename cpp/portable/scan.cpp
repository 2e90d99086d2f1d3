// The scan of the dot kernel in plain C++ for the compiler to vectorise: the panel is unpacked into rows, so that each
// score is a loop over contiguous coordinates.
#include <cstring>
#include <vector>

#include "scan.hpp"

namespace vicinal {
namespace {

#if defined(__ARM_FEATURE_DOTPROD)
using Operand = int8_t;
#else
using Operand = int16_t;
#endif

constexpr int kRows = 2;
constexpr int kColumns = 4;

// Computes the scores of all rows and the panel, less row_base, and calls use for each row.
template <class Use>
void multiply(const ScanJob& job, Use&& use) {
    const int64_t dim = padded(4 * job.groups, 16);
    thread_local std::vector<Operand> panel, rows;
    panel.assign(kPanel * dim, 0);
    rows.assign(kRows * dim, 0);
    for (int g = 0; g < job.groups; ++g) {
        for (int c = 0; c < kPanel; ++c) {
            for (int b = 0; b < 4; ++b) {
                panel[c * dim + 4 * g + b] = static_cast<Operand>(job.panel[(g * kPanel + c) * 4 + b] - 128);
            }
        }
    }
    for (int row = 0; row < job.n_rows; row += kRows) {
        int32_t scores[kRows][kPanel];
        int32_t extra[kRows] = {};
        for (int r = 0; r < kRows; ++r) {
            const int8_t* own = job.rows + (row + r) * job.row_bytes;
            for (int64_t c = 0; c < 4 * job.groups; ++c) {
                rows[r * dim + c] = own[c];
                extra[r] += 128 * own[c];
            }
        }
        for (int column = 0; column < kPanel; column += kColumns) {
            int32_t sums[kRows][kColumns] = {};
            for (int64_t c = 0; c < dim; ++c) {
                for (int r = 0; r < kRows; ++r) {
                    for (int j = 0; j < kColumns; ++j) {
                        sums[r][j] += static_cast<int32_t>(rows[r * dim + c]) * panel[(column + j) * dim + c];
                    }
                }
            }
            for (int r = 0; r < kRows; ++r) {
                for (int j = 0; j < kColumns; ++j) {
                    scores[r][column + j] = sums[r][j] + extra[r] + job.column_base[column + j];
                }
            }
        }
        for (int r = 0; r < kRows; ++r) use(row + r, scores[r]);
    }
}

size_t survivors(const ScanJob& job, Survivor* out) {
    Survivor* const begin = out;
    multiply(job, [&](int row, const int32_t* scores) {
        const int32_t base = job.row_base[row], threshold = job.row_threshold[row];
        for (int c = 0; c < kPanel; ++c) {
            const int32_t least = job.column_threshold[c] - base;
            if (scores[c] >= (threshold < least ? threshold : least)) {
                *out++ = {static_cast<uint16_t>(row), static_cast<uint16_t>(c), scores[c] + base};
            }
        }
    });
    return out - begin;
}

void scores(const ScanJob& job, int32_t* out, int64_t stride) {
    multiply(job, [&](int row, const int32_t* scores) {
        std::memcpy(out + row * stride, scores, kPanel * sizeof(int32_t));
    });
}

constexpr ScanOps kOps = {kRows, 5, survivors, scores};

}  // namespace

const ScanOps& portable_dot() { return kOps; }

}  // namespace vicinal
