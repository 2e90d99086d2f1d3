// The directions in which the rows vary most, in descending order, by a few steps of orthogonal iteration on a sample.
#pragma once

#include <cstdint>
#include <vector>

#include "pool.hpp"
#include "stored.hpp"

namespace vicinal {

class Directions {
public:
    // The coder of the stored rows has one centre.
    Directions(const Stored& stored, int columns, const RowOps& ops, Pool& pool, const Callbacks& callbacks);

    int columns() const { return columns_; }
    // values()[coordinate * columns() + column].
    const std::vector<float>& values() const { return values_; }

    // Reads a row as the coder centres and scales it, with zeros up to stride(); a value that is too large becomes 0.
    void read(const Rows& rows, int64_t row, float* out) const;
    int64_t stride() const { return stride_; }
    // The inner products of n such rows, stride() apart, with the directions.
    void project(const std::vector<float>& x, int64_t n, std::vector<float>& out) const;

private:
    void project_across(const std::vector<float>& sample, int64_t sampled, const std::vector<float>& products,
                        std::vector<float>& out) const;
    void orthonormalise();

    const CentredCoder& coder_;
    const RowOps& ops_;
    Pool& pool_;
    const Callbacks& callbacks_;
    int columns_;
    int64_t dim_, stride_;
    std::vector<float> values_;
};

}  // namespace vicinal
