// Sketches of rows: a few coordinates that exclude most pairs, so that few pairs need their full codes.
//
// Let y = f (x - c) be a row as the dot coder centres and scales it, and A and B the maps of projection.hpp. With rho
// the length of B y, the sketch
//     s(y) = (A y, rho)
// brings no pair farther apart, so that a lower bound of |s(y) - s(y')| is a lower bound of the distance. Rho is coded
// as four equal coordinates (less a typical rho, the same for all rows, which shifts all sketches alike). Sketches have
// a `slack` of their own for the errors of rounding and of the projection. They are stored beside the codes.
//
// The directions are those in which the rows vary most, computed by a few steps of orthogonal iteration on a sample.
// For most embeddings a third of the coordinates excludes almost every pair; the pairs that pass are checked again with
// the full codes, one at a time.
//
// Choice of the size. Codes give approximate distances to the k-th neighbour for a sample of the queries, where no
// limits are known. Pairs of the sample with a sample of the stored rows then give the share of pairs that sketches of
// each size would let pass. The size of least estimated cost is taken, or none. The choice affects speed only. Sketches
// are made once; later calls use or ignore them.
#pragma once

#include "pool.hpp"
#include "stored.hpp"

namespace vicinal {

// Whether sketches are possible and the join is large enough to choose their size. `queries` null: a self-join. `size`
// is a number of coordinates, 0 for none, -1 to choose.
bool sketches_may_help(const Stored& stored, const Rows* queries, int64_t k, int size, const Isa& isa);

// Distances beyond which a cross join wants no pair: of each given query and each given stored row. Null where they are
// not known.
struct Limits {
    const double* queries = nullptr;
    const double* stored = nullptr;
};

// Decides whether a join uses sketches, and gives the stored rows sketches if they have none yet.
bool use_sketches(Stored& stored, const Rows* queries, int64_t k, int size, const Limits& limits, const Isa& isa,
                  Pool& pool, const Callbacks& callbacks);

}  // namespace vicinal
