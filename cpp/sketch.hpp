// A sketch of the stored rows: a few coordinates that tell most pairs apart, so that a scan of the sketches spares a
// scan of the codes.
//
// Let Q have m orthonormal columns, and y = f (x - c) a row as the dot coder moves and scales it. Then
//     z(x) = (Q'y, rho)  with  rho = |y - QQ'y| = sqrt(|y|^2 - |Q'y|^2)
// brings no pair farther apart: |y - y'|^2 = |Q'(y - y')|^2 + |(I - QQ')(y - y')|^2 >= |Q'y - Q'y'|^2 + (rho - rho')^2.
// So whatever bounds |z - z'| from below bounds the distance, and z is coded like a row of m + 1 coordinates, its errors
// part of `slack`. With the directions in which the rows vary most (a few steps of orthogonal iteration on a sample)
// a sixth of the coordinates is enough to rule out almost every pair of most embeddings; what passes is
// looked at again with the full codes, a pair at a time.
//
// The errors. The columns computed are P = Q + E, with Q the nearest orthonormal ones: |E| <= |P'P - I|, which is
// measured. A float32 sum of dim products is off by at most dim 2^-24 (1 + 2^-10) |P_j||y|, m such sums by sqrt(m) times
// that; y itself is known to 2^-20 |y| (dot_codes.hpp). Let e |y| be the sum of the three: then |y|^2 - |P'y|^2 is off by
// at most d = 2 e (1 + e) |y|^2, and its root by the lesser of sqrt(d) and d / root.
//
// The choice of the size: for a sample of the rows that ask codes alone tell about how far their k-th neighbours are;
// pairs of them with a sample of the stored rows then tell what share of pairs a sketch of each size would let pass, and
// the size that costs least is taken, or none. A choice can only cost time.
#pragma once

#include <memory>

#include "dot_codes.hpp"
#include "pool.hpp"
#include "stored.hpp"

namespace vicinal {

// Nearly orthonormal columns: directions[coordinate][column].
struct Basis {
    std::vector<float> directions;
    int columns = 0;
    double error = 0;  // how far they can be from the nearest orthonormal ones, as a share
};

// Sketches of rows, and those of the stored rows as a layer.
class Sketch {
public:
    // The first size - 1 columns of the basis, and what they leave of a row.
    Sketch(const Stored& stored, const DotCoder& coder, Basis&& basis, int size, const Isa& isa, Pool& pool,
           const Watch& watch);

    const Layer& layer() const { return layer_; }
    int size() const { return static_cast<int>(layout_.dim); }
    // The sketches of the rows named, as the rows of a ScanJob.
    void code(const Rows& rows, const int32_t* which, int n, CodedBlock& out) const;

private:
    const DotCoder& coder_;
    const RowOps& ops_;
    int64_t dim_;
    Basis basis_;
    Layout layout_;
    Layer layer_;
};

// Whether the rows and the pairs are of a kind and so many that a choice is worth its time, or a size is given.
bool sketches_may_pay(const Stored& stored, const Rows* queries, int size, const Isa& isa);

// Null where no sketch pays. `queries` are the rows that ask; null where the stored rows do. `size` -1 chooses; another
// number of coordinates is taken as it is, 0 for none.
std::unique_ptr<Sketch> make_sketch(const Stored& stored, const Rows* queries, int64_t k, int size, const Isa& isa,
                                    Pool& pool, const Watch& watch);

}  // namespace vicinal
