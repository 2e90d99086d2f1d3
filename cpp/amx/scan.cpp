// The scan of the dot kernel with AMX: 32 rows by 32 columns in four tile registers, 64 coordinates a step.
//
// Tile registers store their sums to memory. While the next 32 x 32 products are computed, the core compares the
// previous sums with their thresholds, which hides most of the cost of the comparison.
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "scan.hpp"

namespace vicinal {
namespace {

constexpr int kRows = 32;
constexpr int kColumns = 32;
constexpr int kHalf = 16;
constexpr int kDepth = 64;  // coordinates a step

struct alignas(64) TileConfig {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

class Tiles {
public:
    Tiles() {
        const TileConfig config;
        _tile_loadconfig(&config);
    }
    ~Tiles() { _tile_release(); }
};

// Tiles 0 to 3 hold the sums, 4 and 5 the rows, 6 and 7 the columns.
inline __attribute__((always_inline)) void multiply(const ScanJob& job, int row, int column) {
    _tile_loadd(0, job.column_base + column, 0);
    _tile_loadd(1, job.column_base + column + kHalf, 0);
    _tile_loadd(2, job.column_base + column, 0);
    _tile_loadd(3, job.column_base + column + kHalf, 0);
    const int8_t* upper = job.rows + row * job.row_bytes;
    const int8_t* lower = upper + kHalf * job.row_bytes;
    const uint8_t* panel = job.panel + 4 * column;
    for (int group = 0; group < job.groups; group += kDepth / 4) {
        _tile_loadd(6, panel, 4 * kPanel);
        _tile_loadd(4, upper, job.row_bytes);
        _tile_dpbsud(0, 4, 6);
        _tile_loadd(7, panel + 4 * kHalf, 4 * kPanel);
        _tile_dpbsud(1, 4, 7);
        _tile_loadd(5, lower, job.row_bytes);
        _tile_dpbsud(2, 5, 6);
        _tile_dpbsud(3, 5, 7);
        upper += kDepth;
        lower += kDepth;
        panel += kDepth * kPanel;
    }
}

inline __attribute__((always_inline)) void store(int32_t* out, int64_t stride) {
    _tile_stored(0, out, 4 * stride);
    _tile_stored(1, out + kHalf, 4 * stride);
    _tile_stored(2, out + kHalf * stride, 4 * stride);
    _tile_stored(3, out + kHalf * stride + kHalf, 4 * stride);
}

inline __attribute__((always_inline)) Survivor* compare(const ScanJob& job, const int32_t* sums, int row, int column,
                                                        Survivor* out) {
    const __m512i left_threshold = _mm512_loadu_si512(job.column_threshold + column);
    const __m512i right_threshold = _mm512_loadu_si512(job.column_threshold + column + kHalf);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
        const __m512i base = _mm512_set1_epi32(job.row_base[row + r]);
        const __m512i threshold = _mm512_set1_epi32(job.row_threshold[row + r]);
        const int32_t* own = sums + r * kColumns;
        const __mmask16 left = _mm512_cmpge_epi32_mask(
            _mm512_load_si512(own), _mm512_min_epi32(threshold, _mm512_sub_epi32(left_threshold, base)));
        const __mmask16 right = _mm512_cmpge_epi32_mask(
            _mm512_load_si512(own + kHalf), _mm512_min_epi32(threshold, _mm512_sub_epi32(right_threshold, base)));
        if (_kortestz_mask16_u8(left, right)) continue;
        for (uint32_t mask = left | static_cast<uint32_t>(right) << kHalf; mask; mask &= mask - 1) {
            const int c = __builtin_ctz(mask);
            *out++ = {static_cast<uint16_t>(row + r), static_cast<uint16_t>(column + c),
                      own[c] + job.row_base[row + r]};
        }
    }
    return out;
}

size_t survivors(const ScanJob& job, Survivor* out) {
    const Tiles tiles;
    alignas(64) int32_t sums[2][kRows * kColumns];
    Survivor* const begin = out;
    int last_row = 0, last_column = 0, which = 0;
    for (int row = 0; row < job.n_rows; row += kRows) {
        for (int column = 0; column < kPanel; column += kColumns) {
            multiply(job, row, column);
            if (row + column) out = compare(job, sums[which ^ 1], last_row, last_column, out);
            store(sums[which], kColumns);
            which ^= 1;
            last_row = row;
            last_column = column;
        }
    }
    out = compare(job, sums[which ^ 1], last_row, last_column, out);
    return out - begin;
}

void scores(const ScanJob& job, int32_t* out, int64_t stride) {
    const Tiles tiles;
    for (int row = 0; row < job.n_rows; row += kRows) {
        for (int column = 0; column < kPanel; column += kColumns) {
            multiply(job, row, column);
            store(out + row * stride + column, stride);
        }
    }
}

constexpr ScanOps kOps = {kRows, 600, survivors, scores};

}  // namespace

const ScanOps& amx_dot() { return kOps; }

bool amx_permitted() {
    constexpr long kRequestPermission = 0x1023, kTileData = 18;
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace vicinal
