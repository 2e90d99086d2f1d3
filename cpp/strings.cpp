// Parses byte strings and computes distances from the sums over their elements.
#include "strings.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "scan.hpp"

namespace vicinal {
namespace {

constexpr uint8_t kFloat = 1, kUint8 = 2, kInt8 = 3, kFloat16 = 4, kBFloat16 = 5, kBit = 10;

// A parsed vector; n is -1 where the string is no vector.
struct Vector {
    const uint8_t* data = nullptr;
    int64_t n = -1;
    uint8_t format = 0;
};

Vector vector_of(const uint8_t* bytes, int64_t size) {
    if (size < 1) return {};
    const uint8_t format = bytes[size - 1];
    const int64_t length = size - 1;
    // A length that is not a multiple of the element size makes an empty vector.
    const auto elements = [&](int64_t each) { return length % each == 0 ? length / each : 0; };
    switch (format) {
        case kFloat: return {bytes, elements(4), format};
        case kFloat16:
        case kBFloat16: return {bytes, elements(2), format};
        case kUint8:
        case kInt8: return {bytes, length, format};
        case kBit: {
            if (length < 1) return {bytes, 0, format};
            const int64_t bits = 8 * (length - 1) - bytes[length - 1];
            if (bytes[length - 1] > 7 || bits < 0) return {};
            return {bytes, bits, format};
        }
        default: return {};
    }
}

Vector row_of(const StringColumn& column, int64_t row) {
    if (column.present) {
        const int64_t bit = column.first + row;
        if (!(column.present[bit / 8] >> (bit % 8) & 1)) return {};
    }
    const int32_t start = column.offsets[row];
    return vector_of(column.bytes + start, column.offsets[row + 1] - start);
}

struct BitCounts {
    int64_t x = 0, both = 0, y = 0, differing = 0;
};

BitCounts count_bits(const Vector& x, const Vector& y) {
    BitCounts counts;
    const int64_t bytes = (x.n + 7) / 8;
    for (int64_t c = 0; c < bytes; c += 8) {
        uint64_t a = 0, b = 0;
        std::memcpy(&a, x.data + c, bytes - c < 8 ? bytes - c : 8);
        std::memcpy(&b, y.data + c, bytes - c < 8 ? bytes - c : 8);
        counts.x += std::popcount(a), counts.y += std::popcount(b);
        counts.both += std::popcount(a & b), counts.differing += std::popcount(a ^ b);
    }
    return counts;
}

float cosine(double norm_squared, float product) {
    const float norm = static_cast<float>(std::sqrt(norm_squared));
    return norm != 0 ? product / norm : 1.0f;
}

float cosine(float xx, float xy, float yy) {
    const float norm = std::sqrt(xx * yy);
    return norm != 0 ? xy / norm : 1.0f;
}

float integer_root(int64_t square) {
    auto root = static_cast<int64_t>(std::sqrt(static_cast<double>(square)));
    while (root * root > square) --root;
    while ((root + 1) * (root + 1) <= square) ++root;
    return static_cast<float>(root);
}

float of_cosine(StringDistance which, float similarity) {
    return which == StringDistance::cosine_distance ? 1.0f - similarity : similarity;
}

float of_counts(StringDistance which, int64_t xx, int64_t xy, int64_t yy, int64_t squared, int64_t absolute) {
    switch (which) {
        case StringDistance::inner_product: return static_cast<float>(xy);
        case StringDistance::euclidean: return integer_root(squared);
        case StringDistance::manhattan: return static_cast<float>(absolute);
        default:
            return of_cosine(which, cosine(static_cast<double>(static_cast<uint64_t>(xx) * static_cast<uint64_t>(yy)),
                                           static_cast<float>(xy)));
    }
}

bool alike(const Vector& x, const Vector& y) { return x.n >= 0 && x.n == y.n && x.format == y.format; }

bool is_float(const Vector& x) { return x.format == kFloat || x.format == kFloat16 || x.format == kBFloat16; }

float distance(StringDistance which, const Vector& x, const Vector& y, const StringOps& ops) {
    if (x.format == kBit) {
        const BitCounts c = count_bits(x, y);
        return of_counts(which, c.x, c.both, c.y, c.differing, c.differing);
    }
    if (!is_float(x)) {
        int64_t sums[5];
        ops.integers(x.format == kInt8, x.data, y.data, x.n, sums);
        return of_counts(which, sums[0], sums[1], sums[2], sums[3], sums[4]);
    }
    switch (which) {
        case StringDistance::inner_product: return ops.product(x.format, x.data, y.data, x.n);
        case StringDistance::euclidean: return std::sqrt(ops.squares(x.format, x.data, y.data, x.n));
        case StringDistance::manhattan: return ops.absolutes(x.format, x.data, y.data, x.n);
        default: {
            float sums[3];
            ops.products(x.format, x.data, y.data, x.n, sums);
            return of_cosine(which, cosine(sums[0], sums[1], sums[2]));
        }
    }
}

}  // namespace

void string_distances(StringDistance which, const StringColumn& a, const StringColumn& b, const std::string& isa,
                      float* out, uint8_t* valid) {
    const StringOps& ops = *find_isa(isa).strings;
    const bool one = b.n == 1;
    const Vector target = one ? row_of(b, 0) : Vector{};
    for (int64_t i = 0; i < a.n; ++i) {
        const Vector x = row_of(a, i), y = one ? target : row_of(b, i);
        valid[i] = alike(x, y);
        out[i] = valid[i] ? distance(which, x, y, ops) : 0;
    }
}

void string_distance_table(StringDistance which, const StringColumn& a, const StringColumn& b, const std::string& isa,
                           float* out, uint8_t* valid) {
    const StringOps& ops = *find_isa(isa).strings;
    std::vector<Vector> targets(b.n);
    std::vector<float> squared(b.n);
    bool uniform = b.n > 0;
    for (int64_t j = 0; j < b.n; ++j) {
        targets[j] = row_of(b, j);
        uniform = uniform && alike(targets[j], targets[0]) && is_float(targets[j]);
        if (uniform) squared[j] = ops.product(targets[j].format, targets[j].data, targets[j].data, targets[j].n);
    }
    const bool products = which != StringDistance::euclidean && which != StringDistance::manhattan;
    for (int64_t i = 0; i < a.n; ++i) {
        const Vector x = row_of(a, i);
        float* const line = out + i * b.n;
        uint8_t* const line_valid = valid + i * b.n;
        int64_t j = 0;
        if (uniform && products && alike(x, targets[0])) {
            const float xx = ops.product(x.format, x.data, x.data, x.n);
            for (; j + 4 <= b.n; j += 4) {
                const uint8_t* const four[4] = {targets[j].data, targets[j + 1].data, targets[j + 2].data,
                                                targets[j + 3].data};
                ops.product4(x.format, x.data, four, x.n, line + j);
                for (int r = 0; r < 4; ++r) {
                    line_valid[j + r] = 1;
                    if (which == StringDistance::inner_product) continue;
                    line[j + r] = of_cosine(which, cosine(xx, line[j + r], squared[j + r]));
                }
            }
        }
        for (; j < b.n; ++j) {
            line_valid[j] = alike(x, targets[j]);
            line[j] = line_valid[j] ? distance(which, x, targets[j], ops) : 0;
        }
    }
}

}  // namespace vicinal
