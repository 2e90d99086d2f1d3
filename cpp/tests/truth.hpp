// The float64 brute force that join_test.cpp compares every call with, and the data of both.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "check.hpp"
#include "vicinal.hpp"

namespace vicinal {

struct Data {
    const char* name;
    int n, dim;
    DType dtype;
    std::vector<float> floats;
    std::vector<uint8_t> bytes;

    Matrix matrix(int first, int count) const {
        if (dtype == DType::u8) return {&bytes[size_t(first) * dim], count, dim, dim, 1, dtype};
        return {&floats[size_t(first) * dim], count, dim, dim * 4, 4, dtype};
    }
    double at(int row, int c) const {
        return dtype == DType::u8 ? bytes[size_t(row) * dim + c] : floats[size_t(row) * dim + c];
    }
};

// Sums over coordinates in the kernel's order: eight lanes (rows.hpp).
template <class Term>
double lane_sum(int dim, Term&& term) {
    double l[8] = {};
    for (int c = 0; c < dim; ++c) l[c % 8] += term(c);
    return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]));
}

// The distances of all pairs of rows.
class Truth {
public:
    Truth(const Data& data, Metric metric) : n_(data.n), distances_(size_t(data.n) * data.n) {
        const int dim = data.dim;
        std::vector<double> x(size_t(n_) * dim);
        for (int i = 0; i < n_; ++i) {
            double factor = 1;
            if (metric == Metric::cosine) {
                factor = 1.0 / std::sqrt(lane_sum(dim, [&](int c) { return data.at(i, c) * data.at(i, c); }));
            }
            for (int c = 0; c < dim; ++c) x[size_t(i) * dim + c] = data.at(i, c) * factor;
        }
        for (int i = 0; i < n_; ++i) {
            for (int j = 0; j < n_; ++j) {
                distances_[size_t(i) * n_ + j] = measure(metric, &x[size_t(i) * dim], &x[size_t(j) * dim], dim);
            }
        }
    }

    double at(int i, int j) const { return distances_[size_t(i) * n_ + j]; }

    // The first `limit` allowed columns below `columns`, by (distance, row).
    template <class Counts>
    std::vector<std::pair<double, int>> sorted(int row, int columns, int64_t limit, Counts&& counts) const {
        std::vector<std::pair<double, int>> all;
        for (int j = 0; j < columns; ++j) {
            if (counts(j)) all.emplace_back(at(row, j), j);
        }
        const auto kept = std::min<int64_t>(limit, all.size());
        std::partial_sort(all.begin(), all.begin() + kept, all.end());
        all.resize(kept);
        return all;
    }

private:
    static double measure(Metric metric, const double* x, const double* y, int dim) {
        const double squares = lane_sum(dim, [&](int c) {
            const double d = x[c] - y[c];
            return d * d;
        });
        switch (metric) {
            case Metric::euclidean: return std::sqrt(squares);
            case Metric::sqeuclidean: return squares;
            case Metric::cosine: return squares / 2;
            case Metric::inner_product: return -lane_sum(dim, [&](int c) { return x[c] * y[c]; });
            case Metric::manhattan: return lane_sum(dim, [&](int c) { return std::fabs(x[c] - y[c]); });
            default: break;
        }
        int differing = 0, either = 0;
        for (int c = 0; c < dim; ++c) {
            const auto a = static_cast<unsigned>(x[c]), b = static_cast<unsigned>(y[c]);
            differing += __builtin_popcount(a ^ b);
            either += __builtin_popcount(a | b);
        }
        if (metric == Metric::hamming) return differing;
        return either == 0 ? 0 : 1 - static_cast<double>(either - differing) / either;
    }

    int n_;
    std::vector<double> distances_;
};

struct Result {
    std::vector<int64_t> indices;
    std::vector<float> distances;
    Result(int64_t n, int64_t k) : indices(n * k, -7), distances(n * k, -7) {}
};

inline int64_t calls = 0;  // whose results were compared

template <class Expected>
void compare(const Result& result, int64_t n, int64_t k, const char* what, Expected&& expected) {
    ++calls;
    for (int64_t i = 0; i < n; ++i) {
        const auto rows = expected(static_cast<int>(i));
        for (int64_t j = 0; j < k; ++j) {
            const bool some = j < static_cast<int64_t>(rows.size());
            const int64_t index = some ? rows[j].second : -1;
            const float distance = some ? static_cast<float>(rows[j].first) : std::numeric_limits<float>::infinity();
            if (result.indices[i * k + j] == index && result.distances[i * k + j] == distance) continue;
            std::printf("%s: row %ld, place %ld of %ld: found %ld at %.9g, expected %ld at %.9g\n", what, long(i),
                        long(j), long(k), long(result.indices[i * k + j]), result.distances[i * k + j], long(index),
                        distance);
            fail();
            return;
        }
    }
}

inline Data clusters(const char* name, int n, int dim, bool whole) {
    Data data{name, n, dim, DType::f32, std::vector<float>(size_t(n) * dim), {}};
    std::mt19937_64 random(dim);
    std::normal_distribution<float> normal;
    std::vector<float> centres(size_t(8) * dim);
    for (float& c : centres) c = 2 * normal(random);
    for (int i = 0; i < n; ++i) {
        float* row = &data.floats[size_t(i) * dim];
        const uint64_t kind = random() % 16;
        if (kind == 0 && i > 10) {  // a copy
            std::copy_n(&data.floats[random() % i * dim], dim, row);
            continue;
        }
        const float* centre = &centres[random() % 8 * dim];
        for (int c = 0; c < dim; ++c) {
            row[c] =
                whole ? static_cast<float>(random() % 3) : centre[c] + normal(random) / (1 + static_cast<float>(c) / 4);
        }
        if (kind == 1 && i > 10) {  // nearly a copy
            std::copy_n(&data.floats[random() % i * dim], dim, row);
            row[0] += 1e-6f;
        }
    }
    return data;
}

inline Data bits(int n, int dim) {
    Data data{"bits", n, dim, DType::u8, {}, std::vector<uint8_t>(size_t(n) * dim)};
    std::mt19937_64 random(5);
    for (uint8_t& byte : data.bytes) byte = static_cast<uint8_t>(random() & random());
    for (int i = 30; i < n; i += 11) std::copy_n(&data.bytes[size_t(i / 3) * dim], dim, &data.bytes[size_t(i) * dim]);
    return data;
}

}  // namespace vicinal
