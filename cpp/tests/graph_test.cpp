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

#include "check.hpp"
#include "vicinal.hpp"

namespace {

using namespace vicinal;

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

// Rows of three regions far from each other, whose rows one scale of codes does not tell apart.
std::vector<float> apart(std::vector<float> rows) {
    for (int i = 0; i < kRows * kDim; ++i) rows[i] += static_cast<float>(i / kDim % 3 * (i % kDim % 5 + 1) * 3000);
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

template <class Call>
bool refused(Call&& call) {
    try {
        call();
    } catch (const std::invalid_argument&) {
        return true;
    }
    return false;
}

void check_arguments() {
    const std::vector<float> rows = clustered(0);
    const Matrix matrix{rows.data(), kRows, kDim, kDim * 4, 4, DType::f32};
    Graph graph(matrix, Metric::euclidean, 1, "", nullptr, 4, 0);
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
    double reach = 0;
    graph.neighbours(&first, 1, 1, &index, &far, {}, &reach);
    CHECK(reach == std::numeric_limits<double>::infinity());  // nothing was cut off its list
    graph.release();
    const auto gone = [](auto&& call) {
        try {
            call();
        } catch (const std::logic_error&) {
            return true;
        }
        return false;
    };
    CHECK(gone([&] { graph.partition(8, 1); }) && gone([&] { graph.refine(1, 8); }));
    graph.neighbours(&first, 1, 1, &index, &far);
    CHECK(index == -1);
}

constexpr int kSearched = 5;

// The rows that a graph for searching names for all rows as queries: made of the first `first` rows, then extended.
std::vector<int64_t> walked(const std::vector<float>& rows, int first, int threads, const std::string& isa, bool copied,
                            bool products) {
    const Matrix matrix{rows.data(), first, kDim, kDim * 4, 4, DType::f32};
    Graph graph(matrix, Metric::euclidean, threads, isa, nullptr, 16, 3);
    for (int i = 0; i < 3; ++i) graph.partition(64, 2);
    GraphSearch made = products ? GraphSearch(matrix, 12, 40, threads, isa) : GraphSearch(graph, 12, 40);
    if (first < kRows) {
        made.extend({rows.data() + first * kDim, kRows - first, kDim, kDim * 4, 4, DType::f32}, 32);
    }
    GraphSearch again(made.parts(), threads, isa);
    std::vector<int64_t> found(kRows * kSearched);
    const Matrix queries{rows.data(), kRows, kDim, kDim * 4, 4, DType::f32};
    (copied ? again : made).search(queries, kSearched, 40, nullptr, found.data());
    return found;
}

void check_walks(const std::vector<float>& rows, int first, bool products) {
    const std::vector<int64_t> expected = walked(rows, first, 1, "", false, products);
    for (const std::string& isa : isas()) {
        for (const int threads : {1, 3}) CHECK(walked(rows, first, threads, isa, threads == 3, products) == expected);
    }
}

// The row of the highest inner product with each row is found, and rows are the same for all threads and instruction
// sets.
void check_products(const std::vector<float>& rows, double least) {
    check_walks(rows, kRows - 200, true);
    const Found exact = exact_of(rows, Metric::inner_product, nullptr);
    const std::vector<int64_t> found = walked(rows, kRows - 200, 1, "", false, true);
    int first = 0;
    for (int i = 0; i < kRows; ++i) {
        const int64_t* const own = &found[i * kSearched];
        first += std::find(own, own + kSearched, exact.indices[i * kNeighbours]) != own + kSearched;
    }
    CHECK(first >= least * kRows);
}

void check_search(const std::vector<float>& rows, int first, double least) {
    check_walks(rows, first, false);
    const std::vector<int64_t> expected = walked(rows, first, 1, "", false, false);
    int own = 0;
    for (int i = 0; i < kRows; ++i) {
        const int64_t* const found = &expected[i * kSearched];
        for (int j = 0; j < kSearched; ++j) {
            CHECK(found[j] >= 0 && found[j] < kRows);
            own += std::equal(&rows[i * kDim], &rows[(i + 1) * kDim], &rows[found[j] * kDim]);
        }
    }
    CHECK(own >= least * kRows);
    std::vector<uint8_t> allowed((kRows + 7) / 8, 0xaa);
    const Matrix matrix{rows.data(), kRows, kDim, kDim * 4, 4, DType::f32};
    Graph graph(matrix, Metric::euclidean, 1, "", nullptr, 16, 3);
    graph.partition(64, 2);
    GraphSearch search(graph, 12, 40);
    std::vector<int64_t> odd(kRows * kSearched);
    search.search(matrix, kSearched, 80, allowed.data(), odd.data());
    for (const int64_t row : odd) CHECK(row == -1 || row % 2 == 1);
    std::vector<int64_t> itself(kRows), others(kRows * kSearched);
    for (int i = 0; i < kRows; ++i) itself[i] = i;
    search.search(matrix, kSearched, 80, nullptr, others.data(), itself.data());
    for (int i = 0; i < kRows * kSearched; ++i) CHECK(others[i] != i / kSearched);
    itself[7] = kRows;
    CHECK(refused([&] { search.search(matrix, kSearched, 80, nullptr, others.data(), itself.data()); }));
}

// Arrays of a file that was changed are refused.
void check_parts(const std::vector<float>& rows) {
    const Matrix matrix{rows.data(), kRows, kDim, kDim * 4, 4, DType::f32};
    Graph graph(matrix, Metric::euclidean, 1, "", nullptr, 16, 3);
    graph.partition(64, 2);
    const GraphSearch search(graph, 12, 40);
    const GraphParts whole = search.parts();
    const auto with = [&](auto change) {
        GraphParts parts = whole;
        change(parts);
        return refused([&] { GraphSearch(parts, 1, ""); });
    };
    std::vector<int32_t> links(whole.links, whole.links + whole.n * whole.degree),
        wrong(whole.rows, whole.rows + kRows);
    links[5] = kRows;
    wrong[3] = wrong[4];
    const double infinite[kDim] = {std::numeric_limits<double>::infinity()};
    std::vector<float> terms(whole.terms, whole.terms + 2 * whole.n);
    terms[3] = std::numeric_limits<float>::quiet_NaN();
    CHECK(!with([](GraphParts&) {}));
    CHECK(with([&](GraphParts& parts) { parts.links = links.data(); }));
    CHECK(with([&](GraphParts& parts) { parts.rows = wrong.data(); }));
    CHECK(with([&](GraphParts& parts) { parts.origin = infinite; }));
    CHECK(with([&](GraphParts& parts) { parts.terms = terms.data(); }));
    CHECK(with([](GraphParts& parts) { parts.n_starts = 0; }));
    CHECK(with([](GraphParts& parts) { parts.factor = 0; }));
    CHECK(with([](GraphParts& parts) { parts.n_centres = 0; }));
    CHECK(with([](GraphParts& parts) { parts.max_code = 200; }));
    CHECK(with([](GraphParts& parts) { parts.row_bytes = 128; }));
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
    check_search(rows, kRows, 1);
    check_search(rows, kRows - 200, 0.99);
    check_search(copied, kRows, 1);
    check_search(apart(rows), kRows - 200, 1);
    check_products(rows, 0.98);
    check_products(apart(rows), 0.95);
    check_parts(rows);
    check_parts(apart(rows));
    std::printf("graphs: %d failures\n", failures);
    return failures ? 1 : 0;
}
