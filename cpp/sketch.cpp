// See sketch.hpp.
#include "sketch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <optional>

#include "directions.hpp"
#include "tile.hpp"

namespace vicinal {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// With fewer rows and pairs, or rows and products of all pairs, the choice of a size takes too long.
constexpr int64_t kSmallest = 16384, kFewestPairs = 128 << 20;
constexpr int64_t kSmallestWide = 4096;
constexpr double kFewestProducts = 1LL << 35;
constexpr double kSlowest = 16;      // products a cycle; in slower scans products do not dominate the cost
constexpr int kLargest = 192;        // coordinates of a sketch
constexpr int64_t kTried = 384;      // rows whose pairs are compared, besides the sample
constexpr int64_t kMeasured = 96;    // rows among them whose radius is estimated
constexpr double kScale = 0.8;       // error of sketches relative to that of codes
constexpr size_t kBands = 24;        // of pairs of similar radii
constexpr double kMostCost = 0.9;    // of a scan with sketches, of that without
constexpr double kSizeCost = 0.005;  // of each size, of the cost without sketches
// Estimated cost, in processor cycles, of a pair in the scan besides its products.
constexpr double kPairCycles = 0.4;
// A pair that passes costs as much as so many products of the scan of codes, and so many for each coordinate.
constexpr double kPassedProducts = 1300;
constexpr double kPassedEach = 3;
constexpr double kFinal = 0.96;  // final radii relative to those that are known

double pair_count(const Stored& stored, const JoinRows& rows) {
    const auto n = static_cast<double>(stored.size());
    return rows.self() ? n * n / 2 : n * static_cast<double>(rows.size());
}

int largest_size(const Stored& stored) {
    return static_cast<int>(std::min<int64_t>(stored.rows().matrix.dim / 2, kLargest) / kProjected * kProjected);
}

// Number of directions in a sketch of `size` coordinates, of which four are those of the remainder and as many those of
// each of `smaller` sizes.
int sketch_directions(int size, int smaller = 0) { return size - 4 - 4 * smaller; }

// Codes of rows too far from the centre would be equal.
bool all_rows_close(const Stored& stored) {
    for (int64_t block = 0; block < stored.blocks(); ++block) {
        if (!(stored.stats(block).longest < 1e14)) return false;
    }
    return true;
}

// What sketches of some sizes, in ascending order, are expected to cost.
struct Choice {
    double cost = kInfinity;
    std::vector<int> sizes;
    std::vector<double> highest_radii;  // of each size, that of the pairs that it is used for
};

// Chooses the sizes.
class Sketcher {
public:
    // columns: the number of directions.
    Sketcher(const Stored& stored, const JoinRows& rows, const JoinRadii& radii, int columns, const Isa& isa,
             Pool& pool, const Callbacks& callbacks)
        : stored_(stored),
          rows_(rows),
          radii_(radii),
          isa_(isa),
          pool_(pool),
          callbacks_(callbacks),
          dim_(stored.rows().matrix.dim),
          directions_(stored, columns, *isa.rows, pool, callbacks) {}

    // The sizes of least estimated cost, none where sketches would not help.
    Choice choose(int64_t k, const std::vector<int>& sizes) const {
        const std::vector<Band> bands = bands_of(k, sizes);
        const double rate = (coarse() ? *isa_.coarse : stored_.coder().scan(isa_)).products_a_cycle;
        const double passed =
            (kPassedProducts + kPassedEach * static_cast<double>(dim_)) / stored_.coder().scan(isa_).products_a_cycle;
        const auto projected = static_cast<double>(stored_.size() + (rows_.self() ? 0 : rows_.size()));
        const double making = 4 * static_cast<double>(dim_) / rate * projected / pair_count(stored_, rows_);
        const double without = static_cast<double>(dim_) / rate + kPairCycles;
        const auto n = static_cast<int>(sizes.size());
        const auto cost = [&](const Band& band, int size) {
            return size == n ? without : sizes[size] / rate + kPairCycles + band.passing[size] * passed;
        };
        Choice best;
        best.cost = kMostCost * without;
        const auto consider = [&](const std::vector<int>& chosen) {
            Choice choice{making * sizes[chosen.back()] + kSizeCost * without * static_cast<double>(chosen.size()),
                          {},
                          std::vector<double>(chosen.size(), -kInfinity)};
            size_t from = 0;  // a higher radius never takes a smaller size
            for (const Band& band : bands) {
                size_t least = from;
                double lowest = kInfinity;
                for (size_t s = from; s <= chosen.size(); ++s) {
                    const double own = cost(band, s < chosen.size() ? chosen[s] : n);
                    if (own >= lowest) continue;
                    lowest = own;
                    least = s;
                }
                from = least;
                choice.cost += band.share * lowest;
                for (size_t s = from; s < chosen.size(); ++s) choice.highest_radii[s] = band.highest;
            }
            if (choice.cost >= best.cost) return;
            for (const int s : chosen) choice.sizes.push_back(sizes[s]);
            best = std::move(choice);
        };
        for (int a = 0; a < n; ++a) {
            consider({a});
            for (int b = a + 1; b < n; ++b) {
                consider({a, b});
                for (int c = b + 1; c < n; ++c) consider({a, b, c});
            }
        }
        return best;
    }

    // The projection for sketches of these sizes.
    std::unique_ptr<const Projection> projection(const std::vector<int>& sizes) const {
        const Part some = part_of(nullptr);
        const std::vector<double> remainders = remainders_of(some, sizes);
        std::vector<Projection::Size> made;
        for (size_t s = 0; s < sizes.size(); ++s) made.push_back({sketch_directions(sizes[s], static_cast<int>(s)), 0});
        for (size_t i = 0; i < remainders.size(); ++i) {
            made[i % sizes.size()].typical_remainder += remainders[i] / static_cast<double>(some.squares.size());
        }
        return std::make_unique<Projection>(directions_.values(), dim_, directions_.columns(), std::move(made),
                                            stored_.coder().scan(isa_));
    }

private:
    // Pairs of similar radii, the higher one of row and stored row.
    struct Band {
        double highest;               // radius
        double share;                 // of all pairs
        std::vector<double> passing;  // of these pairs, the share that sketches of each size let pass
    };

    // Estimated from a part of the rows and of the stored rows: in a self-join the same part.
    std::vector<Band> bands_of(int64_t k, const std::vector<int>& sizes) const {
        const Part stored = part_of(nullptr), rows = rows_.self() ? stored : part_of(&rows_);
        const std::vector<double> radii = radii_.rows ? some_of(*radii_.rows, rows) : final_radii(rows, k);
        const std::vector<double> stored_radii = rows_.self()     ? radii
                                                 : radii_.columns ? some_of(*radii_.columns, stored)
                                                                  : std::vector<double>{0};
        const std::vector<double> stored_remainders = remainders_of(stored, sizes),
                                  remainders = remainders_of(rows, sizes);
        // The length of the errors of sketches does not depend on their size.
        const double error = (coarse() ? 2 : 1) * kScale * stored_.stats(stored_.blocks() / 2).scale *
                             std::sqrt(static_cast<double>(dim_) / 12);
        const double lower = radii_.rows ? kFinal : 1;
        struct Pair {
            double radius;
            size_t passes;  // sketches of so many sizes
        };
        std::vector<Pair> pairs;
        const int columns = directions_.columns();
        for (size_t a = 0; a < rows.squares.size(); ++a) {
            for (size_t b = 0; b < (rows_.self() ? a : stored.squares.size()); ++b) {
                const double radius = std::max(radii[a % radii.size()], stored_radii[b % stored_radii.size()]);
                const double bound = lower * radius + 2 * error;
                double square = 0;
                size_t s = 0;
                for (size_t j = 0; s < sizes.size(); ++s) {
                    for (; static_cast<int>(j) < sketch_directions(sizes[s]); ++j) {
                        const double off = rows.products[a * columns + j] - stored.products[b * columns + j];
                        square += off * off;
                    }
                    const double off = remainders[a * sizes.size() + s] - stored_remainders[b * sizes.size() + s];
                    if (square + off * off > bound * bound) break;  // larger sketches exclude the pair too
                }
                pairs.push_back({radius, s});
            }
        }
        std::sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) { return a.radius < b.radius; });
        std::vector<Band> bands;
        for (size_t first = 0, end; first < pairs.size(); first = end) {
            end = pairs.size() * (bands.size() + 1) / kBands;
            if (end <= first) end = first + 1;
            const double highest = pairs[end - 1].radius;
            while (end < pairs.size() && pairs[end].radius == highest) ++end;
            Band band{highest, static_cast<double>(end - first) / static_cast<double>(pairs.size()),
                      std::vector<double>(sizes.size())};
            for (size_t i = first; i < end; ++i) {
                for (size_t s = 0; s < pairs[i].passes; ++s) band.passing[s] += 1.0 / static_cast<double>(end - first);
            }
            bands.push_back(std::move(band));
        }
        return bands;
    }

    // A few hundred rows at even distances.
    struct Part {
        std::vector<int64_t> positions;
        std::vector<int32_t> rows;
        std::vector<float> products;  // inner products with the directions
        std::vector<double> squares;
    };

    // Takes stored rows if rows is null. They differ from the sample, to which the directions are fitted.
    Part part_of(const JoinRows* rows) const {
        const int64_t n = rows ? rows->size() : stored_.size(), size = std::min(kTried, n);
        Part out;
        out.squares.resize(size);
        const int64_t stride = directions_.stride();
        std::vector<float> moved(size * stride);
        for (int64_t a = 0; a < size; ++a) {
            const int64_t position = (2 * a + 1) * n / (2 * size);
            out.positions.push_back(position);
            out.rows.push_back(rows ? rows->row(position) : stored_.row(position));
            float* own = &moved[a * stride];
            directions_.read(rows ? rows->rows() : stored_.rows(), out.rows.back(), own);
            for (int64_t c = 0; c < dim_; ++c) out.squares[a] += static_cast<double>(own[c]) * own[c];
        }
        directions_.project(moved, size, out.products);
        return out;
    }

    // The length of the component of each row orthogonal to the directions of each size.
    std::vector<double> remainders_of(const Part& part, const std::vector<int>& sizes) const {
        std::vector<double> left(part.squares.size() * sizes.size());
        const int columns = directions_.columns();
        for (size_t a = 0; a < part.squares.size(); ++a) {
            double square = part.squares[a];
            for (size_t s = 0, j = 0; s < sizes.size(); ++s) {
                for (; static_cast<int>(j) < sketch_directions(sizes[s]); ++j) {
                    square -= static_cast<double>(part.products[a * columns + j]) * part.products[a * columns + j];
                }
                left[a * sizes.size() + s] = std::sqrt(std::max(0.0, square));
            }
        }
        return left;
    }

    bool coarse() const { return stored_.coder().coarse(); }

    std::vector<double> some_of(const Radii& radii, const Part& part) const {
        std::vector<double> some;
        for (const int64_t position : part.positions) some.push_back(radii[position]);
        return some;
    }

    // Approximate radius of the k-th neighbour of some rows of a part, from codes only.
    std::vector<double> final_radii(const Part& part, int64_t k) const {
        std::vector<int32_t> which;
        const auto size = static_cast<int64_t>(part.rows.size()), measured = std::min(kMeasured, size);
        for (int64_t a = 0; a < size; ++a) {
            if (a * measured % size < measured) which.push_back(part.rows[a]);
        }
        const auto n = static_cast<int>(which.size());
        const Rows& rows = rows_.rows();
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

    const Stored& stored_;
    const JoinRows& rows_;
    JoinRadii radii_;
    const Isa& isa_;
    Pool& pool_;
    const Callbacks& callbacks_;
    int64_t dim_;
    Directions directions_;
};

}  // namespace

bool sketches_may_help(const Stored& stored, const JoinRows& rows, int size, const Isa& isa) {
    const CentredCoder* coder = stored.coder().centred_coder();
    if (!coder || !coder->can_sketch() || size == 0) return false;
    if (size > 0) return size <= padded(stored.rows().matrix.dim, 4);
    if (stored.coder().scan(isa).products_a_cycle < kSlowest) return false;
    if (stored.projection()) return true;
    const double pairs = pair_count(stored, rows), products = pairs * static_cast<double>(stored.rows().matrix.dim);
    const bool many = (stored.size() >= kSmallest && pairs >= kFewestPairs) ||
                      (stored.size() >= kSmallestWide && products >= kFewestProducts);
    return many && largest_size(stored) >= 2 * kProjected && all_rows_close(stored);
}

bool use_sketches(Stored& stored, const JoinRows& rows, int64_t k, int size, const JoinRadii& radii, const Isa& isa,
                  Pool& pool, const Callbacks& callbacks) {
    if (!sketches_may_help(stored, rows, size, isa)) return false;
    if (stored.projection()) return true;
    const int largest = size > 0 ? static_cast<int>(padded(size, kProjected)) : largest_size(stored);
    std::optional<Sketcher> sketcher(std::in_place, stored, rows, radii, largest, isa, pool, callbacks);
    Choice choice{0, {size}, {kInfinity}};
    if (size >= 2 * kProjected && radii.rows) {
        // A smaller size for half of the rows.
        std::vector<double> sorted = *radii.rows;
        const auto middle = sorted.begin() + static_cast<int64_t>(sorted.size() / 2);
        std::nth_element(sorted.begin(), middle, sorted.end());
        choice.sizes = {size / (2 * kProjected) * kProjected, size};
        choice.highest_radii = {*middle, kInfinity};
    } else if (size < 0) {
        std::vector<int> sizes;
        for (int one = 2 * kProjected; one <= largest; one += kProjected) sizes.push_back(one);
        choice = sketcher->choose(k, sizes);
    }
    if (choice.sizes.empty()) return false;
    auto projection = sketcher->projection(choice.sizes);
    sketcher.reset();  // free its memory before the sketches are made
    stored.add_sketches(std::move(projection), std::move(choice.highest_radii), pool, callbacks);
    return true;
}

}  // namespace vicinal
