// Tests the bounds: the lower bound never exceeds the true distance, and a threshold at the distance of a pair lets the
// pair pass, for millions of pairs, random and adversarial, on every instruction set.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <random>
#include <stdexcept>

#include "absolute_codes.hpp"
#include "bits_codes.hpp"
#include "check.hpp"
#include "dot_codes.hpp"
#include "sketch.hpp"

namespace {

using namespace vicinal;

int sketches = 0, stopped_sketches = 0, sizes_apart = 0, regions_apart = 0;  // counted so that no case is missed

using Fill = std::function<void(std::vector<double>&, int n, int dim, std::mt19937_64&)>;

void each(std::vector<double>& x, const std::function<double()>& draw) {
    for (double& v : x) v = draw();
}

const std::pair<const char*, Fill> kData[] = {
    {"normal",
     [](auto& x, int, int, auto& g) {
         std::normal_distribution<double> d;
         each(x, [&] { return d(g); });
     }},
    {"offset",
     [](auto& x, int, int, auto& g) {
         std::normal_distribution<double> d(1e8);
         each(x, [&] { return d(g); });
     }},
    {"heavy tails",
     [](auto& x, int, int, auto& g) {
         std::cauchy_distribution<double> d;
         each(x, [&] { return d(g); });
     }},
    {"one large dimension",
     [](auto& x, int, int dim, auto& g) {
         std::normal_distribution<double> d;
         each(x, [&] { return d(g); });
         for (size_t i = 0; i < x.size(); i += dim) x[i] *= 1000;
     }},
    {"near copies",
     [](auto& x, int, int dim, auto& g) {
         std::normal_distribution<double> d;
         for (size_t i = 0; i < x.size(); ++i) x[i] = (i < size_t(dim) ? d(g) : x[i - dim] + 1e-6 * d(g));
     }},
    {"half steps",  // every coordinate lies between two codes
     [](auto& x, int, int, auto& g) { each(x, [&] { return (static_cast<int>(g() % 255) - 127 + 0.5) / 127; }); }},
    {"whole steps",  // every coordinate is a code, as far as can be from the value of its coarse code
     [](auto& x, int, int, auto& g) { each(x, [&] { return (static_cast<int>(g() % 255) - 127) / 127.0; }); }},
    {"tiny",
     [](auto& x, int, int, auto& g) {
         std::normal_distribution<double> d(0, 1e-300);
         each(x, [&] { return d(g); });
     }},
    {"huge",
     [](auto& x, int, int, auto& g) {
         std::normal_distribution<double> d(0, 1e140);
         each(x, [&] { return d(g); });
     }},
    {"sizes apart",
     [](auto& x, int, int dim, auto& g) {
         std::normal_distribution<double> d;
         for (size_t i = 0; i < x.size(); ++i) x[i] = d(g) * std::ldexp(1.0, -8 * static_cast<int>(i / dim / 192));
     }},
    {"two regions",
     [](auto& x, int, int dim, auto& g) {
         std::normal_distribution<double> d;
         for (size_t i = 0; i < x.size(); ++i) x[i] = (i / dim % 3 ? 1 : -1) + 1e-4 * d(g);
     }},
    {"equal", [](auto& x, int, int, auto&) { each(x, [] { return 0.1; }); }},
};

// Tests every block of rows against every block of columns of a layer.
class LayerTest {
public:
    LayerTest(const Stored& stored, const Layer& layer, const Isa& isa)
        : stored_(stored), layer_(layer), isa_(isa), x_(padded(stored.rows().matrix.dim, 8)) {}

    // Returns the number of pairs tested.
    int64_t run() {
        int64_t pairs = 0;
        for (int64_t block = 0; block < stored_.blocks(); ++block) {
            const BlockStats& rows = layer_.stats(block);
            codes_.resize(padded(rows.size, kRowStep) * layer_.row_bytes());
            layer_.unpack(block, codes_.data());
            for (int64_t other = 0; other < stored_.blocks(); ++other) {
                const BlockStats& columns = layer_.stats(other);
                sizes_apart += rows.lengths && columns.lengths && rows.longest > 4 * columns.longest;
                regions_apart += rows.region != columns.region;
                for (int offset = 0; offset < columns.size; offset += 23) {
                    test(block, other, offset);
                    pairs += rows.size;
                }
            }
        }
        return pairs;
    }

private:
    double distance(int64_t row_position, int64_t column_position) {
        const int32_t column = stored_.row(column_position);
        double sum;
        isa_.rows->load(stored_.rows(), stored_.row(row_position), x_.data());
        isa_.rows->measure(stored_.rows(), stored_.coder().sum(), x_.data(), &column, 1, &sum);
        return stored_.coder().distance_of(sum);
    }

    // The threshold of each row is its distance to one column, its target, which therefore has to pass.
    void test(int64_t block, int64_t other, int offset) {
        const Coder& coder = stored_.coder();
        const BlockStats& rows = layer_.stats(block);
        const BlockStats& columns = layer_.stats(other);
        std::vector<int> target(rows.size);
        std::vector<double> truth(rows.size), radii(rows.size), none(columns.size, coder.empty_radius());
        for (int r = 0; r < rows.size; ++r) {
            target[r] = (offset + r) % columns.size;
            truth[r] = distance(stored_.first(block) + r, stored_.first(other) + target[r]);
            radii[r] = coder.radius_of(truth[r]);
        }
        Thresholds row_thresholds(static_cast<int>(padded(rows.size, kRowStep)));
        Thresholds column_thresholds(static_cast<int>(padded(columns.size, kPanel)));
        const bool upper_bounds =
            coder.thresholds(rows, radii.data(), columns, none.data(), row_thresholds, column_thresholds);
        const ScanOps& scan = layer_.coarse() ? *isa_.coarse : coder.scan(isa_);
        ScanJob job = {};
        job.rows = codes_.data();
        job.row_bytes = layer_.row_bytes();
        job.n_rows = static_cast<int>(padded(rows.size, scan.row_step));
        job.groups = layer_.groups();
        job.row_base = row_thresholds.base.data();
        job.row_threshold = row_thresholds.least_score.data();
        std::vector<bool> passed(rows.size);
        std::vector<Survivor> out(padded(rows.size, kRowStep) * kPanel);
        for (int first = 0; first < columns.size; first += kPanel) {
            job.panel = layer_.at(other, first);
            job.column_base = &column_thresholds.base[first];
            job.column_threshold = &column_thresholds.least_score[first];
            const size_t n = scan.survivors(job, out.data());
            for (size_t i = 0; i < n; ++i) {
                const int row = out[i].row;
                if (row >= rows.size || first + out[i].column != target[row]) continue;
                passed[row] = true;
                float lower;
                coder.lower_bounds(rows, columns, first, &out[i], 1, &lower);
                CHECK(lower <= radii[row]);
                if (upper_bounds && layer_.sketch() == Layer::kCodes) {
                    CHECK(coder.upper_bound(rows, row, columns, out[i].score) >= truth[row]);
                    float upper;
                    coder.upper_bounds(rows, columns, first, &out[i], 1, &upper);
                    CHECK(upper >= coder.radius_of(truth[row]));
                }
            }
        }
        for (int r = 0; r < rows.size; ++r) CHECK(passed[r]);
    }

    const Stored& stored_;
    const Layer& layer_;
    const Isa& isa_;
    std::vector<double> x_;
    std::vector<int8_t> codes_;
};

int64_t test(const Coder& coder, const Rows& rows, const Isa& isa) {
    Pool pool(1);
    const Stored stored(rows, coder, nullptr, isa, pool, {});
    int64_t pairs = LayerTest(stored, stored.layer(), isa).run();
    if (stored.coarse()) pairs += LayerTest(stored, *stored.coarse(), isa).run();
    for (const int size : {16, 32, 96}) {
        Stored sketched(rows, coder, nullptr, isa, pool, {});
        Radii radii(sketched.size());
        for (size_t i = 0; i < radii.size(); ++i) radii[i] = static_cast<double>(i * 7919 % radii.size());
        const JoinRows joined(sketched, nullptr);
        if (!use_sketches(sketched, joined, 1, size, {&radii}, isa, pool, {})) continue;
        CHECK(sketched.sketches() == (size < 32 ? 1 : 2));
        if (size == 96) {
            const Radii unknown(radii.size(), std::numeric_limits<double>::infinity());
            CHECK(sketched.arrange(unknown, pool).empty());
            const std::vector<int32_t> places = sketched.arrange(radii, pool);
            CHECK(places.size() == radii.size() && sketched.arrange(radii, pool).empty());
            arrange(radii.data(), places);
            for (int64_t block = 0; block < sketched.blocks(); ++block) {
                const auto first = radii.begin() + sketched.first(block);
                CHECK(std::is_sorted(first, first + sketched.stats(block).size));
            }
            pairs += LayerTest(sketched, sketched.layer(), isa).run();
            if (sketched.coarse()) pairs += LayerTest(sketched, *sketched.coarse(), isa).run();
        }
        for (size_t s = 0; s < sketched.sketches(); ++s) pairs += LayerTest(sketched, sketched.sketch(s), isa).run();
        ++sketches;
    }
    return pairs;
}

int64_t test_dot(const Rows& rows, Metric metric, const Isa& isa) {
    const int64_t pairs = test(DotCoder(rows, metric, *isa.rows), rows, isa);
    return pairs + (isa.coarse ? test(DotCoder(rows, metric, *isa.rows, true), rows, isa) : 0);
}

// The portable loops, of which those that make directions and sketches fail after some calls.
std::atomic<int> calls_left = 0;
void fail_at_last() {
    if (calls_left-- == 0) throw std::runtime_error("stop");
}
Isa failing(RowOps& ops) {
    Isa isa = find_isa("portable");
    ops = *isa.rows;
    ops.project_fused = [](const float* x, int64_t n, int64_t stride, int64_t dim, const float* directions, int64_t m,
                           float* out) {
        fail_at_last();
        find_isa("portable").rows->project_fused(x, n, stride, dim, directions, m, out);
    };
    ops.project_pairs = [](const int32_t* x, int64_t n, int64_t stride, int64_t pairs, const int32_t* directions,
                           int64_t m, int32_t* out) {
        fail_at_last();
        find_isa("portable").rows->project_pairs(x, n, stride, pairs, directions, m, out);
    };
    isa.rows = &ops;
    return isa;
}

// Sketches whose making is interrupted, one call later each time, and made by the next call.
void test_stopped_sketches() {
    const int n = 1000, dim = 64;
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<size_t>(n) * dim);
    for (float& value : values) value = normal(random);
    Rows rows;
    rows.matrix = {values.data(), n, dim, dim * 4, 4, DType::f32};
    RowOps ops;
    const Isa isa = failing(ops);
    const DotCoder coder(rows, Metric::euclidean, ops);
    Pool pool(2);
    for (int allowed = 0;; ++allowed) {
        calls_left = std::numeric_limits<int>::max();
        Stored stored(rows, coder, nullptr, isa, pool, {});
        const JoinRows joined(stored, nullptr);
        calls_left = allowed;
        try {
            use_sketches(stored, joined, 1, 32, {}, isa, pool, {});
            CHECK(stored.projection() && stored.sketch(0).bytes() == 32);
            return;
        } catch (const std::runtime_error&) {
        }
        CHECK(!stored.projection() && stored.sketches() == 0);
        ++stopped_sketches;
        calls_left = std::numeric_limits<int>::max();
        CHECK(use_sketches(stored, joined, 1, 32, {}, isa, pool, {}) && stored.sketch(0).bytes() == 32);
    }
}

// Only codes of Euclidean distances from one centre have sketches.
void test_sketchable() {
    const std::vector<float> values(64 * 8, 0.5f);
    const std::vector<uint8_t> bits(64 * 8, 1);
    Rows rows, packed;
    rows.matrix = {values.data(), 64, 8, 32, 4, DType::f32};
    packed.matrix = {bits.data(), 64, 8, 8, 1, DType::u8};
    const RowOps& ops = *find_isa("portable").rows;
    for (const Metric metric : {Metric::euclidean, Metric::sqeuclidean, Metric::cosine}) {
        const DotCoder coder(rows, metric, ops);
        CHECK(coder.centred_coder() && coder.centred_coder()->can_sketch());
    }
    const DotCoder products(rows, Metric::inner_product, ops);
    CHECK(products.centred_coder() && !products.centred_coder()->can_sketch());
    CHECK(!AbsoluteCoder(rows, ops).centred_coder());
    CHECK(!BitsCoder(packed, Metric::hamming).centred_coder());
}

}  // namespace

int main() {
    test_sketchable();
    test_stopped_sketches();
    int64_t pairs = 0;
    for (const std::string& name : isas()) {
        const Isa& isa = find_isa(name);
        for (const auto& [what, fill] : kData) {
            for (const int dim : {1, 3, 64, 100}) {
                const int n = 400;
                std::mt19937_64 random(dim);
                std::vector<double> values(static_cast<size_t>(n) * dim);
                fill(values, n, dim, random);
                Rows rows;
                rows.matrix = {values.data(), n, dim, dim * 8, 8, DType::f64};
                const int before = failures;
                for (const Metric metric : {Metric::euclidean, Metric::sqeuclidean, Metric::inner_product}) {
                    pairs += test_dot(rows, metric, isa);
                }
                pairs += test(AbsoluteCoder(rows, *isa.rows), rows, isa);
                std::vector<double> inverse(n);
                bool finite = true;
                for (int i = 0; i < n; ++i) {
                    inverse[i] = isa.rows->inverse_norm(rows, i);
                    finite &= std::isfinite(inverse[i]) && inverse[i] > 0;
                }
                rows.inverse_norms = inverse.data();
                if (finite) pairs += test_dot(rows, Metric::cosine, isa);
                if (failures > before) std::printf("  with %s, %s, dim %d\n", name.c_str(), what, dim);
            }
        }
    }
    for (const std::string& name : isas()) {
        for (const int dim : {1, 3, 48, 64, 129}) {
            const int n = 400;
            std::mt19937_64 random(dim);
            std::vector<uint8_t> bytes(static_cast<size_t>(n) * dim);
            // From rows with hardly a bit set to rows with nearly all.
            for (size_t i = 0; i < bytes.size(); ++i) {
                const uint64_t a = random(), b = random();
                const size_t kind = i / dim % 4;
                bytes[i] = static_cast<uint8_t>(kind == 0 ? a : kind == 1 ? a & b & (b >> 8) : kind == 2 ? a | b : 0);
            }
            Rows rows;
            rows.matrix = {bytes.data(), n, dim, dim, 1, DType::u8};
            const int before = failures;
            for (const Metric metric : {Metric::hamming, Metric::jaccard}) {
                pairs += test(BitsCoder(rows, metric), rows, find_isa(name));
            }
            if (failures > before) std::printf("  with %s, bits, dim %d\n", name.c_str(), dim);
        }
    }
    CHECK(sketches > 100 && stopped_sketches > 20 && sizes_apart > 100 && regions_apart > 100);
    std::printf("%lld pairs, %d sketches, %d stopped, %d failures\n", static_cast<long long>(pairs), sketches,
                stopped_sketches, failures);
    return failures != 0;
}
