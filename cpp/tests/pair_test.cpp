// Compares the loops that check the pairs which pass a sketch with plain loops, on every instruction set.
#include <algorithm>
#include <cstdio>
#include <tuple>

#include "block.hpp"

namespace {

using Found = std::vector<std::tuple<int, int, int32_t>>;

// Pairs of the block's rows and columns: in the order of the rows, each of some columns, or in any order.
std::vector<Survivor> pairs_of(const Block& block, int n, int longest) {
    std::vector<Survivor> pairs;
    for (int row = 0; static_cast<int>(pairs.size()) < n; row = longest ? (row + draw(0, 2)) % block.n_rows : row) {
        if (longest == 0) row = draw(0, block.n_rows - 1);
        for (int left = draw(1, std::max(longest, 1)); left > 0 && static_cast<int>(pairs.size()) < n; --left) {
            pairs.push_back({static_cast<uint16_t>(row), static_cast<uint16_t>(draw(0, kPanel - 1)), -1});
        }
    }
    return pairs;
}

// Compares the products of pairs, and which of them pass, with plain loops.
void products(const Isa& isa, int groups, Codes codes) {
    Block block = block_of(kRowStep, groups, 4, codes);
    const int64_t bytes = block.row_bytes;
    std::vector<int32_t> sums(block.n_rows);
    for (int r = 0; r < block.n_rows; ++r) {
        for (int64_t c = 0; c < bytes; ++c) sums[r] += block.rows[r * bytes + c];
    }
    std::vector<uint8_t> columns(kPanel * bytes + 1, 77), expected_columns(kPanel * bytes + 1);
    for (int c = 0; c < kPanel; ++c) {
        for (int g = 0; g < groups; ++g) {
            std::memcpy(&expected_columns[c * bytes + 4 * g], &block.panel[(g * kPanel + c) * 4], 4);
        }
    }
    expected_columns.back() = 77;
    isa.rows->unpack_columns(block.panel.data(), groups, bytes, columns.data());
    check(columns == expected_columns, isa, "unpacked columns", bytes);
    for (const int longest : {0, 1, 2, 5, 12, 64}) {
        for (const int n : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 64, 65, 200, 500}) {
            std::vector<Survivor> pairs = pairs_of(block, n, longest);
            std::vector<int32_t> out(n + 1, 77), expected(n + 1, 77);
            for (int i = 0; i < n; ++i) {
                expected[i] = 0;
                for (int64_t c = 0; c < bytes; ++c) {
                    expected[i] += block.rows[pairs[i].row * bytes + c] * columns[pairs[i].column * bytes + c];
                }
            }
            isa.rows->products(block.rows.data(), sums.data(), columns.data(), bytes, pairs.data(), n, out.data());
            check(out == expected, isa, "products", bytes);
            for (const int one_in : {1, 3}) {
                const auto threshold = [&](int32_t score) { return draw(1, one_in) == 1 ? score : kPassNone; };
                for (int32_t& least : block.row_threshold) least = kPassNone;
                for (int32_t& least : block.column_threshold) least = kPassNone;
                for (int i = 0; i < n; i += 3) {
                    const Survivor& pair = pairs[i];
                    const int32_t sum = out[i] + block.column_base[pair.column];
                    block.row_threshold[pair.row] = threshold(sum);
                    block.column_threshold[pair.column] = threshold(sum + block.row_base[pair.row]);
                }
                const ScanJob job = block.job();
                Found left, expected_left;
                for (int i = 0; i < n; ++i) {
                    const auto [row, column, score] = pairs[i];
                    const int32_t sum = out[i] + job.column_base[column], whole = sum + job.row_base[row];
                    if (sum >= job.row_threshold[row] || whole >= job.column_threshold[column]) {
                        expected_left.emplace_back(row, column, whole);
                    }
                }
                std::vector<Survivor> kept = pairs;
                kept.push_back({7, 7, 7});
                const size_t passed = isa.rows->passing(job, out.data(), kept.data(), n);
                for (size_t i = 0; i < passed; ++i) left.emplace_back(kept[i].row, kept[i].column, kept[i].score);
                const Survivor& after = kept.back();
                const bool whole = after.row == 7 && after.column == 7 && after.score == 7;
                check(left == expected_left && whole, isa, "passing pairs", n);
            }
        }
    }
}

}  // namespace

int main() {
    for (const std::string& name : isas()) {
        const Isa& isa = find_isa(name);
        for (const Codes codes : {Codes::random, Codes::highest, Codes::lowest}) {
            // Rows of 1, 2, ... vectors of 64 bytes; 9 and more are taken in parts.
            for (const int groups : {1, 16, 31, 48, 50, 80, 96, 109, 128, 129, 171, 177, 192, 288}) {
                products(isa, groups, codes);
            }
        }
    }
    std::printf("%ld comparisons, %d failures\n", compared, failures);
    return failures != 0 || compared < 10000;
}
