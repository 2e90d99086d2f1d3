// See sketch.hpp.
#include "sketch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <optional>

#include "rotation.hpp"
#include "tile.hpp"

namespace vicinal {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kSmallest = 16384;         // rows, from which a choice is worth its time
constexpr int64_t kFewestPairs = 128 << 20;  // and pairs
constexpr double kSlowest = 16;              // products a cycle, below which what else a pair costs outweighs them
constexpr int kLargest = 192;                // coordinates of a sketch
constexpr int64_t kSample = 1024;
constexpr int64_t kAsked = 384;    // rows whose pairs are tried, beside the sample
constexpr int64_t kMeasured = 96;  // of them, those whose radii are looked for
constexpr int kIterations = 4;
constexpr double kScale = 1.2;  // of turned codes, to that of others
constexpr int64_t kChunk = 64;  // rows of a task
// What a pair costs in the scan beside its products, and what one that passes costs, in processor cycles.
constexpr double kPairCycles = 0.4;
constexpr double kPassedCycles = 70;
constexpr double kPassedBytesACycle = 20, kPassedAProduct = 0.25;  // the lesser of the two; per product of the scan

double pairs_asked(const Stored& stored, const Rows* queries) {
    const auto n = static_cast<double>(stored.size());
    return queries ? n * static_cast<double>(queries->matrix.n_vectors) : n * n / 2;
}

int largest_size(const Stored& stored) {
    return static_cast<int>(std::min<int64_t>(stored.rows().matrix.dim / 2, kLargest) / kProjected * kProjected);
}

// The coordinates of a sketch of so many, beside what fills up groups of four and those for what is left.
int told_by(const Stored& stored, int size) {
    const int64_t dim = stored.rows().matrix.dim;
    return static_cast<int>(size - 4 - (padded(dim, 4) - dim));
}

// Rows that lie too far out could no longer be told apart by their codes.
bool can_be_turned(const Stored& stored) {
    for (int64_t block = 0; block < stored.blocks(); ++block) {
        if (!(stored.side(block).longest < 1e14)) return false;
    }
    return true;
}

// Finds the directions and chooses the size.
class Sketcher {
public:
    Sketcher(const Stored& stored, const Rows* queries, const Isa& isa, Pool& pool, const Watch& watch)
        : stored_(stored),
          queries_(queries),
          coder_(*stored.coder().centred_coder()),
          ops_(*isa.rows),
          isa_(isa),
          pool_(pool),
          watch_(watch),
          dim_(stored.rows().matrix.dim),
          stride_(padded(dim_, 8)) {}

    // The directions in which a sample of the rows varies most, the first first.
    void find_directions(int columns) {
        columns_ = columns;
        const int64_t n = stored_.size();
        sampled_ = std::min(kSample, std::max<int64_t>(n / 64, std::min<int64_t>(n, 2 * columns_)));
        sample_.assign(sampled_ * stride_, 0);
        each(sampled_, [&](int64_t i) { take(stored_.rows(), stored_.row(i * n / sampled_), &sample_[i * stride_]); });
        auto& directions = directions_;
        directions.resize(dim_ * columns);
        uint64_t state = 1;
        for (float& value : directions) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            value = static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-31f;
        }
        std::vector<float> products(sampled_ * columns);
        for (int i = 0; i < kIterations; ++i) {
            project(sample_, sampled_, stride_, dim_, directions, products);
            std::vector<float> next(directions.size());
            project_across(products, next);
            directions.swap(next);
            orthonormalise(directions, dim_, columns);
        }
    }

    // Those that the stored rows are turned by.
    void take_directions(const Rotation& rotation) {
        columns_ = rotation.columns();
        directions_ = rotation.directions();
    }

    // The size that costs least, or 0.
    int choose(int64_t k, const std::vector<int>& sizes) const {
        // A part of the stored rows, and of the rows that ask: the same part where the stored rows do.
        const Part stored = part(nullptr), asking = queries_ ? part(queries_) : stored;
        const std::vector<double> radii = final_radii(asking.measured, k);
        const int columns = columns_;
        const std::vector<double> left = what_is_left(stored, sizes), left_asking = what_is_left(asking, sizes);
        const double scale = kScale * stored_.side(stored_.blocks() / 2).scale;
        std::vector<int64_t> counts(sizes.size());
        int64_t pairs = 0;
        for (size_t a = 0; a < asking.squares.size(); ++a) {
            for (size_t b = 0; b < (queries_ ? stored.squares.size() : a); ++b, ++pairs) {
                double radius = radii[a % radii.size()];
                if (!queries_) radius = std::max(radius, radii[b % radii.size()]);
                double square = 0;
                for (size_t s = 0, j = 0; s < sizes.size(); ++s) {
                    for (; static_cast<int>(j) < told_by(stored_, sizes[s]); ++j) {
                        const double off = asking.products[a * columns + j] - stored.products[b * columns + j];
                        square += off * off;
                    }
                    const double rest = left_asking[a * sizes.size() + s] - left[b * sizes.size() + s];
                    const double reach = radius + 2 * scale * std::sqrt(sizes[s] / 12.0);
                    if (square + rest * rest > reach * reach) break;  // and so it is with every larger sketch
                    ++counts[s];
                }
            }
        }
        const double rate = stored_.coder().scan(isa_).products_a_cycle;
        const double passed = std::min(kPassedBytesACycle, kPassedAProduct * rate);
        double least = 0.85 * (static_cast<double>(dim_) / rate + kPairCycles);
        int best = 0;
        for (size_t s = 0; s < sizes.size(); ++s) {
            const double share = static_cast<double>(counts[s]) / static_cast<double>(pairs);
            const double made = static_cast<double>(stored_.size() + (queries_ ? queries_->matrix.n_vectors : 0));
            const double making = stored_.rotation() ? 0
                                                     : 8 * static_cast<double>(dim_) * sizes[s] / rate * made /
                                                           pairs_asked(stored_, queries_);
            const double cost =
                sizes[s] / rate + kPairCycles + making + share * (kPassedCycles + static_cast<double>(dim_) / passed);
            if (cost >= least) continue;
            least = cost;
            best = sizes[s];
        }
        return best;
    }

    // What gives sketches of this size; ends the work.
    std::unique_ptr<const Rotation> rotation(int size) {
        const Part some = part(nullptr);
        double rests = 0;
        for (double rest : what_is_left(some, {size})) rests += rest / static_cast<double>(some.squares.size());
        sample_ = {};
        return std::make_unique<Rotation>(directions_, dim_, columns_, told_by(stored_, size), rests);
    }

private:
    // A few hundred rows, evenly taken.
    struct Part {
        std::vector<int32_t> measured;  // of these rows, a few whose radii are looked for
        std::vector<float> products;    // with the directions
        std::vector<double> squares;
    };

    // Of the stored rows where rows is null: others than the sample, which the directions fit too well.
    Part part(const Rows* rows) const {
        const int64_t n = rows ? rows->matrix.n_vectors : stored_.size(), asked = std::min(kAsked, n);
        const int64_t measured = std::min(kMeasured, asked);
        Part out;
        out.squares.resize(asked);
        std::vector<float> moved(asked * stride_);
        for (int64_t a = 0; a < asked; ++a) {
            const int64_t i = (2 * a + 1) * n / (2 * asked);
            const int32_t row = rows ? static_cast<int32_t>(i) : stored_.row(i);
            if (a * measured % asked < measured) out.measured.push_back(row);
            float* own = &moved[a * stride_];
            take(rows ? *rows : stored_.rows(), row, own);
            for (int64_t c = 0; c < dim_; ++c) out.squares[a] += static_cast<double>(own[c]) * own[c];
        }
        out.products.resize(asked * columns_);
        project(moved, asked, stride_, dim_, directions_, out.products);
        return out;
    }

    // What is left of each row after so many directions.
    std::vector<double> what_is_left(const Part& part, const std::vector<int>& sizes) const {
        std::vector<double> left(part.squares.size() * sizes.size());
        for (size_t a = 0; a < part.squares.size(); ++a) {
            double square = part.squares[a];
            for (size_t s = 0, j = 0; s < sizes.size(); ++s) {
                for (; static_cast<int>(j) < told_by(stored_, sizes[s]); ++j) {
                    square -= static_cast<double>(part.products[a * columns_ + j]) * part.products[a * columns_ + j];
                }
                left[a * sizes.size() + s] = std::sqrt(std::max(0.0, square));
            }
        }
        return left;
    }

    void take(const Rows& rows, int64_t row, float* out) const {
        coder_.centred(rows, row, out);
        for (int64_t c = 0; c < dim_; ++c) {
            if (!(std::abs(out[c]) < 1e6f)) out[c] = 0;
        }
    }

    // About how far the k-th neighbour of each of the rows that ask is, as the coder's radius, by codes alone.
    std::vector<double> final_radii(const std::vector<int32_t>& which, int64_t k) const {
        const auto n = static_cast<int>(which.size());
        const Rows& rows = queries_ ? *queries_ : stored_.rows();
        CodedBlock coded;
        stored_.code(rows, which.data(), n, 0, coded);
        const std::vector<double> any(std::max(n, stored_.block()), 0);
        std::vector<std::vector<float>> found(n);  // squared distances
        std::vector<std::mutex> locks(n);
        pool_.run(stored_.blocks(), watch_, [&](int, int64_t block) {
            Tiles tiles(stored_.layer(), stored_.coder(), isa_);
            tiles.set_rows(coded);
            const Side& columns = stored_.side(block);
            const size_t kept = std::min<int64_t>(k + 1, columns.size);  // a stored row itself is among them
            tiles.scores(block, any.data(), [&](int i, int32_t* scores) {
                std::nth_element(scores, scores + (kept - 1), scores + columns.size, std::greater<>());
                const std::lock_guard lock(locks[i]);
                for (size_t j = 0; j < kept; ++j) {
                    const double score = static_cast<double>(scores[j]) + tiles.row_base(i);
                    found[i].push_back(
                        static_cast<float>(std::max(0.0, -2 * coded.side.scale * columns.scale * score)));
                }
            });
        });
        std::vector<double> radii(n, kInfinity);
        for (int i = 0; i < n; ++i) {
            if (found[i].empty()) continue;
            const size_t rank = std::min<size_t>(k, found[i].size() - 1);
            std::nth_element(found[i].begin(), found[i].begin() + rank, found[i].end());
            radii[i] = std::sqrt(static_cast<double>(found[i][rank]));
        }
        return radii;
    }

    template <class Use>
    void each(int64_t n, Use&& use) const {
        pool_.run((n + kChunk - 1) / kChunk, watch_, [&](int, int64_t task) {
            for (int64_t i = task * kChunk; i < std::min(n, (task + 1) * kChunk); ++i) use(i);
        });
    }

    void project(const std::vector<float>& x, int64_t n, int64_t stride, int64_t dim,
                 const std::vector<float>& directions, std::vector<float>& out) const {
        const int64_t m = columns_;
        pool_.run((n + kChunk - 1) / kChunk, watch_, [&](int, int64_t task) {
            const int64_t first = task * kChunk;
            ops_.project(&x[first * stride], std::min(kChunk, n - first), stride, dim, directions.data(), m,
                         &out[first * m]);
        });
    }

    // The sample's coordinates, each over all rows, times what each row has.
    void project_across(const std::vector<float>& products, std::vector<float>& out) const {
        constexpr int64_t kTogether = 32;  // coordinates
        const int64_t m = columns_;
        pool_.run((dim_ + kTogether - 1) / kTogether, watch_, [&](int, int64_t task) {
            const int64_t first = task * kTogether, n = std::min(kTogether, dim_ - first);
            std::vector<float> across(n * sampled_);
            for (int64_t i = 0; i < sampled_; ++i) {
                for (int64_t c = 0; c < n; ++c) across[c * sampled_ + i] = sample_[i * stride_ + first + c];
            }
            ops_.project(across.data(), n, sampled_, sampled_, products.data(), m, &out[first * m]);
        });
    }

    const Stored& stored_;
    const Rows* queries_;
    const CentredCoder& coder_;
    const RowOps& ops_;
    const Isa& isa_;
    Pool& pool_;
    const Watch& watch_;
    int64_t dim_, stride_, sampled_ = 0;
    std::vector<float> sample_, directions_;  // directions_: dim x columns_
    int columns_ = 0;
};

}  // namespace

bool sketches_may_pay(const Stored& stored, const Rows* queries, int64_t k, int size, const Isa& isa) {
    const CentredCoder* coder = stored.coder().centred_coder();
    if (!coder || !coder->can_rotate() || size == 0) return false;
    if (size > 0) return told_by(stored, size) > 0 && size <= padded(stored.rows().matrix.dim, 4);
    if (stored.coder().scan(isa).products_a_cycle < kSlowest) return false;
    return k <= stored.sketches_pay_for() || (largest_size(stored) >= 2 * kProjected && stored.size() >= kSmallest &&
                                              pairs_asked(stored, queries) >= kFewestPairs && can_be_turned(stored));
}

bool take_sketches(Stored& stored, const Rows* queries, int64_t k, int size, const Isa& isa, Pool& pool,
                   const Watch& watch) {
    if (!sketches_may_pay(stored, queries, k, size, isa)) return false;
    if (k <= stored.sketches_pay_for() || (size > 0 && stored.rotation())) return true;
    std::optional<Sketcher> sketcher(std::in_place, stored, queries, isa, pool, watch);
    if (stored.rotation()) {
        sketcher->take_directions(*stored.rotation());
        if (!sketcher->choose(k, {static_cast<int>(stored.sketches().range().bytes)})) return false;
    } else {
        const int largest = largest_size(stored);
        sketcher->find_directions(size > 0 ? static_cast<int>(padded(size, kProjected)) : largest);
        std::vector<int> sizes;
        for (int one = 2 * kProjected; one <= largest; one += kProjected) sizes.push_back(one);
        if (size < 0) size = sketcher->choose(k, sizes);
        if (size == 0) return false;
        auto rotation = sketcher->rotation(size);
        sketcher.reset();  // its room goes to the turn
        stored.turn(std::move(rotation), pool, watch);
    }
    stored.let_sketches_pay_for(k);
    return true;
}

}  // namespace vicinal
