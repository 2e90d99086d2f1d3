// See sketch.hpp.
#include "sketch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <optional>

#include "projection.hpp"
#include "tile.hpp"

namespace vicinal {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// With fewer rows and pairs, or rows and products of all pairs, the choice of a size takes too long.
constexpr int64_t kSmallest = 16384, kFewestPairs = 128 << 20;
constexpr int64_t kSmallestWide = 4096;
constexpr double kFewestProducts = 1LL << 35;
constexpr double kSlowest = 16;                   // products a cycle; in slower scans products do not dominate the cost
constexpr int kLargest = 192;                     // coordinates of a sketch
constexpr int64_t kSample = 2048, kFewer = 1024;  // rows of a sample, and of one of a small set
constexpr int64_t kTried = 384;                   // rows whose pairs are compared, besides the sample
constexpr int64_t kMeasured = 96;                 // rows among them whose radius is estimated
constexpr int kIterations = 3;                    // one less of a small set
constexpr int64_t kFew = 32768;                   // rows of a small set, in which the time for directions shows
constexpr double kScale = 0.8;                    // error of sketches relative to that of codes
constexpr int64_t kChunk = 64;                    // rows in a task
// Estimated costs, in processor cycles: of a pair in the scan besides its products, and of a pair that passes.
constexpr double kPairCycles = 0.4;
constexpr double kPassedCycles = 70;
// A pair that passes also costs dim divided by the lesser of two rates: so many bytes a cycle, or this share of the
// products a cycle of the scan.
constexpr double kPassedBytesACycle = 20;
constexpr double kPassedAProduct = 0.25;

double pair_count(const Stored& stored, const Rows* queries) {
    const auto n = static_cast<double>(stored.size());
    return queries ? n * static_cast<double>(queries->matrix.n_vectors) : n * n / 2;
}

int largest_size(const Stored& stored) {
    return static_cast<int>(std::min<int64_t>(stored.rows().matrix.dim / 2, kLargest) / kProjected * kProjected);
}

// Number of directions in a sketch of `size` coordinates: without the four coordinates of the remainder.
int sketch_directions(int size) { return size - 4; }

// Codes of rows too far from the centre would be equal.
bool all_rows_close(const Stored& stored) {
    for (int64_t block = 0; block < stored.blocks(); ++block) {
        if (!(stored.stats(block).longest < 1e14)) return false;
    }
    return true;
}

// Computes the directions and chooses the size.
class Sketcher {
public:
    Sketcher(const Stored& stored, const Rows* queries, const Limits& limits, const Isa& isa, Pool& pool,
             const Callbacks& callbacks)
        : stored_(stored),
          queries_(queries),
          limits_(limits),
          coder_(*stored.coder().centred_coder()),
          ops_(*isa.rows),
          isa_(isa),
          pool_(pool),
          callbacks_(callbacks),
          dim_(stored.rows().matrix.dim),
          stride_(padded(dim_, 8)) {}

    // Computes the directions in which a sample of the rows varies most, in descending order.
    void find_directions(int columns) {
        columns_ = columns;
        const int64_t n = stored_.size();
        const bool few = n < kFew;
        sampled_ = few ? std::min(n, kFewer) : std::min(kSample, n / 32);
        sample_.assign(sampled_ * stride_, 0);
        each(sampled_,
             [&](int64_t i) { read_centred(stored_.rows(), stored_.row(i * n / sampled_), &sample_[i * stride_]); });
        auto& directions = directions_;
        directions.resize(dim_ * columns);
        uint64_t state = 1;
        for (float& value : directions) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            value = static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-31f;
        }
        std::vector<float> products(sampled_ * columns);
        for (int i = few; i < kIterations; ++i) {
            project(sample_, sampled_, stride_, dim_, directions, products);
            std::vector<float> next(directions.size());
            project_across(products, next);
            directions.swap(next);
            orthonormalise(ops_, directions, dim_, columns);
        }
    }

    // Takes the directions of the sketches that there are.
    void use_directions(const Projection& projection) {
        columns_ = projection.columns();
        directions_ = projection.directions();
    }

    // The size of least estimated cost, or 0 for no sketches.
    int choose(int64_t k, const std::vector<int>& sizes) const {
        const std::vector<double> shares = passing_shares(k, sizes);
        const double rate = (coarse() ? *isa_.coarse : stored_.coder().scan(isa_)).products_a_cycle;
        const double passed_rate =
            std::min(kPassedBytesACycle, kPassedAProduct * stored_.coder().scan(isa_).products_a_cycle);
        const auto projected = static_cast<double>(stored_.size() + (queries_ ? queries_->matrix.n_vectors : 0));
        double least = 0.85 * (static_cast<double>(dim_) / rate + kPairCycles);
        int best = 0;
        for (size_t s = 0; s < sizes.size(); ++s) {
            const double projection = stored_.projection() ? 0
                                                           : 4 * static_cast<double>(dim_) * sizes[s] / rate *
                                                                 projected / pair_count(stored_, queries_);
            const double passed = shares[s] * (kPassedCycles + static_cast<double>(dim_) / passed_rate);
            const double cost = sizes[s] / rate + kPairCycles + projection + passed;
            if (cost >= least) continue;
            least = cost;
            best = sizes[s];
        }
        return best;
    }

    // The projection for sketches of this size. The last call: it releases the sample.
    std::unique_ptr<const Projection> projection(int size) {
        const Part some = part_of(nullptr);
        double typical = 0;
        for (double one : remainders_of(some, {size})) typical += one / static_cast<double>(some.squares.size());
        sample_ = {};
        return std::make_unique<Projection>(directions_, dim_, columns_, sketch_directions(size), typical,
                                            stored_.coder().scan(isa_));
    }

private:
    // The share of pairs that sketches of each size let pass, estimated from a part of the rows and of the stored rows:
    // in a self-join the same part.
    std::vector<double> passing_shares(int64_t k, const std::vector<int>& sizes) const {
        const Part stored = part_of(nullptr), rows = queries_ ? part_of(queries_) : stored;
        const std::vector<double> radii =
            queries_ && limits_.queries ? limited(rows.measured, limits_.queries) : final_radii(rows.measured, k);
        const std::vector<double> stored_radii = !queries_        ? radii
                                                 : limits_.stored ? limited(stored.measured, limits_.stored)
                                                                  : std::vector<double>{0};
        const std::vector<double> stored_remainders = remainders_of(stored, sizes),
                                  remainders = remainders_of(rows, sizes);
        // The length of the errors of sketches does not depend on their size.
        const double error = (coarse() ? 2 : 1) * kScale * stored_.stats(stored_.blocks() / 2).scale *
                             std::sqrt(static_cast<double>(dim_) / 12);
        std::vector<int64_t> passing(sizes.size());
        int64_t pairs = 0;
        for (size_t a = 0; a < rows.squares.size(); ++a) {
            for (size_t b = 0; b < (queries_ ? stored.squares.size() : a); ++b, ++pairs) {
                const double radius = std::max(radii[a % radii.size()], stored_radii[b % stored_radii.size()]);
                double square = 0;
                for (size_t s = 0, j = 0; s < sizes.size(); ++s) {
                    for (; static_cast<int>(j) < sketch_directions(sizes[s]); ++j) {
                        const double off = rows.products[a * columns_ + j] - stored.products[b * columns_ + j];
                        square += off * off;
                    }
                    const double off = remainders[a * sizes.size() + s] - stored_remainders[b * sizes.size() + s];
                    const double bound = radius + 2 * error;
                    if (square + off * off > bound * bound) break;  // larger sketches exclude the pair too
                    ++passing[s];
                }
            }
        }
        std::vector<double> shares;
        for (int64_t count : passing) shares.push_back(static_cast<double>(count) / static_cast<double>(pairs));
        return shares;
    }

    // A few hundred rows at even distances.
    struct Part {
        std::vector<int32_t> measured;  // rows whose radius is estimated
        std::vector<float> products;    // inner products with the directions
        std::vector<double> squares;
    };

    // Takes stored rows if rows is null. They differ from the sample, to which the directions are fitted.
    Part part_of(const Rows* rows) const {
        const int64_t n = rows ? rows->matrix.n_vectors : stored_.size(), size = std::min(kTried, n);
        const int64_t measured = std::min(kMeasured, size);
        Part out;
        out.squares.resize(size);
        std::vector<float> moved(size * stride_);
        for (int64_t a = 0; a < size; ++a) {
            const int64_t i = (2 * a + 1) * n / (2 * size);
            const int32_t row = rows ? static_cast<int32_t>(i) : stored_.row(i);
            if (a * measured % size < measured) out.measured.push_back(row);
            float* own = &moved[a * stride_];
            read_centred(rows ? *rows : stored_.rows(), row, own);
            for (int64_t c = 0; c < dim_; ++c) out.squares[a] += static_cast<double>(own[c]) * own[c];
        }
        out.products.resize(size * columns_);
        project(moved, size, stride_, dim_, directions_, out.products);
        return out;
    }

    // The length of the component of each row orthogonal to the directions of each size.
    std::vector<double> remainders_of(const Part& part, const std::vector<int>& sizes) const {
        std::vector<double> left(part.squares.size() * sizes.size());
        for (size_t a = 0; a < part.squares.size(); ++a) {
            double square = part.squares[a];
            for (size_t s = 0, j = 0; s < sizes.size(); ++s) {
                for (; static_cast<int>(j) < sketch_directions(sizes[s]); ++j) {
                    square -= static_cast<double>(part.products[a * columns_ + j]) * part.products[a * columns_ + j];
                }
                left[a * sizes.size() + s] = std::sqrt(std::max(0.0, square));
            }
        }
        return left;
    }

    bool coarse() const { return stored_.coder().coarse(); }

    void read_centred(const Rows& rows, int64_t row, float* out) const {
        coder_.centred(rows, row, out);
        for (int64_t c = 0; c < dim_; ++c) {
            if (!(std::abs(out[c]) < 1e6f)) out[c] = 0;
        }
    }

    std::vector<double> limited(const std::vector<int32_t>& which, const double* limits) const {
        std::vector<double> radii;
        for (const int32_t row : which) radii.push_back(stored_.coder().radius_of(limits[row]));
        return radii;
    }

    // Approximate radius of the k-th neighbour of some rows, from codes only.
    std::vector<double> final_radii(const std::vector<int32_t>& which, int64_t k) const {
        const auto n = static_cast<int>(which.size());
        const Rows& rows = queries_ ? *queries_ : stored_.rows();
        CodedBlock coded;
        stored_.encode(rows, which.data(), n, 0, coded);
        const std::vector<double> any(std::max(n, stored_.max_block_size()), 0);
        struct Nearest {
            std::vector<float> squared;  // distances
            float worst = std::numeric_limits<float>::infinity();
        };
        std::vector<Nearest> nearest(n);
        std::vector<std::mutex> locks(n);
        const size_t kept = k + 1;  // includes a stored row itself
        const auto cut = [&](Nearest& own) {
            std::nth_element(own.squared.begin(), own.squared.begin() + (kept - 1), own.squared.end());
            own.squared.resize(kept);
            own.worst = own.squared.back();
        };
        pool_.run(stored_.blocks(), callbacks_, [&](int, int64_t block) {
            Tiles tiles(stored_.layer(), stored_.coder(), isa_);
            tiles.set_rows(coded);
            const BlockStats& columns = stored_.stats(block);
            const double unit = -2 * coded.stats.scale * columns.scale;
            tiles.scores(block, any.data(), [&](int i, int32_t* scores) {
                const std::lock_guard lock(locks[i]);
                Nearest& own = nearest[i];
                const double base = tiles.row_base(i);
                const auto least = [&] { return std::max(own.worst / unit - base, -0x1p31); };
                double lowest = least();
                for (int j = 0; j < columns.size; ++j) {
                    if (scores[j] <= lowest) continue;
                    own.squared.push_back(static_cast<float>(std::max(0.0, unit * (scores[j] + base))));
                    if (own.squared.size() < 2 * kept) continue;
                    cut(own);
                    lowest = least();
                }
            });
        });
        std::vector<double> radii(n, kInfinity);
        for (int i = 0; i < n; ++i) {
            auto& squared = nearest[i].squared;
            if (squared.empty()) continue;
            const size_t rank = std::min<size_t>(k, squared.size() - 1);
            std::nth_element(squared.begin(), squared.begin() + rank, squared.end());
            radii[i] = std::sqrt(static_cast<double>(squared[rank]));
        }
        return radii;
    }

    template <class Use>
    void each(int64_t n, Use&& use) const {
        pool_.run((n + kChunk - 1) / kChunk, callbacks_, [&](int, int64_t task) {
            for (int64_t i = task * kChunk; i < std::min(n, (task + 1) * kChunk); ++i) use(i);
        });
    }

    void project(const std::vector<float>& x, int64_t n, int64_t stride, int64_t dim,
                 const std::vector<float>& directions, std::vector<float>& out) const {
        const int64_t m = columns_;
        pool_.run((n + kChunk - 1) / kChunk, callbacks_, [&](int, int64_t task) {
            const int64_t first = task * kChunk;
            ops_.project_fused(&x[first * stride], std::min(kChunk, n - first), stride, dim, directions.data(), m,
                               &out[first * m]);
        });
    }

    // The product of the transposed sample and `products`: one step of orthogonal iteration.
    void project_across(const std::vector<float>& products, std::vector<float>& out) const {
        constexpr int64_t kBatch = 32;  // coordinates
        const int64_t m = columns_;
        pool_.run((dim_ + kBatch - 1) / kBatch, callbacks_, [&](int, int64_t task) {
            const int64_t first = task * kBatch, n = std::min(kBatch, dim_ - first);
            std::vector<float> across(n * sampled_);
            for (int64_t i = 0; i < sampled_; ++i) {
                for (int64_t c = 0; c < n; ++c) across[c * sampled_ + i] = sample_[i * stride_ + first + c];
            }
            ops_.project_fused(across.data(), n, sampled_, sampled_, products.data(), m, &out[first * m]);
        });
    }

    const Stored& stored_;
    const Rows* queries_;
    Limits limits_;
    const CentredCoder& coder_;
    const RowOps& ops_;
    const Isa& isa_;
    Pool& pool_;
    const Callbacks& callbacks_;
    int64_t dim_, stride_, sampled_ = 0;
    std::vector<float> sample_, directions_;  // directions_: dim x columns_
    int columns_ = 0;
};

}  // namespace

bool sketches_may_help(const Stored& stored, const Rows* queries, int64_t k, int size, const Isa& isa) {
    const CentredCoder* coder = stored.coder().centred_coder();
    if (!coder || !coder->can_sketch() || size == 0) return false;
    if (size > 0) return size <= padded(stored.rows().matrix.dim, 4);
    if (stored.coder().scan(isa).products_a_cycle < kSlowest) return false;
    if (k <= stored.sketch_max_k()) return true;
    const double pairs = pair_count(stored, queries), products = pairs * static_cast<double>(stored.rows().matrix.dim);
    const bool many = (stored.size() >= kSmallest && pairs >= kFewestPairs) ||
                      (stored.size() >= kSmallestWide && products >= kFewestProducts);
    return many && largest_size(stored) >= 2 * kProjected && all_rows_close(stored);
}

bool use_sketches(Stored& stored, const Rows* queries, int64_t k, int size, const Limits& limits, const Isa& isa,
                  Pool& pool, const Callbacks& callbacks) {
    if (!sketches_may_help(stored, queries, k, size, isa)) return false;
    if (k <= stored.sketch_max_k() || (size > 0 && stored.projection())) return true;
    std::optional<Sketcher> sketcher(std::in_place, stored, queries, limits, isa, pool, callbacks);
    if (stored.projection()) {
        sketcher->use_directions(*stored.projection());
        if (!sketcher->choose(k, {static_cast<int>(stored.sketches().bytes())})) return false;
    } else {
        const int largest = largest_size(stored);
        sketcher->find_directions(size > 0 ? static_cast<int>(padded(size, kProjected)) : largest);
        std::vector<int> sizes;
        for (int one = 2 * kProjected; one <= largest; one += kProjected) sizes.push_back(one);
        if (size < 0) size = sketcher->choose(k, sizes);
        if (size == 0) return false;
        auto projection = sketcher->projection(size);
        sketcher.reset();  // free its memory before the sketches are made
        stored.add_sketches(std::move(projection), pool, callbacks);
    }
    stored.raise_sketch_max_k(k);
    return true;
}

}  // namespace vicinal
