// Compares every call of the index, to the bit, with the float64 brute force of truth.hpp: metrics, groups, copies,
// ties, k beyond the rows, sketches, several threads, and joins that are interrupted and resumed, on every instruction
// set.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "truth.hpp"

namespace {

using namespace vicinal;

bool quick = false;  // whether the portable loops are left out

struct Case {
    const Data& data;
    Metric metric;
    const Truth& truth;
    const std::vector<int64_t>& groups;
    const std::string& isa;
    int threads;
    int sketch;

    Index index(int count) const { return Index(data.matrix(0, count), metric, threads, isa, sketch); }

    auto others(int64_t k, const int64_t* own) const {
        return [this, k, own](int i) {
            return truth.sorted(i, data.n, k, [&](int j) { return j != i && !(own && own[j] == own[i]); });
        };
    }

    void self_join(int64_t k, bool grouped) const {
        Index index = this->index(data.n);
        const int64_t* own = grouped ? groups.data() : nullptr;
        Result result(data.n, k);
        index.self_join(k, own, result.indices.data(), result.distances.data());
        compare(result, data.n, k, "self-join", others(k, own));
        if (sketch > 0 && !grouped) CHECK(index.stats().sketch == sketch);
    }

    // Interrupts the join at every save and resumes it from the saved state alone, with another number of threads.
    void resumed(int64_t k, bool grouped) const {
        const int64_t* own = grouped ? groups.data() : nullptr;
        Result live(data.n, k), saved(data.n, k);
        Checkpoint state;
        bool some = false, done = false;
        int stops = 0;
        for (int attempt = 0; !done && attempt < 1000; ++attempt) {
            Case other = *this;
            other.threads = attempt % 3 + 1;
            Index index = other.index(data.n);
            live = some ? saved : Result(data.n, k);
            const Checkpoint from = state;
            Callbacks callbacks;
            callbacks.save_interval = 0;
            callbacks.resume = some ? &from : nullptr;
            callbacks.save = [&](const Checkpoint& now) {
                state = now;
                saved = live;
                some = true;
                throw std::runtime_error("stop");
            };
            try {
                index.self_join(k, own, live.indices.data(), live.distances.data(), callbacks);
                done = true;
            } catch (const std::runtime_error&) {
                ++stops;
            }
        }
        CHECK(done && stops > 1);
        compare(live, data.n, k, "resumed self-join", others(k, own));
        // The state of another join is refused, and so is a row number beyond the data.
        const auto refused = [&](int64_t other_k, Result lists) {
            Callbacks callbacks;
            callbacks.resume = &state;
            try {
                index(data.n).self_join(other_k, own, lists.indices.data(), lists.distances.data(), callbacks);
            } catch (const std::invalid_argument&) {
                return true;
            }
            return false;
        };
        CHECK(refused(k + 1, Result(data.n, k + 1)));
        const uint32_t beyond = static_cast<uint32_t>(data.n) + 5;
        for (float& distance : saved.distances)
            std::copy_n(reinterpret_cast<const char*>(&beyond), 4, reinterpret_cast<char*>(&distance));
        CHECK(refused(k, saved));
    }

    // The last rows are the queries, the others are stored.
    void search(int queries, int64_t k, bool grouped) const {
        const int stored = data.n - 200;
        Index index = this->index(stored);
        const int64_t* own = grouped ? groups.data() : nullptr;
        Result result(queries, k);
        index.search(data.matrix(stored, queries), k, own, own ? own + stored : nullptr, result.indices.data(),
                     result.distances.data());
        if (sketch > 0) CHECK(index.stats().sketch == sketch);
        compare(result, queries, k, "search", [&](int i) {
            return truth.sorted(stored + i, stored, k, [&](int j) { return !(own && own[j] == own[stored + i]); });
        });
    }

    // The shares of a self-join by two processes, whose lists are merged; each share knows the limits of those before.
    void shares(int64_t k, bool grouped, int64_t ranges, const std::vector<int64_t>& cuts) const {
        Index indices[] = {index(data.n), index(data.n)};
        const int64_t* own = grouped ? groups.data() : nullptr;
        std::vector<std::vector<std::pair<double, int>>> lists(data.n);
        uint64_t layout = 0;
        int number = 0;
        const auto run = [&](const Share& share) {
            std::vector<double> limits(data.n, std::numeric_limits<double>::infinity());
            for (int i = 0; i < data.n; ++i) {
                if (static_cast<int64_t>(lists[i].size()) == k) limits[i] = lists[i].back().first;
            }
            Index& one = indices[number++ % 2];
            if (number == 4) one.prepare_shares(k, own);
            uint64_t made = 0;
            const Entries found = one.self_join_share(k, own, share, limits.data(), made);
            CHECK(layout == 0 || made == layout);
            layout = made;
            size_t place = 0;
            for (int i = 0; i < data.n; ++i) {
                auto& list = lists[i];
                for (const size_t end = place + found.counts[i]; place < end; ++place) {
                    CHECK(found.distances[place] <= limits[i]);
                    list.emplace_back(found.distances[place], static_cast<int>(found.rows[place]));
                }
                std::sort(list.begin(), list.end());
                list.erase(std::unique(list.begin(), list.end()), list.end());
                if (static_cast<int64_t>(list.size()) > k) list.resize(k);
            }
        };
        for (int64_t range = 0; range < ranges; ++range) run({ranges, false, range, range + 1, ranges});
        for (size_t i = 0; i + 1 < cuts.size(); ++i) run({ranges, true, cuts[i], cuts[i + 1], cuts.back()});
        Result merged(data.n, k);
        for (int i = 0; i < data.n; ++i) {
            for (int64_t j = 0; j < k; ++j) {
                const bool some = j < static_cast<int64_t>(lists[i].size());
                merged.indices[i * k + j] = some ? lists[i][j].second : -1;
                merged.distances[i * k + j] =
                    some ? static_cast<float>(lists[i][j].first) : std::numeric_limits<float>::infinity();
            }
        }
        compare(merged, data.n, k, "shares of a self-join", others(k, own));
    }

    // Queries in two calls, whose lists of the stored rows go on; with limits, only the entries within them are wanted.
    void cross_join(int64_t k, bool grouped, bool limited) const {
        const int stored = data.n - 200, n = 200, half = 90;
        Index index = this->index(stored);
        const int64_t* own = grouped ? groups.data() : nullptr;
        Result queries(n, k), rows(stored, k);
        for (size_t i = 0; i < rows.indices.size(); ++i) put(rows, i, std::numeric_limits<double>::infinity(), ~0u);
        const std::vector<double> limits(data.n, limited ? radius() : std::numeric_limits<double>::infinity());
        for (int first = 0; first < n; first += half) {
            const int count = std::min(half, n - first);
            const RawLists query_lists{&queries.indices[first * k], &queries.distances[first * k], limits.data()};
            const RawLists stored_lists{rows.indices.data(), rows.distances.data(), limits.data()};
            index.cross_join(data.matrix(stored + first, count), k, own, own ? own + stored + first : nullptr,
                             query_lists, stored_lists, first);
        }
        finish(queries, n, k, limits[0]);
        finish(rows, stored, k, limits[0]);
        const auto expected = [&](int row, int first, int last) {
            auto found = truth.sorted(row, last, k, [&](int j) { return j >= first && !(own && own[j] == own[row]); });
            std::erase_if(found, [&](const auto& one) { return one.first > limits[0]; });
            for (auto& one : found) one.second -= first;
            return found;
        };
        compare(queries, n, k, "cross join", [&](int i) { return expected(stored + i, 0, stored); });
        compare(rows, stored, k, "cross join, stored", [&](int i) { return expected(i, stored, data.n); });
    }

    static void put(Result& result, size_t i, double distance, uint32_t row) {
        std::memcpy(&result.indices[i], &distance, 8);
        std::memcpy(&result.distances[i], &row, 4);
    }

    static std::pair<double, uint32_t> get(const Result& result, size_t i) {
        std::pair<double, uint32_t> entry;
        std::memcpy(&entry.first, &result.indices[i], 8);
        std::memcpy(&entry.second, &result.distances[i], 4);
        return entry;
    }

    // Turns raw lists into results, with the entries within the limit.
    static void finish(Result& result, int64_t n, int64_t k, double limit) {
        for (int64_t i = 0; i < n; ++i) {
            std::vector<std::pair<double, uint32_t>> entries(k);
            for (int64_t j = 0; j < k; ++j) entries[j] = get(result, i * k + j);
            std::sort(entries.begin(), entries.end());
            for (int64_t j = 0; j < k; ++j) {
                const bool some = entries[j].second != ~0u && entries[j].first <= limit;
                result.indices[i * k + j] = some ? entries[j].second : int64_t{-1};
                result.distances[i * k + j] =
                    some ? static_cast<float>(entries[j].first) : std::numeric_limits<float>::infinity();
            }
        }
    }

    void within(double radius, bool queried, bool grouped) const {
        const int stored = queried ? data.n - 200 : data.n, n_rows = queried ? 200 : data.n;
        Index index = this->index(stored);
        const int64_t* own = grouped ? groups.data() : nullptr;
        const Matrix queries = data.matrix(data.n - n_rows, n_rows);
        const RadiusResult result =
            index.within(radius, queried ? &queries : nullptr, own, queried && own ? own + stored : nullptr);
        ++calls;
        CHECK(result.indptr.size() == static_cast<size_t>(n_rows) + 1 && result.indptr[0] == 0);
        for (int i = 0; i < n_rows; ++i) {
            const int row = data.n - n_rows + i;
            auto rows = truth.sorted(row, stored, stored, [&](int j) {
                return j != row && truth.at(row, j) <= radius && !(own && own[j] == own[row]);
            });
            const int64_t begin = result.indptr[i];
            bool same = result.indptr[i + 1] - begin == static_cast<int64_t>(rows.size());
            for (size_t j = 0; same && j < rows.size(); ++j) {
                same = result.indices[begin + j] == rows[j].second &&
                       result.distances[begin + j] == static_cast<float>(rows[j].first);
            }
            if (!same) {
                std::printf("within %.9g: row %d differs\n", radius, i);
                fail();
                return;
            }
        }
    }

    double radius() const {
        const auto near = truth.sorted(0, data.n, 13, [](int j) { return j != 0; });
        return near[12].first;
    }
};

// The calls that are compared for data without sketches.
void whole(const Case& one) {
    for (const int64_t k : {1, 5, 40, 130}) one.self_join(k, k == 5);
    one.self_join(20, true);
    one.self_join(one.data.n + 3, false);
    one.resumed(24, one.metric == Metric::cosine);
    for (const int queries : {1, 3, 200}) one.search(queries, 5, queries == 3);
    one.search(200, 60, true);
    one.search(9, one.data.n + 1, false);
    for (const int64_t k : {1, 7, 40}) one.cross_join(k, k == 7, k != 1);
    one.cross_join(5, false, false);
    one.shares(5, false, 3, {0, 2, 3, 7});
    one.shares(24, true, 1, {0, 1});
    for (const bool queried : {false, true}) {
        one.within(one.radius(), queried, false);
        one.within(one.radius(), queried, true);
    }
}

// And for data that a sketch is asked for.
void sketched(const Case& one) {
    one.self_join(5, false);
    one.self_join(40, true);
    one.resumed(7, false);
    one.search(200, 5, false);
    one.search(3, 60, true);
    one.cross_join(7, false, true);
    one.shares(7, false, 2, {0, 1, 3});
}

void test(const Data& data, Metric metric, int sketch) {
    const Truth truth(data, metric);
    std::vector<int64_t> groups(data.n);
    for (int i = 0; i < data.n; ++i) groups[i] = i * 7 % 5 - 2;
    const int before = failures;
    for (const std::string& isa : isas()) {
        if (quick && isa == "portable") continue;
        const Case one{data, metric, truth, groups, isa, 3, sketch};
        sketch > 0 ? sketched(one) : whole(one);
        if (failures > before)
            std::printf("  with %s, %s, metric %d\n", isa.c_str(), data.name, static_cast<int>(metric));
    }
}

}  // namespace

int main(int count, char** arguments) {
    quick = count > 1 && std::strcmp(arguments[1], "quick") == 0;
    const Data some = clusters("clusters", 640, 37, false), ties = clusters("ties", 500, 9, true);
    for (const Metric metric : {Metric::euclidean, Metric::sqeuclidean, Metric::inner_product, Metric::manhattan}) {
        test(some, metric, 0);
        test(ties, metric, 0);
    }
    test(some, Metric::cosine, 0);
    const Data packed = bits(600, 19);
    test(packed, Metric::hamming, 0);
    test(packed, Metric::jaccard, 0);
    const Data many = clusters("sketched", 2600, 64, false);
    test(many, Metric::euclidean, 16);
    test(many, Metric::cosine, 16);
    std::printf("%ld calls, %d failures\n", long(calls), failures);
    return failures != 0;
}
