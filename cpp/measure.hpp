// The exact distances of the pairs that passed a scan.
#pragma once

#include <algorithm>
#include <vector>

#include "join_rows.hpp"

namespace vicinal {

// A pair that passed the scan and has no exact distance yet: the positions of a row of the join and of a stored row,
// and a lower bound of its radius.
struct PendingPair {
    int32_t row;
    int32_t column;
    float lower;

    static PendingPair of(int64_t row, int64_t column, float lower) {
        return {static_cast<int32_t>(row), static_cast<int32_t>(column), lower};
    }
};

inline constexpr int64_t kSmall = 16;  // up to this k, pairs are measured after every tile and in two rounds

// Processes a queue of pairs, sorted by row, in rounds, the pairs with the lowest bounds of each row first: their
// distances lower the thresholds, so that fewer of the others are measured. insert() measures the pairs in the queue;
// prune() removes those that can no longer pass.
template <class Enter, class Drop>
void in_rounds(std::vector<PendingPair>& queue, std::vector<PendingPair>& later, int64_t k, Enter&& insert,
               Drop&& prune) {
    for (size_t step = k <= kSmall ? k : (k + 1) / 2; !queue.empty(); step = k <= kSmall ? queue.size() : 2 * step) {
        later.clear();
        size_t now = 0;
        for (size_t begin = 0, end; begin < queue.size(); begin = end) {
            for (end = begin + 1; end < queue.size() && queue[end].row == queue[begin].row; ++end) {
            }
            const size_t first = std::min(step, end - begin);
            if (first < end - begin) {
                std::nth_element(queue.begin() + begin, queue.begin() + begin + first, queue.begin() + end,
                                 [](const PendingPair& a, const PendingPair& b) { return a.lower < b.lower; });
                later.insert(later.end(), queue.begin() + begin + first, queue.begin() + end);
            }
            std::copy_n(queue.begin() + begin, first, queue.begin() + now);
            now += first;
        }
        queue.resize(now);
        insert();
        queue.swap(later);
        prune();
    }
}

// Computes exact distances of pairs.
class Measure {
public:
    Measure(const Stored& stored, const JoinRows& rows, const Isa& isa)
        : stored_(stored), rows_(rows), ops_(*isa.rows), x_(padded(stored.rows().matrix.dim, 8)) {}

    // Calls use(row, column, distance) for every pair. Fastest where the pairs of a row are adjacent.
    template <class Use>
    void run(const PendingPair* pairs, size_t n, Use&& use) {
        constexpr size_t kTogether = 4, kPrefetch = 8;
        constexpr size_t kBatch = 64;
        count_ += n;
        const auto fetch = [&](size_t i) {
            prefetch(stored_.rows(), stored_.row(pairs[i].column));
            if (i > 0 && pairs[i].row != pairs[i - 1].row) prefetch(rows_.rows(), rows_.row(pairs[i].row));
        };
        for (size_t i = 0; i < std::min(kPrefetch, n); ++i) fetch(i);
        for (size_t i = 0; i < n;) {
            const int32_t row = pairs[i].row;
            ops_.load(rows_.rows(), rows_.row(row), x_.data());
            int32_t which[kBatch];
            double sums[kBatch];
            size_t together = 0;
            for (; together < kBatch && i + together < n && pairs[i + together].row == row; ++together) {
                which[together] = stored_.row(pairs[i + together].column);
            }
            for (size_t t = 0; t < together; t += kTogether) {
                for (size_t ahead = i + t + kPrefetch; ahead < std::min(n, i + t + kPrefetch + kTogether); ++ahead) {
                    fetch(ahead);
                }
                const size_t now = std::min(kTogether, together - t);
                ops_.measure(stored_.rows(), stored_.coder().sum(), x_.data(), which + t, now, sums + t);
            }
            for (size_t t = 0; t < together; ++t) {
                use(row, pairs[i + t].column, stored_.coder().distance_of(sums[t]));
            }
            i += together;
        }
    }

    // As run, fastest where the pairs of a column are adjacent.
    template <class Use>
    void run_by_column(const PendingPair* pairs, size_t n, Use&& use) {
        constexpr size_t kBatch = 64, kAhead = 2;
        count_ += n;
        for (size_t i = 0, next = 0, columns = 0; i < n;) {
            for (; next < n && columns < kAhead; ++next) {
                if (next > 0 && pairs[next].column == pairs[next - 1].column) continue;
                prefetch(stored_.rows(), stored_.row(pairs[next].column));
                ++columns;
            }
            const int32_t column = pairs[i].column;
            ops_.load(stored_.rows(), stored_.row(column), x_.data());
            while (i < n && pairs[i].column == column) {
                int32_t which[kBatch];
                double sums[kBatch];
                size_t together = 0;
                for (; together < kBatch && i + together < n && pairs[i + together].column == column; ++together) {
                    which[together] = rows_.row(pairs[i + together].row);
                }
                ops_.measure(rows_.rows(), stored_.coder().sum(), x_.data(), which, together, sums);
                for (size_t t = 0; t < together; ++t) {
                    use(pairs[i + t].row, column, stored_.coder().distance_of(sums[t]));
                }
                i += together;
            }
            --columns;
        }
    }

    int64_t count() const { return count_; }

private:
    const Stored& stored_;
    const JoinRows& rows_;
    const RowOps& ops_;
    std::vector<double> x_;
    int64_t count_ = 0;
};

}  // namespace vicinal
