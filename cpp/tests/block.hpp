// Blocks of rows and panels drawn at random, for the tests of loops.
#pragma once

#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "check.hpp"
#include "scan.hpp"

namespace {

using namespace vicinal;

inline long compared = 0;

inline std::mt19937_64 generator(7);

inline int draw(int low, int high) {
    return low + static_cast<int>(generator() % static_cast<uint64_t>(high - low + 1));
}

inline void check(bool equal, const Isa& isa, const char* what, int64_t size) {
    ++compared;
    if (equal) return;
    std::printf("%s: %s of size %ld differs from what it is compared with\n", isa.name, what, static_cast<long>(size));
    fail();
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// A block of rows and a panel, as tile.cpp gives them to a scan: beyond the panel, arbitrary bytes meet zeros of rows.
struct Block {
    int n_rows, groups, width;
    int64_t row_bytes;
    std::vector<int8_t> rows;
    std::vector<uint8_t> panel;
    std::vector<int32_t> row_base, row_threshold, column_base, column_threshold;

    ScanJob job() const {
        return {rows.data(),
                row_bytes,
                n_rows,
                panel.data(),
                groups,
                row_base.data(),
                row_threshold.data(),
                column_base.data(),
                column_threshold.data()};
    }
};

enum class Codes { random, highest, lowest };

inline Block block_of(int n_rows, int groups, int width, Codes codes) {
    Block block{n_rows, groups, width, padded(groups * width, kRowAlign), {}, {}, {}, {}, {}, {}};
    block.rows.resize(n_rows * block.row_bytes);
    for (int r = 0; r < n_rows; ++r) {
        for (int c = 0; c < groups * width; ++c) {
            const int own = codes == Codes::random ? draw(-127, 127) : codes == Codes::highest ? 127 : -127;
            block.rows[r * block.row_bytes + c] = static_cast<int8_t>(own);
        }
    }
    block.panel.resize(kPanel * (groups * width + 64));
    for (uint8_t& byte : block.panel) {
        // The codes of the dot kernel are within +-127.
        const int lowest = width == 4 ? 1 : 0;
        byte = static_cast<uint8_t>(codes == Codes::random    ? draw(lowest, 255)
                                    : codes == Codes::highest ? 255
                                                              : lowest);
    }
    block.row_base.resize(n_rows);
    block.row_threshold.resize(n_rows);
    block.column_base.resize(kPanel);
    block.column_threshold.resize(kPanel);
    for (int32_t& base : block.row_base) base = draw(0, 1 << 20);
    for (int32_t& base : block.column_base) base = draw(0, 1 << 20);
    return block;
}

}  // namespace
