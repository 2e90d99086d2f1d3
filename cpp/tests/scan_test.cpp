// Compares the loops of every instruction set with the portable ones, to the bit: scans, row loops, string loops.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <tuple>

#include "block.hpp"

namespace {

using namespace vicinal;

using Scores = std::vector<int32_t>;

Scores scores_of(const ScanOps& ops, const Block& block) {
    const int64_t stride = kPanel + 32;
    Scores out(block.n_rows * stride, -1);
    ops.scores(block.job(), out.data(), stride);
    return out;
}

using Found = std::vector<std::tuple<int, int, int32_t>>;

Found survivors_of(const ScanOps& ops, const Block& block) {
    std::vector<Survivor> out(block.n_rows * kPanel);
    out.resize(ops.survivors(block.job(), out.data()));
    Found found;
    for (const Survivor& s : out) found.emplace_back(s.row, s.column, s.score);
    std::sort(found.begin(), found.end());
    return found;
}

// Thresholds that let some pairs pass: of rows less row_base, of columns not.
void set_thresholds(Block& block, const Scores& scores, int one_in) {
    const int64_t stride = kPanel + 32;
    for (int r = 0; r < block.n_rows; ++r) {
        const bool some = draw(1, one_in) == 1;
        block.row_threshold[r] = some ? scores[r * stride + draw(0, kPanel - 1)] : kPassNone;
    }
    for (int c = 0; c < kPanel; ++c) {
        const int r = draw(0, block.n_rows - 1);
        const bool some = draw(1, one_in) == 1;
        block.column_threshold[c] = some ? scores[r * stride + c] + block.row_base[r] : kPassNone;
    }
}

void scan(const Isa& isa, const Isa& portable) {
    struct Scan {
        const char* name;
        const ScanOps* own;
        const ScanOps* theirs;
        int width;
        bool shares;
    };
    const Scan scans[] = {{"dot", isa.dot, portable.dot, 4, false},
                          {"absolute", isa.absolute, portable.absolute, 8, false},
                          {"hamming", isa.hamming, portable.hamming, 8, false},
                          {"jaccard", isa.jaccard, portable.jaccard, 8, true}};
    for (const Scan& scan : scans) {
        for (const int groups : {1, 2, 3, 4, 5, 7, 16, 17, 33, 96}) {
            for (const Codes codes : {Codes::random, Codes::highest, Codes::lowest}) {
                Block block = block_of(groups == 5 ? 2 * kRowStep : kRowStep, groups, scan.width, codes);
                const Scores expected = scores_of(*scan.theirs, block);
                check(same(scores_of(*scan.own, block), expected), isa, scan.name, groups);
                for (const int one_in : {1, 3, 60}) {
                    set_thresholds(block, expected, one_in);
                    if (scan.shares) {
                        for (int32_t& share : block.row_threshold) share = draw(0, one_in == 1 ? 1 << 16 : 1 << 6);
                        for (int32_t& share : block.column_threshold) share = draw(0, one_in == 1 ? 1 << 16 : 1 << 6);
                    }
                    check(survivors_of(*scan.own, block) == survivors_of(*scan.theirs, block), isa, scan.name, groups);
                }
            }
        }
    }
}

// Whatever one set of row loops returns, in order, as bytes.
struct Log {
    std::vector<char> bytes;
    template <class T>
    void put(const T* values, size_t n) {
        const char* from = reinterpret_cast<const char*>(values);
        bytes.insert(bytes.end(), from, from + n * sizeof(T));
    }
};

struct Table {
    DType dtype;
    int n, dim;
    size_t size;
    std::vector<char> bytes;

    Rows rows(const double* inverse_norms) const {
        const auto step = static_cast<int64_t>(size);
        return {{bytes.data(), n, dim, step * dim, step, dtype}, inverse_norms};
    }
};

Table table_of(DType dtype, int n, int dim) {
    const size_t size = dtype == DType::f64 ? 8 : dtype == DType::f32 ? 4 : dtype == DType::f16 ? 2 : 1;
    Table table{dtype, n, dim, size, std::vector<char>(n * dim * size)};
    std::normal_distribution<double> normal;
    for (int i = 0; i < n * dim; ++i) {
        const double value = std::ldexp(normal(generator), draw(-3, 3));
        const auto single = static_cast<float>(value);
        // Halves with all exponents but that of infinity, subnormal ones too.
        const auto half = static_cast<uint16_t>(draw(0, 1) << 15 | draw(0, 0x7bff));
        const auto byte = static_cast<uint8_t>(draw(0, 255));
        const void* from = size == 8   ? static_cast<const void*>(&value)
                           : size == 4 ? static_cast<const void*>(&single)
                           : size == 2 ? static_cast<const void*>(&half)
                                       : static_cast<const void*>(&byte);
        std::memcpy(&table.bytes[i * size], from, size);
    }
    return table;
}

void log_rows(const RowOps& ops, const Table& table, Log& log) {
    const int64_t wide = padded(table.dim, 8);
    const Rows plain = table.rows(nullptr);
    std::vector<double> norms(table.n), x(wide), centre(wide, 0.25), out(table.n);
    for (int i = 0; i < table.n; ++i) norms[i] = ops.inverse_norm(plain, i);
    log.put(norms.data(), norms.size());
    const Rows scaled = table.rows(norms.data());
    std::vector<int32_t> all(table.n);
    for (int i = 0; i < table.n; ++i) all[i] = table.n - 1 - i;
    for (const Rows& rows : {plain, scaled}) {
        ops.load(rows, 1, x.data());
        log.put(x.data(), x.size());
        for (const Sum sum : {Sum::squares, Sum::products, Sum::absolutes}) {
            ops.measure(rows, sum, x.data(), all.data(), all.size(), out.data());
            log.put(out.data(), out.size());
        }
        const uint64_t hash = ops.hash(rows, 1);
        const double peak = ops.peak(rows, 1, centre.data());
        log.put(&hash, 1);
        log.put(&peak, 1);
        std::vector<float> moved(wide);
        std::vector<int8_t> code(wide + 64);
        const CentredRow centred = ops.centre_row(rows, 1, centre.data(), 0.5, moved.data());
        log.put(&centred, 1);
        log.put(moved.data(), table.dim);
        ops.centred(x.data(), centre.data(), 0.5, table.dim, moved.data());
        log.put(moved.data(), table.dim);
        const CodedRow coded = ops.quantise(moved.data(), table.dim, static_cast<float>(peak / 2 / 127), code.data());
        log.put(&coded.squared_norm, 1);
        log.put(&coded.sum, 1);
        log.put(&coded.residual, 1);
        log.put(code.data(), table.dim);
        std::vector<uint8_t> clipped(wide);
        const ClippedRow row = ops.clip(x.data(), centre.data(), 20, 200, table.dim, clipped.data());
        log.put(&row, 1);
        log.put(clipped.data(), table.dim);
    }
}

void log_bits(const RowOps& ops, const Table& table, Log& log) {
    std::vector<double> x(padded(table.dim, 8)), out(table.n);
    std::vector<int32_t> all(table.n);
    for (int i = 0; i < table.n; ++i) all[i] = i;
    ops.load(table.rows(nullptr), 0, x.data());
    for (const Sum sum : {Sum::hamming, Sum::jaccard}) {
        ops.measure(table.rows(nullptr), sum, x.data(), all.data(), all.size(), out.data());
        log.put(out.data(), out.size());
    }
}

void log_named_products(const RowOps& ops, const Block& block, Log& log) {
    for (const size_t n : {0, 1, 3, 4, 5, 31}) {
        std::vector<int32_t> named(n), products(n);
        for (size_t i = 0; i < n; ++i) named[i] = static_cast<int32_t>(i * 7 % kPanel);
        ops.named_products(block.rows.data(), block.panel.data(), block.row_bytes, named.data(), n, products.data());
        log.put(products.data(), n);
    }
}

void log_projections(const RowOps& ops, const std::vector<float>& numbers, Log& log) {
    for (const auto& [n, dim, m] : {std::tuple{1, 3, 16}, {5, 64, 32}, {7, 131, 48}, {4, 200, 96}}) {
        std::vector<float> out(n * m);
        ops.project(numbers.data(), n, dim + 5, dim, numbers.data() + 2000, m, out.data());
        log.put(out.data(), out.size());
    }
}

// Also holds the sums of pairs of whole numbers to sums in 64 bits.
void log_pairs(const RowOps& ops, const std::vector<float>& numbers, const Isa& isa, Log& log) {
    for (const auto& [n, dim, m] : {std::tuple{1, 8, 16}, {13, 64, 32}, {7, 136, 48}, {25, 200, 96}}) {
        std::vector<int16_t> rows(n * dim), columns(dim * m);
        float peak = 0;
        for (int i = 0; i < n * dim; ++i) peak = std::max(peak, std::abs(numbers[i]));
        ops.round_rows(numbers.data(), n * dim, 32767 / peak * (1 - 0x1p-20f), rows.data());
        for (int i = 0; i < n * dim; ++i) {
            check(std::abs(rows[i] - numbers[i] / peak * 32767) < 0.54f, isa, "rounded rows", i);
        }
        for (int i = 0; i < dim * m; ++i)
            columns[i] = static_cast<int16_t>(numbers[2000 + i] > 0 ? 127 : i % 255 - 127);
        std::vector<int32_t> directions(dim / 2 * m), pairs(n * dim / 2), out(n * m);
        std::memcpy(pairs.data(), rows.data(), rows.size() * sizeof rows[0]);
        for (int c = 0; c < dim; ++c) {
            for (int j = 0; j < m; ++j) {
                std::memcpy(reinterpret_cast<int16_t*>(&directions[c / 2 * m + j]) + c % 2, &columns[c * m + j], 2);
            }
        }
        ops.project_pairs(pairs.data(), n, dim / 2, dim / 2, directions.data(), m, out.data());
        for (int i = 0; i < n; ++i) {
            for (int j = 0; j < m; ++j) {
                int64_t sum = 0;
                for (int c = 0; c < dim; ++c) sum += rows[i * dim + c] * columns[c * m + j];
                check(out[i * m + j] == sum, isa, "projections of pairs", i * m + j);
            }
        }
        log.put(out.data(), out.size());
    }
}

void log_strings(const StringOps& ops, int n, const std::vector<uint8_t>& x, const std::vector<uint8_t>& y, Log& log) {
    for (const int format : {1, 4, 5}) {
        float sums[3];
        ops.products(format, x.data(), y.data(), n, sums);
        log.put(sums, 3);
        const float others[] = {ops.product(format, x.data(), y.data(), n), ops.squares(format, x.data(), y.data(), n),
                                ops.absolutes(format, x.data(), y.data(), n)};
        log.put(others, 3);
        const uint8_t* four[] = {y.data(), x.data(), y.data(), x.data()};
        float products[4];
        ops.product4(format, x.data(), four, n, products);
        log.put(products, 4);
    }
    for (const bool is_signed : {false, true}) {
        int64_t sums[5];
        ops.integers(is_signed, x.data(), y.data(), n, sums);
        log.put(sums, 5);
    }
}

// Bytes that are finite numbers of moderate size as float32, float16 and bfloat16.
std::vector<uint8_t> moderate(int n) {
    std::vector<uint8_t> bytes(4 * n);
    for (int i = 0; i < 2 * n; ++i) {
        bytes[2 * i] = static_cast<uint8_t>(draw(0, 255));
        bytes[2 * i + 1] = static_cast<uint8_t>(draw(0, 1) << 7 | draw(0x38, 0x42));
    }
    return bytes;
}

void loops(const Isa& isa, const Isa& portable) {
    for (const int dim : {1, 7, 8, 9, 31, 64, 131}) {
        for (const DType dtype : {DType::f16, DType::f32, DType::f64, DType::i8, DType::u8}) {
            const Table table = table_of(dtype, 5, dim);
            Log own, theirs;
            log_rows(*isa.rows, table, own);
            log_rows(*portable.rows, table, theirs);
            if (dtype == DType::u8) {
                log_bits(*isa.rows, table, own);
                log_bits(*portable.rows, table, theirs);
            }
            check(same(own.bytes, theirs.bytes), isa, "row loops", dim);
        }
        const std::vector<uint8_t> x = moderate(dim), y = moderate(dim);
        Log own, theirs;
        log_strings(*isa.strings, dim, x, y, own);
        log_strings(*portable.strings, dim, x, y, theirs);
        check(same(own.bytes, theirs.bytes), isa, "string loops", dim);
    }
    for (const Codes codes : {Codes::random, Codes::highest, Codes::lowest}) {
        const Block block = block_of(kRowStep, 48, 4, codes);
        Log own, theirs;
        log_named_products(*isa.rows, block, own);
        log_named_products(*portable.rows, block, theirs);
        check(same(own.bytes, theirs.bytes), isa, "named products", block.row_bytes);
    }
    std::vector<float> numbers(40000);
    std::normal_distribution<float> normal;
    for (float& number : numbers) number = normal(generator);
    Log own, theirs;
    log_projections(*isa.rows, numbers, own);
    log_projections(*portable.rows, numbers, theirs);
    check(same(own.bytes, theirs.bytes), isa, "projections", 0);
    log_pairs(*isa.rows, numbers, isa, own);
    log_pairs(*portable.rows, numbers, portable, theirs);
    check(same(own.bytes, theirs.bytes), isa, "projections of pairs", 0);
}

}  // namespace

int main() {
    const Isa& portable = find_isa("portable");
    for (const std::string& name : isas()) {
        if (name == portable.name) continue;
        const Isa& isa = find_isa(name);
        scan(isa, portable);
        loops(isa, portable);
        std::printf("%s: equal to portable in %ld comparisons\n", isa.name, compared);
    }
    return failures != 0;
}
