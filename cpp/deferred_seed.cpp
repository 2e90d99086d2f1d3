// The first radii of a DeferredJoin, and what is repeated where a radius was too low.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "deferred_join.hpp"
#include "topk_join.hpp"

namespace vicinal {
namespace {

constexpr int64_t kStride = 8;     // one of so many rows is in a sample
constexpr double kDeviations = 3;  // that the number of a row's neighbours in a sample may be above the mean
constexpr int64_t kLeastSample = 64;

// The score of this rank, or a little less; the lowest number where there are fewer. Counts, because a selection takes
// branches that cannot be predicted.
int32_t score_of_rank(const int32_t* scores, int n, int rank) {
    constexpr int32_t kNone = std::numeric_limits<int32_t>::min();
    int32_t highest = kNone, lowest = std::numeric_limits<int32_t>::max();
    for (int c = 0; c < n; ++c) {
        highest = std::max(highest, scores[c]);
        lowest = std::min(lowest, scores[c] == kNone ? highest : scores[c]);
    }
    if (highest == kNone) return kNone;
    // At least `rank` scores reach `low`, and fewer reach `high`.
    int64_t low = lowest, high = int64_t{highest} + 1;
    const auto reached = [&](int32_t least) {
        int32_t count = 0;
        for (int c = 0; c < n; ++c) count += scores[c] >= least;
        return count;
    };
    if (reached(lowest) < rank) return kNone;
    for (int count = n; count > rank + rank / 16 && high - low > 1;) {
        const int64_t middle = (low + high) / 2;
        if (const int own = reached(static_cast<int32_t>(middle)); own >= rank) {
            low = middle;
            count = own;
        } else {
            high = middle;
        }
    }
    return static_cast<int32_t>(low);
}

int64_t bytes_of(DType type) {
    switch (type) {
        case DType::f64: return 8;
        case DType::f32: return 4;
        case DType::f16: return 2;
        default: return 1;
    }
}

}  // namespace

// Gives the rows of a block their first radii, from a sample of the blocks near them.
void DeferredJoin::seed(int64_t row_block) {
    std::vector<int32_t> sample;  // positions
    int64_t near = 0;
    const std::vector<int32_t>& blocks = plan_.seeds[row_block];
    for (const int32_t block : blocks) {
        if (stored_.stats(block).region != stored_.stats(blocks[0]).region) continue;
        near += stored_.stats(block).size;
        for (int i = 0; i < stored_.stats(block).size; i += kStride) {
            sample.push_back(static_cast<int32_t>(stored_.first(block)) + i);
        }
    }
    if (static_cast<int64_t>(sample.size()) < kLeastSample) return;
    seed_from_sample(row_block, sample, static_cast<double>(sample.size()) / static_cast<double>(near));
}

// Where a row's k nearest of the near blocks are spread over them by chance, hardly ever more than `rank` are in the
// sample. So the distance of that rank in the sample is likely above that of the k-th neighbour.
void DeferredJoin::seed_from_sample(int64_t row_block, const std::vector<int32_t>& sample, double share) {
    constexpr int32_t kNone = std::numeric_limits<int32_t>::min();
    const Coder& coder = stored_.coder();
    const auto n = static_cast<int>(sample.size());
    const int64_t of_first = stored_.stats(stored_.block_of(sample[0])).size;
    const double mean = share * static_cast<double>(k_);
    const auto rank = static_cast<int>(std::ceil(mean + kDeviations * std::sqrt(mean * (1 - share)))) + 1;
    if (rank >= n) return;
    std::vector<int32_t> which(n);
    for (int i = 0; i < n; ++i) which[i] = stored_.row(sample[i]);
    const int region = rows_.region(stored_.block_of(sample[0]));
    CodedBlock coded;
    stored_.encode(stored_.rows(), which.data(), n, stored_.stats(stored_.block_of(sample[0])).region, coded);
    const Blocks blocks({0, n});
    const Layout& layout = stored_.layout();
    Panels panels((n + kPanel - 1) / kPanel, layout);
    panels.pack(0, coded.codes.data(), n);
    const bool coarse = stored_.coarse() != nullptr;
    Layer layer(blocks, panels, coder.sum() == Sum::products || coder.sum() == Sum::absolutes,
                coder.sum() == Sum::squares, coarse);
    if (coarse) layer.put(0, coded.coarse);
    else layer.put(0, coded);
    Tiles tiles(layer, coder, context_.isa, rows_.max_block_size());
    if (rows_.self()) tiles.set_stored_rows(coarse ? *stored_.coarse() : stored_.layer(), row_block);
    else tiles.set_rows(rows_.queries()->at(row_block, region));
    const int64_t first_row = rows_.first(row_block);
    const std::vector<double> any(std::max<int64_t>(n, rows_.max_block_size()), kInfinity);
    tiles.scores(0, any.data(), [&](int i, int32_t* scores) {
        if (rows_.self() && first_row + i >= sample[0] && (first_row + i - sample[0]) % kStride == 0 &&
            first_row + i < sample[0] + of_first)
            scores[(first_row + i - sample[0]) / kStride] = kNone;
        for (int c = 0; groups_.rows && c < n; ++c) {
            if (!allowed(first_row + i, sample[c])) scores[c] = kNone;
        }
        const int32_t score = score_of_rank(scores, n, rank);
        if (score == kNone) return;
        const Survivor pair{static_cast<uint16_t>(i), 0, score + tiles.row_base(i)};
        float lower, upper;
        coder.lower_bounds(tiles.rows(), layer.stats(0), 0, &pair, 1, &lower);
        coder.upper_bounds(tiles.rows(), layer.stats(0), 0, &pair, 1, &upper);
        lower_radius(radii_, first_row + i, estimate_of(lower, upper));
    });
}

// Makes the lists of some rows again, by a search with proven radii.
void DeferredJoin::repeat(const std::vector<int64_t>& positions) {
    const Matrix& given = rows_.rows().matrix;
    const auto n = static_cast<int64_t>(positions.size());
    const int64_t item = bytes_of(given.dtype);
    std::vector<std::byte> copied(n * given.dim * item);
    std::vector<double> inverse_norms;
    std::vector<int64_t> groups;
    for (int64_t i = 0; i < n; ++i) {
        const int32_t row = rows_.row(positions[i]);
        for (int64_t c = 0; c < given.dim; ++c) {
            std::memcpy(&copied[(i * given.dim + c) * item], rows_.rows().at(row) + c * given.column_stride, item);
        }
        if (rows_.rows().inverse_norms) inverse_norms.push_back(rows_.rows().inverse_norms[row]);
        if (groups_.rows) groups.push_back(groups_.rows[row]);
    }
    Rows some = rows_.rows();
    some.matrix.data = copied.data();
    some.matrix.n_vectors = n;
    some.matrix.row_stride = given.dim * item;
    some.matrix.column_stride = item;
    if (some.inverse_norms) some.inverse_norms = inverse_norms.data();
    const int64_t wanted = rows_.self() ? k_ + 1 : k_;  // a stored row may find itself
    std::vector<int64_t> indices(n * wanted);
    std::vector<float> distances(n * wanted);
    Lists lists(indices.data(), distances.data(), wanted);
    lists.clear(0, n);
    QueryBlocks blocks(context_, some);
    const JoinRows rows(stored_, &blocks);
    const JoinPlan plan = search_plan(context_, blocks);
    int64_t finished = 0;
    TopKJoin(context_, rows, plan, {groups_.rows ? groups.data() : nullptr, groups_.columns}, lists).run(finished);
    std::vector<Neighbour> entries;
    for (int64_t i = 0; i < n; ++i) {
        const int32_t row = rows_.row(positions[i]);
        lists.sorted(i, entries);
        if (rows_.self())
            std::erase_if(entries, [&](const Neighbour& e) { return e.row == static_cast<uint32_t>(row); });
        lists_.fill(row, entries.data(), entries.data() + entries.size());
    }
}

}  // namespace vicinal
