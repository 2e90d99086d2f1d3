// Compares joins whose samples and estimates mislead (deferred_join.hpp) with the brute force of truth.hpp.
#include <cstdio>

#include "truth.hpp"

namespace {

using namespace vicinal;

// Every eighth row, which samples take, is near the others of its kind, so that a sample has all their neighbours and
// their first radii are too low.
Data misleading(int n, int dim, int step) {
    Data data{"misleading", n, dim, DType::f32, std::vector<float>(size_t(n) * dim), {}};
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    for (int i = 0; i < n; ++i) {
        const float width = i % step == 0 ? 0.2f : 1.0f;
        for (int c = 0; c < dim; ++c) data.floats[size_t(i) * dim + c] = width * normal(random);
    }
    return data;
}

void test(const Data& data, Metric metric, const std::string& isa, int threads) {
    const Truth truth(data, metric);
    std::vector<int64_t> groups(data.n);
    for (int i = 0; i < data.n; ++i) groups[i] = i % 3;
    const int stored = data.n / 2;
    for (const int64_t k : {3, 30, 150}) {
        for (const bool grouped : {false, true}) {
            const int64_t* own = grouped ? groups.data() : nullptr;
            Result joined(data.n, k), found(data.n - stored, k);
            Index(data.matrix(0, data.n), metric, threads, isa)
                .self_join(k, own, joined.indices.data(), joined.distances.data());
            compare(joined, data.n, k, "self-join", [&](int i) {
                return truth.sorted(i, data.n, k, [&](int j) { return j != i && !(own && own[j] == own[i]); });
            });
            Index(data.matrix(0, stored), metric, threads, isa)
                .search(data.matrix(stored, data.n - stored), k, own, own ? own + stored : nullptr,
                        found.indices.data(), found.distances.data());
            compare(found, data.n - stored, k, "search", [&](int i) {
                const int row = stored + i;
                return truth.sorted(row, stored, k, [&](int j) { return !(own && own[j] == own[row]); });
            });
        }
    }
}

}  // namespace

int main() {
    const Data eighths = misleading(1300, 12, 8), few = misleading(1300, 12, 64);
    for (const std::string& isa : isas()) {
        test(eighths, Metric::euclidean, isa, 2);
        test(eighths, Metric::inner_product, isa, 1);
        test(few, Metric::cosine, isa, 3);
        test(few, Metric::manhattan, isa, 2);
    }
    std::printf("%ld calls, %d failures\n", long(calls), failures);
    return failures != 0;
}
