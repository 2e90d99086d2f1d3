// The stored rows: equal rows collapsed, ordered so that blocks are alike, coded, and packed into panels.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "copies.hpp"
#include "order.hpp"
#include "panels.hpp"
#include "rotation.hpp"

namespace vicinal {

class Stored {
public:
    Stored(const Rows& rows, const Coder& coder, const int64_t* groups, const Isa& isa, Pool& pool, const Watch& watch);
    Stored(const Stored&) = delete;
    Stored& operator=(const Stored&) = delete;

    const Layer& layer() const { return layer_; }
    int64_t size() const { return blocks_.size(); }
    int block() const { return blocks_.highest(); }
    int64_t first(int64_t block) const { return blocks_.first(block); }
    int64_t blocks() const { return blocks_.count(); }
    const Side& side(int64_t block) const { return layer_.side(block); }
    // Turns the rows, so that they have sketches; for good. A call that is stopped leaves codes that belong to nothing,
    // until it is called again: with null it ends what was begun.
    void turn(std::unique_ptr<const Rotation> rotation, Pool& pool, const Watch& watch);
    bool half_turned() const { return half_turned_; }
    const Rotation* rotation() const { return rotation_.get(); }
    // The highest k that sketches are known to pay for; 0 where none is.
    int64_t sketches_pay_for() const { return pays_for_; }
    void let_sketches_pay_for(int64_t k) { pays_for_ = std::max(pays_for_, k); }
    // Of turned rows only.
    const Layer& sketches() const { return *sketches_; }
    // Codes other rows as the stored ones are coded, from the centre of a region.
    void code(const Rows& rows, const int32_t* which, int n, int region, CodedBlock& out) const;
    // The given row that lies at this position; the first of its copies.
    int32_t row(int64_t position) const { return order_[position]; }
    // The copies of the row at this position, itself among them.
    std::pair<const int32_t*, const int32_t*> copies(int64_t position) const;
    const Copies& copies() const { return copies_; }
    const Coder& coder() const { return *coder_; }
    const Rows& rows() const { return rows_; }
    // Of rows as the coder scales them from a region's centre, stride apart: how far each block's middle is, squared
    // and less the row's own square; n x blocks().
    void distances_to_middles(const float* rows, int64_t n, int64_t stride, std::vector<float>& out) const;
    // Blocks in an order of their distance from this one's middle.
    std::vector<int32_t> blocks_by_distance(int64_t block) const;
    // Names this order and these tiles.
    uint64_t fingerprint() const { return fingerprint_; }

private:
    Stored(const Rows& rows, const Coder& coder, Copies&& copies, const Isa& isa, Pool& pool, const Watch& watch);
    Stored(const Rows& rows, const Coder& coder, Copies&& copies, Order&& order, const Isa& isa, Pool& pool,
           const Watch& watch);

    void put(int64_t block, const CodedBlock& coded);
    void code_turned(const Rows& rows, const int32_t* which, int n, float* room, CodedBlock& out) const;

    Rows rows_;
    const Coder* coder_;
    Copies copies_;
    Blocks blocks_;
    Panels panels_;
    Layer layer_;
    std::unique_ptr<const Rotation> rotation_;
    std::unique_ptr<Layer> sketches_;
    bool half_turned_ = false;
    int64_t pays_for_ = 0;
    std::vector<int32_t> order_;
    std::vector<int32_t> class_of_;  // position -> representative's place in copies_, where there are copies
    const RowOps* ops_;
    int64_t columns_;                     // blocks, padded for a projection
    std::vector<float> middles_;          // of each block's codes, scaled: dim x columns_
    std::vector<float> middles_squared_;  // of each middle, its square
    uint64_t fingerprint_ = 0;
};

}  // namespace vicinal
