// The exact distances of the pairs that passed a scan.
#pragma once

#include <algorithm>
#include <vector>

#include "join_rows.hpp"

namespace vicinal {

// A pair that has passed the scan and waits for its exact distance: the position of a row of the join and of a stored
// row, and a lower bound of its radius.
struct Waiting {
    int32_t row;
    int32_t column;
    float lower;

    static Waiting of(int64_t row, int64_t column, float lower) {
        return {static_cast<int32_t>(row), static_cast<int32_t>(column), lower};
    }
};

inline constexpr int64_t kSmall = 16;  // up to this k, pairs are measured after every tile, in two rounds

// Splits a queue of pairs, sorted by row, into rounds, those of the lowest bounds of each row first: their distances
// lower the thresholds, so that fewer of the others are measured. enter() measures the pairs of the queue and drop()
// removes those that can no longer pass.
template <class Enter, class Drop>
void in_rounds(std::vector<Waiting>& queue, std::vector<Waiting>& later, int64_t k, Enter&& enter, Drop&& drop) {
    for (size_t step = k <= kSmall ? k : (k + 1) / 2; !queue.empty(); step = k <= kSmall ? queue.size() : 2 * step) {
        later.clear();
        size_t now = 0;
        for (size_t begin = 0, end; begin < queue.size(); begin = end) {
            for (end = begin + 1; end < queue.size() && queue[end].row == queue[begin].row; ++end) {
            }
            const size_t first = std::min(step, end - begin);
            if (first < end - begin) {
                std::nth_element(queue.begin() + begin, queue.begin() + begin + first, queue.begin() + end,
                                 [](const Waiting& a, const Waiting& b) { return a.lower < b.lower; });
                later.insert(later.end(), queue.begin() + begin + first, queue.begin() + end);
            }
            std::copy_n(queue.begin() + begin, first, queue.begin() + now);
            now += first;
        }
        queue.resize(now);
        enter();
        queue.swap(later);
        drop();
    }
}

// Computes the exact distances of pairs.
class Measure {
public:
    Measure(const Stored& stored, const JoinRows& rows, const Isa& isa)
        : stored_(stored), rows_(rows), ops_(*isa.rows), x_(padded(stored.rows().matrix.dim, 8)) {
        const Matrix& m = stored.rows().matrix;
        if (m.column_stride > 0 && m.column_stride <= 8) row_bytes_ = m.dim * m.column_stride;
    }

    // Calls use(row, column, distance) for every pair; fastest where the pairs of a row follow each other.
    template <class Use>
    void run(const Waiting* pairs, size_t n, Use&& use) {
        constexpr size_t kAhead = 6;
        constexpr size_t kTogether = 64;
        count_ += n;
        for (size_t i = 0; i < std::min(kAhead, n); ++i) fetch(pairs[i].column);
        for (size_t i = 0; i < n;) {
            const int32_t row = pairs[i].row;
            ops_.load(rows_.rows(), rows_.row(row), x_.data());
            int32_t which[kTogether];
            double sums[kTogether];
            size_t together = 0;
            for (; together < kTogether && i + together < n && pairs[i + together].row == row; ++together) {
                which[together] = stored_.row(pairs[i + together].column);
            }
            for (size_t t = 0; t < together; t += 2) {
                for (size_t ahead = i + t + kAhead; ahead < std::min(n, i + t + kAhead + 2); ++ahead) {
                    fetch(pairs[ahead].column);
                }
                const size_t now = std::min<size_t>(2, together - t);
                ops_.measure(stored_.rows(), stored_.coder().sum(), x_.data(), which + t, now, sums + t);
            }
            for (size_t t = 0; t < together; ++t) {
                use(row, pairs[i + t].column, stored_.coder().finish(sums[t]));
            }
            i += together;
        }
    }

    int64_t count() const { return count_; }

private:
    void fetch(int32_t column) const {
        const std::byte* p = stored_.rows().at(stored_.row(column));
        for (int64_t b = 0; b < row_bytes_; b += 64) __builtin_prefetch(p + b);
    }

    const Stored& stored_;
    const JoinRows& rows_;
    const RowOps& ops_;
    std::vector<double> x_;
    int64_t row_bytes_ = 1;  // of a stored row that lies in one piece
    int64_t count_ = 0;
};

}  // namespace vicinal
