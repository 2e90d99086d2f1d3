// Sketches of rows: a few coordinates that tell most pairs apart, so that a scan of the sketches spares a scan of the
// codes.
//
// Let Q have orthonormal columns, and y = f (x - c) a row as the dot coder moves and scales it. The stored rows are
// turned (rotation.hpp), so that the last m coordinates of z = Q'y are those in which the rows vary most, and are coded
// so. With rho the length of the others,
//     s(x) = (z_last, rho)
// brings no pair farther apart: |y - y'|^2 = |z_last - z'_last|^2 + |z_others - z'_others|^2, and the lengths of two
// rows differ by no more than the rows. So whatever bounds |s - s'| from below bounds the distance. A sketch is
// therefore the end of a row's codes with rho behind it, as a fourth of four coordinates (less a usual rho, the same
// for all, which moves all sketches alike), and takes no memory but for rho: the scan of the sketches reads the end of
// the panels, that of the codes all but rho. What rounding lost of a sketch, and what the turn did, is in its own
// `slack`.
//
// With the directions in which the rows vary most (a few steps of orthogonal iteration on a sample) a third of the
// coordinates is enough to rule out almost every pair of most embeddings; what passes is looked at again with the full
// codes, a pair at a time.
//
// The choice of the size: for a sample of the rows that ask codes alone tell about how far their k-th neighbours are;
// pairs of them with a sample of the stored rows then tell what share of pairs a sketch of each size would let pass,
// and the size that costs least is taken, or none. A choice can only cost time. Rows are turned once; later calls take
// the sketches as they are, or leave them.
#pragma once

#include "pool.hpp"
#include "stored.hpp"

namespace vicinal {

// Whether the rows and the pairs are of a kind and so many that a choice is worth its time, or it is made. `queries`
// are the rows that ask; null where the stored rows do. `size` -1 chooses; another number of coordinates is taken as it
// is, 0 for none.
bool sketches_may_pay(const Stored& stored, const Rows* queries, int64_t k, int size, const Isa& isa);

// Whether to go through sketches; turns the stored rows where they have none yet.
bool take_sketches(Stored& stored, const Rows* queries, int64_t k, int size, const Isa& isa, Pool& pool,
                   const Watch& watch);

}  // namespace vicinal
