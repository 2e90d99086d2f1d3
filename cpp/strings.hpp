// Distances between vectors stored as byte strings: the elements, little-endian, followed by one byte for the format. A
// bit vector packs 64 elements into an integer, the first element in the highest bit, and has a byte with the number of
// unused bits before the format byte.
//
// Sums of floating-point products are float32 and have the same order on every machine: 32 lanes, of which lane j adds
// the elements j, j + 32, j + 64, ...; a product is rounded before it is added; at the end the upper half of the lanes
// is added to the lower until one is left. Sums of integers and bits are exact.
#pragma once

#include <cstdint>
#include <string>

namespace vicinal {

enum class StringDistance { inner_product, cosine_similarity, cosine_distance, euclidean, manhattan };

// A column of byte strings in the layout of Apache Arrow; `present`, the validity bitmap, may be null.
struct StringColumn {
    const int32_t* offsets = nullptr;  // n + 1 of them
    const uint8_t* bytes = nullptr;
    const uint8_t* present = nullptr;
    int64_t first = 0;  // the bit of the first row in `present`
    int64_t n = 0;
};

// Computes one distance for each row of a; b has one string or as many as a. Where `valid` is 0 the result is null: a
// null or empty string, different formats or lengths, an unknown format.
void string_distances(StringDistance, const StringColumn& a, const StringColumn& b, const std::string& isa, float* out,
                      uint8_t* valid);

// Computes the distances of all pairs: out and valid are a.n x b.n.
void string_distance_table(StringDistance, const StringColumn& a, const StringColumn& b, const std::string& isa,
                           float* out, uint8_t* valid);

// Loops over the elements of a pair, compiled for each instruction set.
struct StringOps {
    // The sums of x * x, x * y and y * y over n elements of format f32, f16 or bf16; pointers may be unaligned.
    void (*products)(int format, const uint8_t* x, const uint8_t* y, int64_t n, float* out);
    float (*product)(int format, const uint8_t* x, const uint8_t* y, int64_t n);
    float (*squares)(int format, const uint8_t* x, const uint8_t* y, int64_t n);    // of the differences
    float (*absolutes)(int format, const uint8_t* x, const uint8_t* y, int64_t n);  // of the differences
    // The sums of x * y of one x and four y.
    void (*product4)(int format, const uint8_t* x, const uint8_t* const* y, int64_t n, float* out);
    // Of bytes, the sums of x * x, x * y, y * y, of squared and of absolute differences.
    void (*integers)(bool is_signed, const uint8_t* x, const uint8_t* y, int64_t n, int64_t* out);
};

const StringOps& portable_strings();
const StringOps& avx2_strings();
const StringOps& avx512_strings();
const StringOps& neon_strings();

}  // namespace vicinal
