// Distances between vectors that are stored as byte strings: the elements, little-endian, then one byte that names
// their format. A bit vector packs 64 elements into one integer, the first element highest, and has a byte with the
// number of unused bits before its format byte.
//
// Sums of floating-point products are taken in float32 and have one order on every machine: 32 lanes, lane j takes the
// elements j, j + 32, j + 64, ...; a product is rounded before it is added; at the end the upper half of the lanes is
// added to the lower until one is left. Sums over whole numbers and bits are exact.
#pragma once

#include <cstdint>
#include <string>

namespace vicinal {

enum class StringDistance { inner_product, cosine_similarity, cosine_distance, euclidean, manhattan };

// A column as Apache Arrow keeps it; the bit map of what is not null may be absent.
struct StringColumn {
    const int32_t* offsets = nullptr;  // n + 1
    const uint8_t* bytes = nullptr;
    const uint8_t* present = nullptr;
    int64_t first = 0;  // the bit of the first row in `present`
    int64_t n = 0;
};

// One distance a row, b being one string or as many as a. Where `valid` is 0 the result is null: a null or empty
// string, formats or lengths that differ, an unknown format.
void string_distances(StringDistance, const StringColumn& a, const StringColumn& b, const std::string& isa, float* out,
                      uint8_t* valid);

// All pairs: out and valid are a.n x b.n.
void string_distance_table(StringDistance, const StringColumn& a, const StringColumn& b, const std::string& isa,
                           float* out, uint8_t* valid);

// Loops over the elements of one pair, compiled for each instruction set.
struct StringOps {
    // Three sums over n elements of format f32, f16 or bf16: x * x, x * y, y * y; the pointers may be unaligned.
    void (*products)(int format, const uint8_t* x, const uint8_t* y, int64_t n, float* out);
    float (*product)(int format, const uint8_t* x, const uint8_t* y, int64_t n);
    float (*squares)(int format, const uint8_t* x, const uint8_t* y, int64_t n);    // of the differences
    float (*absolutes)(int format, const uint8_t* x, const uint8_t* y, int64_t n);  // of the differences
    // x * y of one x and four y.
    void (*product4)(int format, const uint8_t* x, const uint8_t* const* y, int64_t n, float* out);
    // x * x, x * y, y * y, the squared and the absolute differences of bytes.
    void (*whole)(bool is_signed, const uint8_t* x, const uint8_t* y, int64_t n, int64_t* out);
};

const StringOps& portable_strings();
const StringOps& avx2_strings();
const StringOps& avx512_strings();

}  // namespace vicinal
