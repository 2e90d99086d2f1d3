// See query_blocks.hpp.
#include "query_blocks.hpp"

#include <algorithm>
#include <array>
#include <numeric>

namespace vicinal {
namespace {

constexpr int64_t kChunk = 64;  // queries in a task
constexpr int kChoices = 3;     // stored blocks that a query votes for
constexpr size_t kNear = 9;     // at most so many stored blocks are near a block of queries

}  // namespace

QueryBlocks::QueryBlocks(const Context& context, const Rows& queries)
    : stored_(context.stored),
      coder_(stored_.coder()),
      queries_(queries),
      size_(stored_.max_block_size()),
      order_(queries.matrix.n_vectors) {
    std::iota(order_.begin(), order_.end(), 0);
    near_.resize(count());
    blocks_.resize(count() * coder_.regions());
    const CentredCoder* centred = coder_.centred_coder();
    if (centred && stored_.blocks() > 1) {
        sort(*centred, context);
    } else if (stored_.blocks() > 0) {
        for (auto& near : near_) near = {0};
    }
}

void QueryBlocks::sort(const CentredCoder& coder, const Context& context) {
    const auto n = static_cast<int64_t>(order_.size());
    const int64_t stride = padded(queries_.matrix.dim, 8), blocks = stored_.blocks();
    const auto choices = static_cast<int>(std::min<int64_t>(kChoices, blocks));
    std::vector<std::array<int32_t, kChoices>> nearest(n);
    context.pool.run((n + kChunk - 1) / kChunk, context.callbacks, [&](int, int64_t task) {
        thread_local std::vector<float> moved, squared;
        thread_local std::vector<int32_t> ranked;
        const int64_t first = task * kChunk, taken = std::min(kChunk, n - first);
        moved.resize(taken * stride);
        for (int64_t i = 0; i < taken; ++i) coder.centred(queries_, first + i, &moved[i * stride]);
        stored_.distances_to_means(moved.data(), taken, stride, squared);
        ranked.resize(blocks);
        for (int64_t i = 0; i < taken; ++i) {
            const float* own = &squared[i * blocks];
            std::iota(ranked.begin(), ranked.end(), 0);
            std::partial_sort(ranked.begin(), ranked.begin() + choices, ranked.end(),
                              [&](int32_t a, int32_t b) { return own[a] != own[b] ? own[a] < own[b] : a < b; });
            std::copy_n(ranked.begin(), choices, nearest[first + i].begin());
        }
    });
    std::sort(order_.begin(), order_.end(),
              [&](int32_t a, int32_t b) { return nearest[a] != nearest[b] ? nearest[a] < nearest[b] : a < b; });
    for (int64_t block = 0; block < count(); ++block) {
        std::vector<std::pair<int, int32_t>> votes(blocks);  // negated votes, stored block
        for (int64_t b = 0; b < blocks; ++b) votes[b].second = static_cast<int32_t>(b);
        for (int i = 0; i < size(block); ++i) {
            for (int rank = 0; rank < choices; ++rank)
                votes[nearest[row(first(block) + i)][rank]].first -= kChoices - rank;
        }
        std::sort(votes.begin(), votes.end());
        for (const auto& [less, of] : votes) {
            if (less < 0 && near_[block].size() < kNear) near_[block].push_back(of);
        }
    }
}

void QueryBlocks::encode(int64_t block) {
    for (int region = 0; region < coder_.regions(); ++region) {
        stored_.encode(queries_, &order_[first(block)], size(block), region,
                       blocks_[block * coder_.regions() + region]);
    }
}

void QueryBlocks::sketch(int64_t block) {
    stored_.sketch(queries_, &order_[first(block)], size(block), blocks_[block].sketches);
}

static void arrange_rows(RowStats& rows, std::span<const int32_t> order) {
    const auto arrange = [&](auto& values) {
        if (!values.empty()) vicinal::arrange(values.data(), order);
    };
    arrange(rows.squared_norms);
    arrange(rows.sums);
    arrange(rows.slacks);
    arrange(rows.lengths);
    arrange(rows.shifts);
}

static void arrange_codes(std::vector<int8_t>& codes, int64_t row_bytes, std::span<const int32_t> order) {
    const std::vector<int8_t> given(codes);
    for (size_t i = 0; i < order.size(); ++i) {
        std::copy_n(&given[order[i] * row_bytes], row_bytes, &codes[i * row_bytes]);
    }
}

std::vector<int32_t> QueryBlocks::arrange(const std::vector<double>& radii) {
    std::vector<int32_t> places(order_.size());
    for (int64_t block = 0; block < count(); ++block) {
        const std::span<int32_t> order(&places[first(block)], size(block));
        order_by(&radii[first(block)], order);
        vicinal::arrange(&order_[first(block)], order);
        for (int region = 0; region < coder_.regions(); ++region) {
            CodedBlock& coded = blocks_[block * coder_.regions() + region];
            arrange_rows(coded, order);
            arrange_codes(coded.codes, coder_.row_bytes(), order);
            arrange_rows(coded.coarse, order);
            for (RowStats& size : coded.sketches.sizes) arrange_rows(size, order);
            if (region == 0) arrange_codes(coded.sketches.codes, coded.sketches.row_bytes, order);
        }
        for (int32_t& place : order) place += static_cast<int32_t>(first(block));
    }
    return places;
}

}  // namespace vicinal
