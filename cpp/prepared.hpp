// What every call makes of a matrix first: its rows, checked, with their inverse norms, and the coder of the metric.
#pragma once

#include <memory>
#include <vector>

#include "centre.hpp"
#include "coder.hpp"
#include "pool.hpp"

namespace vicinal {

// Rows, with their inverse norms if the metric normalises them.
struct Normalised {
    Rows rows;
    std::vector<double> inverse_norms;

    Normalised(const Matrix& matrix, Metric metric, const RowOps& ops, Pool& pool, const Callbacks& callbacks);
};

// `coarse`: codes are scanned as coarse codes first, where the metric has them. `sampled`: what the centre of the dot
// kernel is estimated from.
std::unique_ptr<Coder> make_coder(const Rows& rows, Metric metric, const RowOps& ops, bool coarse = false,
                                  const Sampled& sampled = {});

}  // namespace vicinal
