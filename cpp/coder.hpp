// What a kernel (dot, absolute, bits) must say for the drivers to be able to join, search and collect with it: how rows
// become codes, which whole-number scores let a pair pass, and what the exact sum of a pair means as a distance.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "scan.hpp"

namespace vicinal {

class Rotation;

// What the thresholds need to know of a block of coded rows.
struct Side {
    int size = 0;
    double scale = 1;
    double slack_highest = 0;
    double length_highest = 0;  // of the scaled codes
    double shift_highest = 0;   // of the shifts; inner product and absolute only
    double shift_lowest = 0;    // absolute only
    double reach = 0;           // highest |x| of the given rows, scaled; inner product only
    int region = 0;             // the centre that the rows are coded from
    double longest = 0;         // true lengths from the centre, highest and lowest; both 0 where they are not kept
    double shortest = 0;
    const int32_t* squared_norms = nullptr;  // of the codes; the bits set
    const int32_t* sums = nullptr;
    const float* slacks = nullptr;
    const float* lengths = nullptr;  // true, to 2^-20; NaN where they are beyond coding; may be null
    const double* shifts = nullptr;
};

struct Keys {
    std::vector<int32_t> base, floor;
    bool some = true;  // false where no pair can matter to any row
    explicit Keys(int size) : base(size), floor(size) {}
};

// Rows whose codes a block of n makes room for: it is read as the rows of a ScanJob and packed into whole panels.
inline int64_t coded_rows(int64_t n) { return std::max(padded(n, kRowStep), padded(n, kPanel)); }

// What the thresholds need to know of coded rows, and where it is kept.
struct Marks {
    std::vector<int32_t> squared_norms, sums;
    std::vector<float> slacks, lengths;
    std::vector<double> shifts;
    Side side;
};

// Rows coded one after the other; of turned rows their sketches too (sketch.hpp).
struct CodedBlock : Marks {
    std::vector<int8_t> codes;
    std::vector<int32_t> tails;  // of each row four codes more, which only its sketch has; empty where there are none
    Marks sketch;
};

// A coder whose codes are a row's own coordinates, moved to one centre for all rows, scaled and rounded. Its rows can
// be compared in float32 before they are coded, and some can be rotated.
class CentredCoder {
public:
    // factor * (x - centre) in float32, zeros up to the next multiple of 8.
    virtual void centred(const Rows& rows, int64_t row, float* out) const = 0;
    // Whether rows can be rotated before they are coded (rotation.hpp): their distances are Euclidean, and a rotated
    // row's codes and its sketch (sketch.hpp) fit.
    virtual bool can_rotate() const = 0;
    // Codes the rows given rotated, with their sketches, at one scale that serves both; `rotated` is working memory for
    // n x rotation.dim_padded() values.
    virtual void code_rotated(const Rows& rows, const int32_t* which, int n, const Rotation& rotation, float* rotated,
                              CodedBlock& out) const = 0;

protected:
    ~CentredCoder() = default;
};

class Coder {
public:
    virtual ~Coder() = default;

    // This coder where it is a CentredCoder, else null.
    virtual const CentredCoder* centred_coder() const { return nullptr; }

    // How many centres there are: rows are coded from one each, and blocks hold rows of one.
    virtual int regions() const { return 1; }
    virtual int region(const Rows&, int64_t) const { return 0; }
    // How large a scale the row asks for; blocks are made of rows of like peaks.
    virtual double peak(const Rows& rows, int64_t row, int region) const = 0;
    // Codes the rows named, as the rows of a ScanJob, all from the centre of a region.
    virtual void code(const Rows& rows, const int32_t* which, int n, int region, double highest_peak,
                      CodedBlock& out) const = 0;

    // The threshold of a row that keeps neighbours up to this distance, in the coder's own unit.
    virtual double radius(double distance) const = 0;
    // A radius that no pair lies within.
    virtual double nowhere() const = 0;
    // False where a base had to be cut off, so that scores between these blocks say nothing of upper bounds.
    virtual bool keys(const Side& rows, const double* row_radii, const Side& columns, const double* column_radii,
                      Keys& row_keys, Keys& column_keys) const = 0;
    // A radius below which each pair cannot be. The survivors' columns count from first_column of the block.
    virtual void lower(const Side& rows, const Side& columns, int first_column, const Survivor* survivors, size_t n,
                       float* out) const = 0;
    // A distance that no pair of this row and any of the columns exceeds which has this score or a higher one.
    virtual double upper(const Side& rows, int row, const Side& columns, int32_t score) const = 0;

    virtual Sum sum() const = 0;
    virtual double finish(double sum) const = 0;
    virtual int64_t row_bytes() const = 0;
    virtual int group_bytes() const = 0;  // coordinates that lie together in a panel
    virtual uint8_t offset() const = 0;   // what a panel's byte is above a row's
    virtual const ScanOps& scan(const Isa& isa) const = 0;
};

}  // namespace vicinal
