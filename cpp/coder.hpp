// The interface of a coder (dot, absolute, bits): how rows become codes, which scores let a pair pass, and how an exact
// sum becomes a distance. The join drivers use nothing else of a coder.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "scan.hpp"

namespace vicinal {

class Projection;

// Statistics of a block of coded rows, from which thresholds and bounds are computed.
struct BlockStats {
    int size = 0;
    double scale = 1;
    double middle = 0;   // a code q stands for scale * (q + middle)
    int64_t terms = 0;   // coordinates of a row
    int32_t offset = 0;  // added to each code of a column by the scan
    double max_slack = 0;
    double max_length = 0;  // highest length of what the codes stand for
    double max_shift = 0;   // highest shift; inner product and absolute only
    double min_shift = 0;   // lowest shift; absolute only
    double max_norm = 0;    // highest scaled length of the given rows and of the centre, added; inner product only
    int region = 0;         // the rows are coded from the centre of this region
    double longest = 0;     // highest and lowest distance from the centre; both 0 where lengths are not kept
    double shortest = 0;
    const int32_t* squared_norms = nullptr;  // of the codes, without `middle`; of bits the number of ones
    const int32_t* sums = nullptr;
    const float* slacks = nullptr;
    const float* lengths =
        nullptr;  // distances from the centre, to 2^-20; NaN where the row cannot be coded; may be null
    const double* shifts = nullptr;
};

struct Thresholds {
    std::vector<int32_t> base, least_score;
    bool any = true;  // false where no pair can pass for any row
    explicit Thresholds(int size) : base(size), least_score(size) {}
};

// Number of rows to allocate for a block of n: the block is read as the rows of a ScanJob and packed into whole panels.
inline int64_t coded_rows(int64_t n) { return std::max(padded(n, kRowStep), padded(n, kPanel)); }

// Statistics of each coded row, and of the block.
struct RowStats {
    std::vector<int32_t> squared_norms, sums;
    std::vector<float> slacks, lengths;
    std::vector<double> shifts;
    BlockStats stats;
};

// Sketches of rows (sketch.hpp) of several sizes. The codes of a row have the remainders of all sizes, four bytes each,
// that of the largest first, and then the coordinates of the largest, of which each size has a part (Layer).
struct Sketches {
    int64_t row_bytes = 0;
    std::vector<int8_t> codes;
    std::vector<RowStats> sizes;
};

// Codes of rows, one after the other.
struct CodedBlock : RowStats {
    std::vector<int8_t> codes;
    RowStats coarse;  // of the coarse codes (coarse.hpp), where the coder has them
    Sketches sketches;
};

// A coder that subtracts one centre from all rows, scales and rounds. Its rows can be compared in float32 before
// coding, and may have sketches.
class CentredCoder {
public:
    // Writes factor * (x - centre) in float32, with zeros up to the next multiple of 8.
    virtual void centred(const Rows& rows, int64_t row, float* out) const = 0;
    // Whether rows can have sketches: distances are Euclidean, and codes have their full range.
    virtual bool can_sketch() const = 0;
    // Makes the sketches of rows at one scale. With coarse codes the statistics are those of the coarse codes of the
    // sketches.
    virtual void sketch(const Rows& rows, const int32_t* which, int n, const Projection& projection,
                        Sketches& out) const = 0;

protected:
    ~CentredCoder() = default;
};

class Coder {
public:
    virtual ~Coder() = default;

    // This coder if it is a CentredCoder, else null.
    virtual const CentredCoder* centred_coder() const { return nullptr; }

    // Number of regions. Each has a centre, and all rows of a block belong to one region.
    virtual int regions() const { return 1; }
    virtual int region(const Rows&, int64_t) const { return 0; }
    // The scale that the row needs. Blocks are made of rows of similar peaks.
    virtual double peak(const Rows& rows, int64_t row, int region) const = 0;
    // Codes rows, as the rows of a ScanJob, from the centre of one region.
    virtual void encode(const Rows& rows, const int32_t* which, int n, int region, double highest_peak,
                        CodedBlock& out) const = 0;

    // The radius, in the coder's own unit, of a row that keeps neighbours up to this distance.
    virtual double radius_of(double distance) const = 0;
    // A radius that excludes all pairs.
    virtual double empty_radius() const = 0;
    // Computes the thresholds of a block of rows and a block of columns. Returns false where a base was clipped, so
    // that the scores give no upper bounds.
    virtual bool thresholds(const BlockStats& rows, const double* row_radii, const BlockStats& columns,
                            const double* column_radii, Thresholds& row_thresholds,
                            Thresholds& column_thresholds) const = 0;
    // Computes a lower bound of the radius of each pair. Columns of the survivors count from first_column of the block.
    virtual void lower_bounds(const BlockStats& rows, const BlockStats& columns, int first_column,
                              const Survivor* survivors, size_t n, float* out) const = 0;
    // An upper bound of the distance between the row and any of the columns whose score is at least this.
    virtual double upper_bound(const BlockStats& rows, int row, const BlockStats& columns, int32_t score) const = 0;
    // Computes an upper bound of the radius of each pair, as lower_bounds computes lower ones.
    virtual void upper_bounds(const BlockStats& rows, const BlockStats& columns, int first_column,
                              const Survivor* survivors, size_t n, float* out) const;

    virtual Sum sum() const = 0;
    virtual double distance_of(double sum) const = 0;
    virtual int64_t row_bytes() const = 0;
    virtual int group_bytes() const = 0;  // consecutive coordinates in a panel
    virtual uint8_t offset() const = 0;   // added to each code in a panel
    virtual const ScanOps& scan(const Isa& isa) const = 0;
    // Whether rows have coarse codes (coarse.hpp) too, for a scan that is faster and excludes fewer pairs.
    virtual bool coarse() const { return false; }
};

}  // namespace vicinal
