// The stored rows: copies merged, sorted so that blocks have similar rows, coded, and packed into panels.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "copies.hpp"
#include "order.hpp"
#include "panels.hpp"
#include "projection.hpp"

namespace vicinal {

class Stored {
public:
    Stored(const Rows& rows, const Coder& coder, const int64_t* groups, const Isa& isa, Pool& pool,
           const Callbacks& callbacks);
    Stored(const Stored&) = delete;
    Stored& operator=(const Stored&) = delete;

    const Layer& layer() const { return layer_; }
    int64_t size() const { return blocks_.size(); }
    int max_block_size() const { return blocks_.max_block_size(); }
    int64_t first(int64_t block) const { return blocks_.first(block); }
    int64_t blocks() const { return blocks_.count(); }
    const BlockStats& stats(int64_t block) const { return layer_.stats(block); }
    // Adds sketches of each size of the projection; highest_radii: of each, that of the pairs that it is used for. If
    // the call is interrupted, there are none.
    void add_sketches(std::unique_ptr<const Projection> projection, std::vector<double> highest_radii, Pool& pool,
                      const Callbacks& callbacks);
    const Projection* projection() const { return projection_.get(); }
    // Makes the sketches of other rows, as `encode` does with their codes if the stored rows have sketches.
    void sketch(const Rows& rows, const int32_t* which, int n, Sketches& out) const;
    // The sketches in ascending order of their sizes; empty before add_sketches.
    size_t sketches() const { return sketches_.size(); }
    const Layer& sketch(size_t number) const { return sketches_[number]; }
    double highest_radius(size_t number) const { return highest_radii_[number]; }
    // Sorts the rows of each block by these radii of their positions, once. Returns the earlier place of each position,
    // or nothing where no row was moved: it was done before, or many radii are not known yet.
    std::vector<int32_t> arrange(const std::vector<double>& radii, Pool& pool);
    // The coarse codes; null where the coder has none.
    const Layer* coarse() const { return coarse_.get(); }
    // Codes other rows, such as queries, in the same way, from the centre of a region.
    void encode(const Rows& rows, const int32_t* which, int n, int region, CodedBlock& out) const;
    // The block that a position is in, and the layout of a panel.
    int64_t block_of(int64_t position) const;
    const Layout& layout() const { return panels_.layout(); }
    // The number of the given row at a position: the first of its copies.
    int32_t row(int64_t position) const { return order_[position]; }
    // All copies of the row at a position, with itself.
    std::pair<const int32_t*, const int32_t*> copies(int64_t position) const;
    const Copies& copies() const { return copies_; }
    const Coder& coder() const { return *coder_; }
    const Rows& rows() const { return rows_; }
    // Of n rows that CentredCoder::centred has computed, `stride` apart: the squared distance to each block's mean,
    // less the row's squared length; n x blocks().
    void distances_to_means(const float* rows, int64_t n, int64_t stride, std::vector<float>& out) const;
    // What sorts all blocks by the distance of their mean from that of this one.
    void distances_between(int64_t block, std::vector<float>& out) const;
    // Identifies the order of the rows and the block size.
    uint64_t fingerprint() const { return fingerprint_; }

private:
    Stored(const Rows& rows, const Coder& coder, Copies&& copies, const Isa& isa, Pool& pool,
           const Callbacks& callbacks);
    Stored(const Rows& rows, const Coder& coder, Copies&& copies, Order&& order, const Isa& isa, Pool& pool,
           const Callbacks& callbacks);

    void put(int64_t block, const CodedBlock& coded);

    Rows rows_;
    const Coder* coder_;
    Copies copies_;
    Blocks blocks_;
    Panels panels_;
    Layer layer_;
    std::unique_ptr<Layer> coarse_;
    std::unique_ptr<const Projection> projection_;
    std::unique_ptr<Panels> sketch_panels_;
    std::vector<Layer> sketches_;        // of each size
    std::vector<double> highest_radii_;  // of the pairs that each size is used for
    bool arranged_ = false;
    std::vector<int32_t> order_;
    std::vector<int32_t> class_of_;  // index in copies_ of the row at each position; empty where there are no copies
    const RowOps* ops_;
    int64_t columns_;                   // number of blocks, padded for RowOps::project
    std::vector<float> means_;          // mean of the scaled codes of each block: dim x columns_
    std::vector<float> squared_means_;  // squared lengths of the means
    uint64_t fingerprint_ = 0;
};

}  // namespace vicinal
