// Approximate graphs: every distance is that of a float64 brute force, most neighbours are found, and the result is the
// same for every number of threads and instruction set. Rows of a group are kept apart, and copies are all found.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "vicinal.hpp"

namespace {

using namespace vicinal;

int failures = 0;

#define CHECK(condition)                                                          \
    do {                                                                          \
        if (!(condition)) {                                                       \
            std::printf("%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            ++failures;                                                           \
        }                                                                         \
    } while (false)

constexpr int kRows = 900, kDim = 20, kNeighbours = 4;

struct Found {
    std::vector<int64_t> indices;
    std::vector<float> distances;

    bool operator==(const Found&) const = default;
};

std::vector<float> clustered(int copies) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    std::vector<float> centres(30 * kDim), rows(kRows * kDim);
    for (float& value : centres) value = 2 * normal(random);
    for (int i = 0; i < kRows; ++i) {
        for (int c = 0; c < kDim; ++c) rows[i * kDim + c] = centres[i % 30 * kDim + c] + normal(random);
    }
    for (int i = 0; i < copies; ++i) std::copy_n(&rows[(i + 500) * kDim], kDim, &rows[i * kDim]);
    return rows;
}

Found graph_of(const std::vector<float>& rows, Metric metric, int threads, const std::string& isa,
               const int64_t* groups) {
    const Matrix matrix{rows.data(), kRows, kDim, kDim * 4, 4, DType::f32};
    Graph graph(matrix, metric, threads, isa, groups, 2 * kNeighbours, 3);
    for (int i = 0; i < 4; ++i) graph.partition(64, 2);
    for (int i = 0; i < 3; ++i) graph.refine(kNeighbours + 2, 256);
    CHECK(graph.pairs() > 0 && graph.changed() >= 0);
    Found found{std::vector<int64_t>(kRows * kNeighbours), std::vector<float>(kRows * kNeighbours)};
    graph.neighbours(nullptr, kRows, kNeighbours, found.indices.data(), found.distances.data());
    return found;
}

Found exact_of(const std::vector<float>& rows, Metric metric, const int64_t* groups) {
    const Matrix matrix{rows.data(), kRows, kDim, kDim * 4, 4, DType::f32};
    Index index(matrix, metric, 1, "");
    Found found{std::vector<int64_t>(kRows * kNeighbours), std::vector<float>(kRows * kNeighbours)};
    index.self_join(kNeighbours, groups, found.indices.data(), found.distances.data());
    return found;
}

double distance(const std::vector<float>& rows, int64_t a, int64_t b) {
    double square = 0;
    for (int c = 0; c < kDim; ++c) {
        const double off = static_cast<double>(rows[a * kDim + c]) - rows[b * kDim + c];
        square += off * off;
    }
    return std::sqrt(square);
}

void check(const std::vector<float>& rows, Metric metric, const int64_t* groups) {
    const Found exact = exact_of(rows, metric, groups), first = graph_of(rows, metric, 1, "", groups);
    int hits = 0;
    for (int i = 0; i < kRows; ++i) {
        for (int j = 0; j < kNeighbours; ++j) {
            const int place = i * kNeighbours + j;
            const int64_t other = first.indices[place];
            CHECK(other >= 0 && other != i && (!groups || groups[other] != groups[i]));
            CHECK(j == 0 || first.distances[place] >= first.distances[place - 1]);
            if (metric == Metric::euclidean)
                CHECK(std::abs(first.distances[place] - distance(rows, i, other)) <
                      1e-5 * (1 + first.distances[place]));
            hits += first.distances[place] <= exact.distances[i * kNeighbours + kNeighbours - 1];
        }
    }
    CHECK(hits >= 97 * kRows * kNeighbours / 100);
    for (const std::string& isa : isas()) CHECK(graph_of(rows, metric, 3, isa, groups) == first);
}

void check_arguments() {
    const std::vector<float> rows = clustered(0);
    const Matrix matrix{rows.data(), kRows, kDim, kDim * 4, 4, DType::f32};
    Graph graph(matrix, Metric::euclidean, 1, "", nullptr, 4, 0);
    const auto refused = [](auto&& call) {
        try {
            call();
        } catch (const std::invalid_argument&) {
            return true;
        }
        return false;
    };
    CHECK(refused([&] { graph.partition(1, 1); }));
    CHECK(refused([&] { graph.refine(0, 1); }));
    CHECK(refused([&] { Graph(matrix, Metric::euclidean, 1, "", nullptr, 0, 0); }));
    const int64_t row = kRows;
    int64_t index;
    float far;
    CHECK(refused([&] { graph.neighbours(&row, 1, 1, &index, &far); }));
    const int64_t first = 0;
    graph.neighbours(&first, 1, 1, &index, &far);
    CHECK(index == -1 && far == std::numeric_limits<float>::infinity());
}

}  // namespace

int main() {
    std::vector<int64_t> groups(kRows);
    for (int i = 0; i < kRows; ++i) groups[i] = i % 7;
    const std::vector<float> rows = clustered(0), copied = clustered(120);
    for (const Metric metric : {Metric::euclidean, Metric::cosine, Metric::inner_product, Metric::manhattan}) {
        check(rows, metric, nullptr);
        check(copied, metric, nullptr);
    }
    check(rows, Metric::euclidean, groups.data());
    check_arguments();
    std::printf("graphs: %d failures\n", failures);
    return failures ? 1 : 0;
}
