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
constexpr int64_t kSmallest = 16384;  // rows, from which a choice is worth its time
constexpr int64_t kSample = 2048;
constexpr int64_t kAsked = 384;       // rows of the sample whose pairs are tried
constexpr int64_t kMeasured = 96;     // of them, those whose radii are looked for
constexpr int kIterations = 4;
constexpr int64_t kChunk = 64;        // rows of a task
// What a pair costs in the scan beside its products, and what one that passes costs, in processor cycles.
constexpr double kPairCycles = 0.4;
constexpr double kPassedCycles = 70;
constexpr double kPassedBytesACycle = 20;

// Orthonormal columns: directions[coordinate][column].
struct Basis {
    std::vector<float> directions;
    int columns = 0;
    double error = kInfinity;  // how far they can be from the nearest orthonormal ones, as a share
};

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

class Sketcher {
public:
    Sketcher(const Stored& stored, const DotCoder& coder, const Isa& isa, Pool& pool, const Watch& watch)
        : stored_(stored), coder_(coder), ops_(*isa.rows), isa_(isa), pool_(pool), watch_(watch),
          dim_(stored.rows().matrix.dim), stride_(padded(dim_, 8)) {}

    // The directions in which a sample of the rows varies most, the first first.
    void find_directions(int columns) {
        const int64_t n = stored_.size();
        sampled_ = std::min(kSample, std::max<int64_t>(n / 32, std::min<int64_t>(n, 2 * columns)));
        sample_.assign(sampled_ * stride_, 0);
        each(sampled_, [&](int64_t i) { coder_.moved(stored_.rows(), stored_.row(position(i)), &sample_[i * stride_]); });
        for (float& value : sample_) {
            if (!(std::abs(value) < 1e6f)) value = 0;
        }
        std::vector<float> across(dim_ * sampled_);
        for (int64_t i = 0; i < sampled_; ++i) {
            for (int64_t c = 0; c < dim_; ++c) across[c * sampled_ + i] = sample_[i * stride_ + c];
        }
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
            project(across, dim_, sampled_, sampled_, products, next);
            directions.swap(next);
            orthonormalise(directions, dim_, columns);
        }
        basis_.error = distance_from_orthonormal(directions, dim_, columns);
    }

    bool sound() const { return basis_.error < 1e-3; }

    // The size that costs least, or 0.
    int choose(int64_t k) const {
        const int columns = basis_.columns;
        const int64_t asked = std::min(kAsked, sampled_), measured = std::min(kMeasured, asked);
        std::vector<int32_t> which;
        std::vector<float> products(asked * columns);
        std::vector<double> squares(asked);
        std::vector<float> rows(asked * stride_);
        for (int64_t a = 0; a < asked; ++a) {
            const int64_t i = a * sampled_ / asked;
            if (a * measured % asked < measured) which.push_back(stored_.row(position(i)));
            std::copy_n(&sample_[i * stride_], stride_, &rows[a * stride_]);
            for (int64_t c = 0; c < dim_; ++c) squares[a] += static_cast<double>(rows[a * stride_ + c]) * rows[a * stride_ + c];
        }
        const std::vector<double> own_radii = final_radii(which, k);
        project(rows, asked, stride_, dim_, basis_.directions, products);
        std::vector<int> sizes;
        for (int size = 2 * kProjected; size <= columns; size += kProjected) sizes.push_back(size);
        std::vector<int64_t> passed(sizes.size());
        int64_t pairs = 0;
        double highest = 0;
        for (float product : products) highest = std::max<double>(highest, std::abs(product));
        // What is left of each row after so many directions.
        std::vector<double> left(asked * sizes.size());
        for (int64_t a = 0; a < asked; ++a) {
            double square = squares[a];
            for (size_t s = 0, j = 0; s < sizes.size(); ++s) {
                for (; static_cast<int>(j) < sizes[s] - 1; ++j) {
                    square -= static_cast<double>(products[a * columns + j]) * products[a * columns + j];
                }
                left[a * sizes.size() + s] = std::sqrt(std::max(0.0, square));
            }
        }
        for (int64_t a = 0; a < asked; ++a) {
            for (int64_t b = 0; b < a; ++b, ++pairs) {
                const double radius = std::max(own_radii[a % own_radii.size()], own_radii[b % own_radii.size()]);
                double square = 0;
                for (size_t s = 0, j = 0; s < sizes.size(); ++s) {
                    for (; static_cast<int>(j) < sizes[s] - 1; ++j) {
                        const double off = products[a * columns + j] - products[b * columns + j];
                        square += off * off;
                    }
                    const double rest = left[a * sizes.size() + s] - left[b * sizes.size() + s];
                    const double reach = radius + 2 * highest / 127 * std::sqrt(sizes[s] / 12.0);
                    if (square + rest * rest > reach * reach) break;  // and so it is with every larger sketch
                    ++passed[s];
                }
            }
        }
        const double rate = coder_.scan(isa_).products_a_cycle, n = static_cast<double>(stored_.size());
        double least = 0.85 * (static_cast<double>(dim_) / rate + kPairCycles);
        int best = 0;
        for (size_t s = 0; s < sizes.size(); ++s) {
            const double share = static_cast<double>(passed[s]) / static_cast<double>(pairs);
            const double making = 2 * static_cast<double>(dim_) * sizes[s] / rate / n * 4;
            const double cost = sizes[s] / rate + kPairCycles + making +
                                share * (kPassedCycles + static_cast<double>(dim_) / kPassedBytesACycle);
            if (cost >= least) continue;
            least = cost;
            best = sizes[s];
        }
        return best;
    }

    std::unique_ptr<Layer> make(int size) {
        sample_ = {};  // its memory is the layer's now
        const Layout layout = {size, padded(size, kRowAlign), 4, 128};
        auto layer = std::make_unique<Layer>(stored_.layer().firsts(), layout, false, false);
        const int columns = basis_.columns;
        const double summing = static_cast<double>(dim_) * 0x1p-24 * (1 + 0x1p-10) * std::sqrt(size) * (1 + basis_.error);
        const double error = basis_.error + summing + 0x1p-20;
        pool_.run(stored_.blocks(), [&](int, int64_t block) {
            thread_local std::vector<float> moved, products, sketches;
            thread_local CodedBlock coded;
            const int64_t first = layer->first(block), count = layer->count(block);
            moved.assign(kChunk * stride_, 0);
            products.resize(kChunk * columns);
            sketches.assign(count * size, 0);
            std::vector<double> lost(count, kInfinity);
            double highest = 0;
            for (int64_t begin = 0; begin < count; begin += kChunk) {
                const int64_t rows = std::min(kChunk, count - begin);
                for (int64_t i = 0; i < rows; ++i) {
                    coder_.moved(stored_.rows(), stored_.row(first + begin + i), &moved[i * stride_]);
                }
                ops_.project(moved.data(), rows, stride_, dim_, basis_.directions.data(), columns, products.data());
                for (int64_t i = 0; i < rows; ++i) {
                    float* sketch = &sketches[(begin + i) * size];
                    double square = 0, within = 0, peak = 0;
                    for (int64_t c = 0; c < dim_; ++c) {
                        square += static_cast<double>(moved[i * stride_ + c]) * moved[i * stride_ + c];
                    }
                    if (!(square < 1e30) || !std::isfinite(stored_.side(block).slacks[begin + i])) continue;
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
            start_block(coded, static_cast<int>(count), layout.row_bytes, round_up(highest / 127 * (1 + 1e-6)));
            for (int64_t i = 0; i < count; ++i) {
                put_row(ops_, &sketches[i * size], size, lost[i], static_cast<int>(i), layout.row_bytes, coded);
            }
            layer->put(block, coded);
        }, watch_);
        return layer;
    }

private:
    // About how far the k-th neighbour of each of the rows is, as the coder's radius, by codes alone.
    std::vector<double> final_radii(const std::vector<int32_t>& which, int64_t k) const {
        const auto n = static_cast<int>(which.size());
        double highest = 0;
        for (int32_t row : which) highest = std::max(highest, coder_.peak(stored_.rows(), row, 0));
        CodedBlock coded;
        coder_.code(stored_.rows(), which.data(), n, 0, highest, coded);
        const std::vector<double> any(std::max(n, stored_.block()), 0);
        std::vector<std::vector<float>> found(n);  // squared distances
        std::vector<std::mutex> locks(n);
        pool_.run(stored_.blocks(), [&](int, int64_t block) {
            Tiles tiles(stored_.layer(), coder_, isa_);
            std::vector<int32_t> scores, highest;
            tiles.set_rows(coded.side, coded.codes.data());
            tiles.scores(block, any.data(), scores);
            const Side& columns = stored_.side(block);
            const int64_t stride = padded(columns.size, kPanel);
            const size_t kept = std::min<int64_t>(k + 1, columns.size);  // the row itself is among them
            for (int i = 0; i < n; ++i) {
                highest.assign(&scores[i * stride], &scores[i * stride] + columns.size);
                std::nth_element(highest.begin(), highest.begin() + (kept - 1), highest.end(), std::greater<>());
                const std::lock_guard lock(locks[i]);
                for (size_t j = 0; j < kept; ++j) {
                    const double score = static_cast<double>(highest[j]) + tiles.row_base(i);
                    found[i].push_back(static_cast<float>(std::max(0.0, -2 * coded.side.scale * columns.scale * score)));
                }
            }
        }, watch_);
        std::vector<double> radii(n);
        for (int i = 0; i < n; ++i) {
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

    const Stored& stored_;
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

std::unique_ptr<Layer> make_sketch(const Stored& stored, int64_t k, int size, const Isa& isa, Pool& pool,
                                   const Watch& watch) {
    const auto* coder = dynamic_cast<const DotCoder*>(&stored.coder());
    if (!coder || coder->sum() != Sum::squares || coder->regions() > 1) return nullptr;
    const int64_t dim = stored.rows().matrix.dim;
    const auto largest = static_cast<int>(std::min<int64_t>(dim / 4, 8 * kProjected) / kProjected * kProjected);
    if (size < 0 && (largest < 2 * kProjected || stored.size() < kSmallest)) return nullptr;
    Sketcher sketcher(stored, *coder, isa, pool, watch);
    sketcher.find_directions(size > 0 ? size : largest);
    if (!sketcher.sound()) return nullptr;
    if (size < 0) size = sketcher.choose(k);
    return size > 0 ? sketcher.make(size) : nullptr;
}

}  // namespace vicinal
