// One thread's work on tiles: a block of coded rows against blocks of stored columns, the pairs that pass with what
// their scores say of them, and the exact measure of pairs.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "stored.hpp"

namespace vicinal {

// A pair that passed: its row and its column in their blocks.
struct Candidate {
    int32_t row;
    int32_t column;
    int32_t score;
    float lower;  // radius
};

// Radii that several threads read while one lowers them; an old value is only ever too high.
using Radii = std::vector<double>;
inline double read_radius(Radii& radii, int64_t i) {
    return std::atomic_ref<double>(radii[i]).load(std::memory_order_relaxed);
}
inline void lower_radius(Radii& radii, int64_t i, double value) {
    if (value < read_radius(radii, i)) std::atomic_ref<double>(radii[i]).store(value, std::memory_order_relaxed);
}

class Tiles {
public:
    Tiles(const Layer& layer, const Coder& coder, const Isa& isa);

    // Rows that stay where they are meanwhile.
    void set_rows(const CodedBlock& coded);
    void set_stored_rows(int64_t block);
    const Side& rows() const { return side_; }

    // Takes up a block of columns: a pair matters that can be within either radius.
    void begin(int64_t block, const double* row_radii, const double* column_radii);
    // Hands the pairs that matter to use(first column of the panel, pairs, n), a panel at a time. On the diagonal, each
    // pair once. keep(row, column) says which pairs count.
    template <class Keep, class Use>
    void scan(bool diagonal, Keep&& keep, Use&& use);
    // Leaves those of a panel's pairs that matter, with this layer's scores, and returns how many.
    size_t narrow(int first_column, Survivor* pairs, size_t n);
    // What this layer's scores say of a panel's pairs.
    const Candidate* candidates(int first_column, const Survivor* pairs, size_t n);
    // The three together: begin, scan, and use(candidates, n).
    template <class Keep, class Use>
    void run(int64_t block, const double* row_radii, const double* column_radii, bool diagonal, Keep&& keep, Use&& use) {
        begin(block, row_radii, column_radii);
        scan(diagonal, keep, [&](int first, const Survivor* pairs, size_t n) { use(candidates(first, pairs, n), n); });
    }
    // Whether any pair of the rows and the block in hand can matter, and whether products are what tells.
    bool some() const { return row_keys_.some || column_keys_.some; }
    bool one_region() const { return side_.region == layer_.side(block_).region; }
    // Whether the scores of the block in hand bound distances from above too.
    bool whole() const { return whole_; }

    // All scores of the rows with a stored block's columns, less row_base, a few rows at a time: use(row, its scores) may
    // change them. False, and no use, where they bound nothing from above.
    template <class Use>
    bool scores(int64_t block, const double* any_radii, Use&& use);
    int32_t row_base(int row) const { return row_keys_.base[row]; }

private:
    ScanJob job() const;
    // Fills scores_ with those of kRowStep rows from this one on.
    void fill_scores(int first_row);
    // The job's columns: a panel of the block in hand.
    void set_panel(ScanJob& job, int first_column) const;

    const Layer& layer_;
    const Coder& coder_;
    const ScanOps& scan_;
    const RowOps& row_ops_;
    Side side_;
    const int8_t* codes_ = nullptr;
    std::vector<int8_t> unpacked_;
    int64_t block_ = 0;
    bool whole_ = false;
    Keys row_keys_, column_keys_;
    std::unique_ptr<Survivor[]> survivors_;  // not touched beyond what passes
    std::vector<uint8_t> columns_;
    std::vector<int32_t> products_, scores_;
    std::vector<float> lower_;
    std::vector<Candidate> candidates_;
};

template <class Keep, class Use>
void Tiles::scan(bool diagonal, Keep&& keep, Use&& use) {
    const Side& columns = layer_.side(block_);
    if (!row_keys_.some && !column_keys_.some) return;
    ScanJob job = this->job();
    for (int first = 0; first < columns.size; first += kPanel) {
        set_panel(job, first);
        // Rows beyond the panel's last column meet these columns in their own panel.
        if (diagonal) job.n_rows = static_cast<int>(padded(std::min(first + kPanel, side_.size), scan_.row_step));
        const size_t passed = scan_.survivors(job, survivors_.get());
        size_t kept = 0;
        for (size_t i = 0; i < passed; ++i) {
            const Survivor s = survivors_[i];
            const int column = first + s.column;
            if (s.row >= side_.size || column >= columns.size || (diagonal && s.row >= column)) continue;
            if (keep(s.row, column)) survivors_[kept++] = s;
        }
        if (kept > 0) use(first, survivors_.get(), kept);
    }
}

template <class Use>
bool Tiles::scores(int64_t block, const double* any_radii, Use&& use) {
    begin(block, any_radii, any_radii);
    if (!whole_) return false;
    const int64_t stride = padded(layer_.side(block).size, kPanel);
    for (int first = 0; first < side_.size; first += kRowStep) {
        fill_scores(first);
        for (int i = first; i < std::min(first + kRowStep, side_.size); ++i) use(i, &scores_[(i - first) * stride]);
    }
    return true;
}

// A pair that may still matter: a row (a stored position or a query) and a stored position.
struct Waiting {
    int32_t row;
    int32_t column;
    float lower;

    static Waiting of(int64_t row, int64_t column, float lower) {
        return {static_cast<int32_t>(row), static_cast<int32_t>(column), lower};
    }
};

inline constexpr int64_t kSmall = 16;  // up to this k, pairs are measured after every tile and in two rounds

// Has the pairs of a queue, sorted by row, measured in rounds, the most promising of each row first: with them measured,
// fewer of the others matter. enter() measures what is in the queue then, drop() takes out of it what no longer matters.
template <class Enter, class Drop>
void in_rounds(std::vector<Waiting>& queue, std::vector<Waiting>& later, int64_t k, Enter&& enter, Drop&& drop) {
    for (size_t step = k <= kSmall ? k : (k + 1) / 2; !queue.empty(); step = k <= kSmall ? queue.size() : 2 * step) {
        later.clear();
        size_t now = 0;
        for (size_t begin = 0, end; begin < queue.size(); begin = end) {
            for (end = begin + 1; end < queue.size() && queue[end].row == queue[begin].row; ++end) {}
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

// Measures pairs exactly.
class Measure {
public:
    // queries null: rows are stored positions as well.
    Measure(const Stored& stored, const Rows* queries, const Isa& isa)
        : stored_(stored),
          rows_(queries ? *queries : stored.rows()),
          queries_(queries != nullptr),
          ops_(*isa.rows),
          x_(padded(rows_.matrix.dim, 8)) {
        const Matrix& m = stored.rows().matrix;
        if (m.column_stride > 0 && m.column_stride <= 8) row_bytes_ = m.dim * m.column_stride;
    }

    // Hands every pair's distance to use(row, column, distance); best where pairs of one row follow each other.
    template <class Use>
    void run(const Waiting* pairs, size_t n, Use&& use) {
        constexpr size_t kAhead = 6;
        constexpr size_t kTogether = 64;
        count_ += n;
        for (size_t i = 0; i < std::min(kAhead, n); ++i) fetch(pairs[i].column);
        for (size_t i = 0; i < n;) {
            const int32_t row = pairs[i].row;
            ops_.load(rows_, queries_ ? row : stored_.row(row), x_.data());
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
    Rows rows_;
    bool queries_;
    const RowOps& ops_;
    std::vector<double> x_;
    int64_t row_bytes_ = 1;  // of a stored row that lies in one piece
    int64_t count_ = 0;
};

}  // namespace vicinal
