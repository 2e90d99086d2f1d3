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
// Choice of the sizes. The farther apart pairs may be, the more coordinates are needed to exclude most of them, and the
// distances to the k-th neighbour of different rows differ much: so rows have sketches of up to three sizes, and a pair
// takes the one that is made for its radius, or none (Filter). Pairs of a sample of the rows and of the stored rows
// give the share that each size would let pass of the pairs of similar radii; where no radii are known, codes give
// approximate ones for a part of the sample. The sizes and limits of least estimated cost are taken, or none. The
// choice affects speed only. Sketches are made once, for all later calls.
#pragma once

#include "join_rows.hpp"
#include "pool.hpp"

namespace vicinal {

// Whether sketches are possible and there are some, or the join is large enough to choose their sizes. `size` is a
// number of coordinates, 0 for none, -1 to choose; where a number is given, half of the rows have sketches of half of
// it.
bool sketches_may_help(const Stored& stored, const JoinRows& rows, int size, const Isa& isa);

// The radii of the rows of a join and of the stored rows, by position; null where they are not known, and in a
// self-join those of the stored rows.
struct JoinRadii {
    const Radii* rows = nullptr;
    const Radii* columns = nullptr;
};

// Decides whether a join uses sketches, and gives the stored rows sketches if they have none yet.
bool use_sketches(Stored& stored, const JoinRows& rows, int64_t k, int size, const JoinRadii& radii, const Isa& isa,
                  Pool& pool, const Callbacks& callbacks);

}  // namespace vicinal
