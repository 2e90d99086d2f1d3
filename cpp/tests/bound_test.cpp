// The lower bound never exceeds the true distance, and the threshold of a pair at its own distance always lets it pass:
// over millions of pairs, random and adversarial, on every instruction set.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <stdexcept>

#include "absolute_codes.hpp"
#include "bits_codes.hpp"
#include "dot_codes.hpp"
#include "sketch.hpp"

namespace {

using namespace vicinal;

int failures = 0;
int sketches = 0, stopped_turns = 0, sizes_apart = 0, regions_apart = 0;  // so that no case goes untested unseen

#define CHECK(condition)                                                          \
    do {                                                                          \
        if (!(condition)) {                                                       \
            std::printf("%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            if (++failures > 200) std::exit(1);                                   \
        }                                                                         \
    } while (false)

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

int64_t test(const Stored& stored, const Layer& layer, const Isa& isa) {
    const Coder& coder = stored.coder();
    const Rows& rows = stored.rows();
    const double none = coder.nowhere();
    int64_t pairs = 0;
    std::vector<double> x(padded(rows.matrix.dim, 8));
    for (int64_t block = 0; block < stored.blocks(); ++block) {
        const Side& own = layer.side(block);
        std::vector<int8_t> codes(padded(own.size, kRowStep) * layer.range().row_bytes());
        layer.unpack(block, codes.data());
        for (int64_t other = 0; other < stored.blocks(); ++other) {
            const Side& columns = layer.side(other);
            sizes_apart += own.lengths && columns.lengths && own.longest > 4 * columns.longest;
            regions_apart += own.region != columns.region;
            Keys row_keys(static_cast<int>(padded(own.size, kRowStep))),
                column_keys(static_cast<int>(padded(columns.size, kPanel)));
            // Each row's threshold is its distance to one column, in turn: that column has to pass.
            for (int turn = 0; turn < columns.size; turn += 23) {
                std::vector<double> radii(own.size), nowhere(columns.size, none);
                std::vector<int> target(own.size);
                std::vector<double> truth(own.size);
                for (int r = 0; r < own.size; ++r) {
                    target[r] = (turn + r) % columns.size;
                    const int32_t column = stored.row(stored.first(other) + target[r]);
                    isa.rows->load(rows, stored.row(stored.first(block) + r), x.data());
                    isa.rows->measure(rows, coder.sum(), x.data(), &column, 1, &truth[r]);
                    truth[r] = coder.finish(truth[r]);
                    radii[r] = coder.radius(truth[r]);
                }
                const bool whole = coder.keys(own, radii.data(), columns, nowhere.data(), row_keys, column_keys);
                std::vector<bool> passed(own.size);
                std::vector<Survivor> out(padded(own.size, kRowStep) * kPanel);
                for (int first = 0; first < columns.size; first += kPanel) {
                    const ScanOps& scan = coder.scan(isa);
                    const ScanJob job = {codes.data(),
                                         layer.range().row_bytes(),
                                         static_cast<int>(padded(own.size, scan.row_step)),
                                         layer.at(other, first),
                                         layer.groups(),
                                         row_keys.base.data(),
                                         row_keys.floor.data(),
                                         &column_keys.base[first],
                                         &column_keys.floor[first]};
                    const size_t n = scan.survivors(job, out.data());
                    for (size_t i = 0; i < n; ++i) {
                        const int row = out[i].row;
                        if (row >= own.size || first + out[i].column != target[row]) continue;
                        passed[row] = true;
                        float lower;
                        coder.lower(own, columns, first, &out[i], 1, &lower);
                        CHECK(lower <= radii[row]);
                        if (whole && &layer == &stored.layer())
                            CHECK(coder.upper(own, row, columns, out[i].score) >= truth[row]);
                    }
                }
                for (int r = 0; r < own.size; ++r) CHECK(passed[r]);
                pairs += own.size;
            }
        }
    }
    return pairs;
}

int64_t test(const Coder& coder, const Rows& rows, const Isa& isa) {
    Pool pool(1);
    const Stored stored(rows, coder, nullptr, isa, pool, {});
    int64_t pairs = test(stored, stored.layer(), isa);
    for (const int size : {16, 32, 96}) {
        Stored turned(rows, coder, nullptr, isa, pool, {});
        if (!take_sketches(turned, nullptr, 1, size, isa, pool, {})) continue;
        pairs += test(turned, turned.layer(), isa) + test(turned, turned.sketches(), isa);
        ++sketches;
    }
    return pairs;
}

// A turn that is stopped, as often as one tick later each time lets it be, and ended by the next call.
void test_stopped_turn() {
    const int n = 4000, dim = 1024;
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<size_t>(n) * dim);
    for (float& value : values) value = normal(random);
    Rows rows;
    rows.matrix = {values.data(), n, dim, dim * 4, 4, DType::f32};
    const Isa& isa = find_isa("portable");
    const DotCoder coder(rows, Metric::euclidean, *isa.rows);
    Pool pool(1);
    for (int allowed = 0;; ++allowed) {
        Stored stored(rows, coder, nullptr, isa, pool, {});
        Watch watch;
        int ticks = 0;
        watch.tick = [&](int64_t, int64_t) {
            if (ticks++ == allowed) throw std::runtime_error("stop");
        };
        try {
            take_sketches(stored, nullptr, 1, 128, isa, pool, watch);
            CHECK(!stored.half_turned());
            return;
        } catch (const std::runtime_error&) {
        }
        if (!stored.half_turned()) continue;
        ++stopped_turns;
        stored.turn(nullptr, pool, {});
        CHECK(!stored.half_turned() && stored.sketches().range().bytes == 128);
        const Layer& layer = stored.layer();
        std::vector<int8_t> codes(padded(stored.block(), kRowStep) * layer.range().row_bytes());
        CodedBlock coded;
        std::vector<int32_t> which;
        for (int64_t block = 0; block < stored.blocks(); ++block) {
            const int size = layer.side(block).size;
            which.resize(size);
            for (int i = 0; i < size; ++i) which[i] = stored.row(stored.first(block) + i);
            stored.code(rows, which.data(), size, 0, coded);
            layer.unpack(block, codes.data());
            CHECK(std::equal(codes.begin(), codes.begin() + size * layer.range().row_bytes(), coded.codes.begin()));
            CHECK(std::equal(coded.slacks.begin(), coded.slacks.begin() + size, layer.side(block).slacks));
        }
    }
}

}  // namespace

int main() {
    test_stopped_turn();
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
                    pairs += test(DotCoder(rows, metric, *isa.rows), rows, isa);
                }
                pairs += test(AbsoluteCoder(rows, *isa.rows), rows, isa);
                std::vector<double> inverse(n);
                bool finite = true;
                for (int i = 0; i < n; ++i) {
                    inverse[i] = isa.rows->inverse_norm(rows, i);
                    finite &= std::isfinite(inverse[i]) && inverse[i] > 0;
                }
                rows.inverse_norms = inverse.data();
                if (finite) pairs += test(DotCoder(rows, Metric::cosine, *isa.rows), rows, isa);
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
    CHECK(sketches > 100 && sizes_apart > 100 && regions_apart > 100);
    std::printf("%lld pairs, %d sketches, %d turns stopped, %d failures\n", static_cast<long long>(pairs), sketches,
                stopped_turns, failures);
    return failures != 0;
}
