// See sketch.hpp.
#include "sketch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>

#include "centre.hpp"
#include "tile.hpp"

namespace vicinal {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kSmallest = 16384;         // rows, from which a choice is worth its time
constexpr int64_t kFewestPairs = 128 << 20;  // and pairs
constexpr double kSlowest = 16;               // products a cycle, below which what else a pair costs outweighs them
constexpr int64_t kSample = 1536;
constexpr int64_t kAsked = 384;       // rows of the sample whose pairs are tried
constexpr int64_t kMeasured = 96;     // of them, those whose radii are looked for
constexpr int kIterations = 4;
constexpr int64_t kChunk = 64;        // rows of a task
// What a pair costs in the scan beside its products, and what one that passes costs, in processor cycles.
constexpr double kPairCycles = 0.4;
constexpr double kPassedCycles = 70;
constexpr double kPassedBytesACycle = 20, kPassedAProduct = 0.25;  // the lesser of the two; per product of the scan

// Gram and Schmidt, each column twice against those before it.
void orthonormalise(std::vector<float>& directions, int64_t dim, int columns) {
    std::vector<double> own(dim * columns);
    for (int j = 0; j < columns; ++j) {
        for (int64_t c = 0; c < dim; ++c) own[j * dim + c] = directions[c * columns + j];
    }
    for (int j = 0; j < columns; ++j) {
        double* x = &own[j * dim];
        const auto scale = [&] {
            double square = 0;
            for (int64_t c = 0; c < dim; ++c) square += x[c] * x[c];
            const double inverse = square > 0 ? 1 / std::sqrt(square) : 0;
            for (int64_t c = 0; c < dim; ++c) x[c] *= inverse;
        };
        scale();
        for (int round = 0; round < 2; ++round) {
            for (int i = 0; i < j; ++i) {
                const double* y = &own[i * dim];
                double lanes[4] = {};
                int64_t c = 0;
                for (; c + 4 <= dim; c += 4) {
                    for (int l = 0; l < 4; ++l) lanes[l] += x[c + l] * y[c + l];
                }
                double product = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
                for (; c < dim; ++c) product += x[c] * y[c];
                for (c = 0; c < dim; ++c) x[c] -= product * y[c];
            }
            scale();
        }
    }
    for (int j = 0; j < columns; ++j) {
        for (int64_t c = 0; c < dim; ++c) directions[c * columns + j] = static_cast<float>(own[j * dim + c]);
    }
}

double pairs_asked(const Stored& stored, const Rows* queries) {
    const auto n = static_cast<double>(stored.size());
    return queries ? n * static_cast<double>(queries->matrix.n_vectors) : n * n / 2;
}

// A quarter of the coordinates at most, since a self-join has little memory to spare.
int largest_size(const Stored& stored, const Rows* queries) {
    const int64_t dim = stored.rows().matrix.dim;
    const int64_t most = queries ? std::min<int64_t>(5 * dim / 12, 160) : std::min<int64_t>(dim / 4, 128);
    return static_cast<int>(most / kProjected * kProjected);
}

// |P'P - I|, in the Frobenius norm, which is no less than the spectral one.
double distance_from_orthonormal(const std::vector<float>& directions, int64_t dim, int columns) {
    std::vector<double> gram(static_cast<size_t>(columns) * columns);
    for (int64_t c = 0; c < dim; ++c) {
        const float* row = &directions[c * columns];
        for (int i = 0; i < columns; ++i) {
            for (int j = 0; j < columns; ++j) gram[i * columns + j] += static_cast<double>(row[i]) * row[j];
        }
    }
    double square = 0;
    for (int i = 0; i < columns; ++i) {
        for (int j = 0; j < columns; ++j) {
            const double off = gram[i * columns + j] - (i == j ? 1 : 0);
            square += off * off;
        }
    }
    return std::sqrt(square) * 1.001 + 1e-9;
}

// Finds the directions and chooses the size.
class Sketcher {
public:
    Sketcher(const Stored& stored, const Rows* queries, const DotCoder& coder, const Isa& isa, Pool& pool,
             const Watch& watch)
        : stored_(stored), queries_(queries), coder_(coder), ops_(*isa.rows), isa_(isa), pool_(pool), watch_(watch),
          dim_(stored.rows().matrix.dim), stride_(padded(dim_, 8)) {}

    // The directions in which a sample of the rows varies most, the first first.
    void find_directions(int columns) {
        const int64_t n = stored_.size();
        sampled_ = std::min(kSample, std::max<int64_t>(n / 32, std::min<int64_t>(n, 2 * columns)));
        sample_.assign(sampled_ * stride_, 0);
        each(sampled_, [&](int64_t i) { take(stored_.rows(), stored_.row(position(i)), &sample_[i * stride_]); });
        basis_.columns = columns;
        auto& directions = basis_.directions;
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
        basis_.error = distance_from_orthonormal(directions, dim_, columns);
    }

    bool sound() const { return basis_.error < 1e-3; }

    // The size that costs least, or 0.
    int choose(int64_t k) const {
        // A part of the sample, and of the rows that ask: the same part where the stored rows do.
        const Part stored = part(nullptr), asking = queries_ ? part(queries_) : stored;
        const std::vector<double> radii = final_radii(asking.measured, k);
        const int columns = basis_.columns;
        std::vector<int> sizes;
        for (int size = 2 * kProjected; size <= columns; size += kProjected) sizes.push_back(size);
        const std::vector<double> left = what_is_left(stored, sizes), left_asking = what_is_left(asking, sizes);
        double highest = 0;
        for (float product : stored.products) highest = std::max<double>(highest, std::abs(product));
        std::vector<int64_t> counts(sizes.size());
        int64_t pairs = 0;
        for (size_t a = 0; a < asking.squares.size(); ++a) {
            for (size_t b = 0; b < (queries_ ? stored.squares.size() : a); ++b, ++pairs) {
                double radius = radii[a % radii.size()];
                if (!queries_) radius = std::max(radius, radii[b % radii.size()]);
                double square = 0;
                for (size_t s = 0, j = 0; s < sizes.size(); ++s) {
                    for (; static_cast<int>(j) < sizes[s] - 1; ++j) {
                        const double off = asking.products[a * columns + j] - stored.products[b * columns + j];
                        square += off * off;
                    }
                    const double rest = left_asking[a * sizes.size() + s] - left[b * sizes.size() + s];
                    const double reach = radius + 2 * highest / 127 * std::sqrt(sizes[s] / 12.0);
                    if (square + rest * rest > reach * reach) break;  // and so it is with every larger sketch
                    ++counts[s];
                }
            }
        }
        const double rate = coder_.scan(isa_).products_a_cycle;
        const double passed = std::min(kPassedBytesACycle, kPassedAProduct * rate);
        double least = 0.85 * (static_cast<double>(dim_) / rate + kPairCycles);
        int best = 0;
        for (size_t s = 0; s < sizes.size(); ++s) {
            const double share = static_cast<double>(counts[s]) / static_cast<double>(pairs);
            const double made = static_cast<double>(stored_.size() + (queries_ ? queries_->matrix.n_vectors : 0));
            const double making = 4 * static_cast<double>(dim_) * sizes[s] / rate * made / pairs_asked(stored_, queries_);
            const double cost = sizes[s] / rate + kPairCycles + making +
                                share * (kPassedCycles + static_cast<double>(dim_) / passed);
            if (cost >= least) continue;
            least = cost;
            best = sizes[s];
        }
        return best;
    }

    // The first columns of the basis.
    Basis basis(int columns) const {
        Basis first;
        first.columns = columns;
        first.error = basis_.error;
        first.directions.resize(dim_ * columns);
        for (int64_t c = 0; c < dim_; ++c) {
            std::copy_n(&basis_.directions[c * basis_.columns], columns, &first.directions[c * columns]);
        }
        return first;
    }

private:
    // A few hundred rows, evenly taken.
    struct Part {
        std::vector<int32_t> measured;  // of these rows, a few whose radii are looked for
        std::vector<float> products;    // with the directions
        std::vector<double> squares;
    };

    // Of the sample where rows is null, of these rows else.
    Part part(const Rows* rows) const {
        const int64_t n = rows ? rows->matrix.n_vectors : sampled_, asked = std::min(kAsked, n);
        const int64_t measured = std::min(kMeasured, asked);
        Part out;
        out.squares.resize(asked);
        std::vector<float> moved(asked * stride_);
        for (int64_t a = 0; a < asked; ++a) {
            const int64_t i = a * n / asked;
            const int32_t row = rows ? static_cast<int32_t>(i) : stored_.row(position(i));
            if (a * measured % asked < measured) out.measured.push_back(row);
            float* own = &moved[a * stride_];
            if (rows) take(*rows, row, own);
            else std::copy_n(&sample_[i * stride_], stride_, own);
            for (int64_t c = 0; c < dim_; ++c) out.squares[a] += static_cast<double>(own[c]) * own[c];
        }
        out.products.resize(asked * basis_.columns);
        project(moved, asked, stride_, dim_, basis_.directions, out.products);
        return out;
    }

    // What is left of each row after so many directions.
    std::vector<double> what_is_left(const Part& part, const std::vector<int>& sizes) const {
        std::vector<double> left(part.squares.size() * sizes.size());
        for (size_t a = 0; a < part.squares.size(); ++a) {
            double square = part.squares[a];
            for (size_t s = 0, j = 0; s < sizes.size(); ++s) {
                for (; static_cast<int>(j) < sizes[s] - 1; ++j) {
                    square -= static_cast<double>(part.products[a * basis_.columns + j]) * part.products[a * basis_.columns + j];
                }
                left[a * sizes.size() + s] = std::sqrt(std::max(0.0, square));
            }
        }
        return left;
    }

    void take(const Rows& rows, int64_t row, float* out) const {
        coder_.moved(rows, row, out);
        for (int64_t c = 0; c < dim_; ++c) {
            if (!(std::abs(out[c]) < 1e6f)) out[c] = 0;
        }
    }

    // About how far the k-th neighbour of each of the rows that ask is, as the coder's radius, by codes alone.
    std::vector<double> final_radii(const std::vector<int32_t>& which, int64_t k) const {
        const auto n = static_cast<int>(which.size());
        const Rows& rows = queries_ ? *queries_ : stored_.rows();
        double highest = 0;
        for (int32_t row : which) highest = std::max(highest, coder_.peak(rows, row, 0));
        CodedBlock coded;
        coder_.code(rows, which.data(), n, 0, highest, coded);
        const std::vector<double> any(std::max(n, stored_.block()), 0);
        std::vector<std::vector<float>> found(n);  // squared distances
        std::vector<std::mutex> locks(n);
        pool_.run(stored_.blocks(), [&](int, int64_t block) {
            Tiles tiles(stored_.layer(), coder_, isa_);
            tiles.set_rows(coded.side, coded.codes.data());
            const Side& columns = stored_.side(block);
            const size_t kept = std::min<int64_t>(k + 1, columns.size);  // a stored row itself is among them
            tiles.scores(block, any.data(), [&](int i, int32_t* scores) {
                std::nth_element(scores, scores + (kept - 1), scores + columns.size, std::greater<>());
                const std::lock_guard lock(locks[i]);
                for (size_t j = 0; j < kept; ++j) {
                    const double score = static_cast<double>(scores[j]) + tiles.row_base(i);
                    found[i].push_back(static_cast<float>(std::max(0.0, -2 * coded.side.scale * columns.scale * score)));
                }
            });
        }, watch_);
        std::vector<double> radii(n, kInfinity);
        for (int i = 0; i < n; ++i) {
            if (found[i].empty()) continue;
            const size_t rank = std::min<size_t>(k, found[i].size() - 1);
            std::nth_element(found[i].begin(), found[i].begin() + rank, found[i].end());
            radii[i] = std::sqrt(static_cast<double>(found[i][rank]));
        }
        return radii;
    }

    int64_t position(int64_t sample) const { return sample * stored_.size() / sampled_; }

    template <class Use>
    void each(int64_t n, Use&& use) const {
        pool_.run((n + kChunk - 1) / kChunk, [&](int, int64_t task) {
            for (int64_t i = task * kChunk; i < std::min(n, (task + 1) * kChunk); ++i) use(i);
        }, watch_);
    }

    void project(const std::vector<float>& x, int64_t n, int64_t stride, int64_t dim, const std::vector<float>& directions,
                 std::vector<float>& out) const {
        const int64_t m = basis_.columns;
        pool_.run((n + kChunk - 1) / kChunk, [&](int, int64_t task) {
            const int64_t first = task * kChunk;
            ops_.project(&x[first * stride], std::min(kChunk, n - first), stride, dim, directions.data(), m,
                         &out[first * m]);
        }, watch_);
    }

    // The sample's coordinates, each over all rows, times what each row has.
    void project_across(const std::vector<float>& products, std::vector<float>& out) const {
        constexpr int64_t kTogether = 32;  // coordinates
        const int64_t m = basis_.columns;
        pool_.run((dim_ + kTogether - 1) / kTogether, [&](int, int64_t task) {
            const int64_t first = task * kTogether, n = std::min(kTogether, dim_ - first);
            std::vector<float> across(n * sampled_);
            for (int64_t i = 0; i < sampled_; ++i) {
                for (int64_t c = 0; c < n; ++c) across[c * sampled_ + i] = sample_[i * stride_ + first + c];
            }
            ops_.project(across.data(), n, sampled_, sampled_, products.data(), m, &out[first * m]);
        }, watch_);
    }

    const Stored& stored_;
    const Rows* queries_;
    const DotCoder& coder_;
    const RowOps& ops_;
    const Isa& isa_;
    Pool& pool_;
    const Watch& watch_;
    int64_t dim_, stride_, sampled_ = 0;
    std::vector<float> sample_;
    Basis basis_;
};

}  // namespace

Sketch::Sketch(const Stored& stored, const DotCoder& coder, Basis&& basis, int size, const Isa& isa, Pool& pool,
               const Watch& watch)
    : coder_(coder),
      ops_(*isa.rows),
      dim_(stored.rows().matrix.dim),
      basis_(std::move(basis)),
      layout_{size, padded(size, kRowAlign), 4, 128},
      layer_(stored.layer().firsts(), layout_, false, false) {
    pool.run(stored.blocks(), [&](int, int64_t block) {
        thread_local CodedBlock coded;
        thread_local std::vector<int32_t> which;
        which.resize(layer_.count(block));
        for (size_t i = 0; i < which.size(); ++i) which[i] = stored.row(layer_.first(block) + i);
        code(stored.rows(), which.data(), layer_.count(block), coded);
        layer_.put(block, coded);
    }, watch);
}

void Sketch::code(const Rows& rows, const int32_t* which, int n, CodedBlock& out) const {
    const int columns = basis_.columns, size = this->size();
    const int64_t stride = padded(dim_, 8);
    const double summing = static_cast<double>(dim_) * 0x1p-24 * (1 + 0x1p-10) * std::sqrt(size) * (1 + basis_.error);
    const double error = basis_.error + summing + 0x1p-20;
    thread_local std::vector<float> moved, products, sketches;
    moved.assign(kChunk * stride, 0);
    products.resize(kChunk * columns);
    sketches.assign(static_cast<size_t>(n) * size, 0);
    std::vector<double> lost(n, kInfinity);
    double highest = 0;
    for (int begin = 0; begin < n; begin += kChunk) {
        const int64_t taken = std::min<int64_t>(kChunk, n - begin);
        for (int64_t i = 0; i < taken; ++i) coder_.moved(rows, which[begin + i], &moved[i * stride]);
        ops_.project(moved.data(), taken, stride, dim_, basis_.directions.data(), columns, products.data());
        for (int64_t i = 0; i < taken; ++i) {
            float* sketch = &sketches[(begin + i) * size];
            double square = 0, within = 0, peak = 0;
            for (int64_t c = 0; c < dim_; ++c) square += static_cast<double>(moved[i * stride + c]) * moved[i * stride + c];
            if (!(square < 1e30)) continue;
            for (int j = 0; j + 1 < size; ++j) {
                sketch[j] = products[i * columns + j];
                within += static_cast<double>(sketch[j]) * sketch[j];
                peak = std::max<double>(peak, std::abs(sketch[j]));
            }
            const double rest = std::sqrt(std::max(0.0, square - within));
            const double length = std::sqrt(square) * (1 + 0x1p-19);
            const double off = 2 * error * (1 + error) * length * length;
            sketch[size - 1] = static_cast<float>(rest);
            lost[begin + i] = error * length + (off < rest * rest ? off / rest : std::sqrt(off)) +
                              std::sqrt(static_cast<double>(dim_)) * 0x1p-69;
            highest = std::max(highest, std::max(peak, rest * (1 + 0x1p-20)));
        }
    }
    start_block(out, n, layout_.row_bytes, round_up(highest / 127 * (1 + 1e-6)));
    for (int i = 0; i < n; ++i) put_row(ops_, &sketches[static_cast<size_t>(i) * size], size, lost[i], i, layout_.row_bytes, out);
}

bool sketches_may_pay(const Stored& stored, const Rows* queries, int size, const Isa& isa) {
    const auto* coder = dynamic_cast<const DotCoder*>(&stored.coder());
    if (!coder || coder->sum() != Sum::squares || coder->regions() > 1 || size == 0) return false;
    if (size < 0 && coder->scan(isa).products_a_cycle < kSlowest) return false;
    return size > 0 || (largest_size(stored, queries) >= 2 * kProjected && stored.size() >= kSmallest &&
                        pairs_asked(stored, queries) >= kFewestPairs);
}

std::unique_ptr<Sketch> make_sketch(const Stored& stored, const Rows* queries, int64_t k, int size, const Isa& isa,
                                    Pool& pool, const Watch& watch) {
    if (!sketches_may_pay(stored, queries, size, isa)) return nullptr;
    const auto& coder = dynamic_cast<const DotCoder&>(stored.coder());
    Basis basis;
    {
        Sketcher sketcher(stored, queries, coder, isa, pool, watch);
        sketcher.find_directions(size > 0 ? size : largest_size(stored, queries));
        if (!sketcher.sound()) return nullptr;
        if (size < 0) size = sketcher.choose(k);
        if (size == 0) return nullptr;
        basis = sketcher.basis(size);
    }
    return std::make_unique<Sketch>(stored, coder, std::move(basis), size, isa, pool, watch);
}

}  // namespace vicinal
