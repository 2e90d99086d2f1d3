// See graph_worker.hpp.
#include "graph_worker.hpp"

namespace vicinal {

void Patch::gather_rows(const int32_t* nodes, int64_t n) {
    const int64_t bytes = codes_.row_bytes(), all = padded(n, kRowStep);
    n_rows_ = n;
    rows_.resize(all * bytes);
    bases_.assign(all, 0);
    row_bases_.assign(all, 0);
    for (int64_t i = 0; i < n; ++i) {
        if (i + 8 < n) {
            const int8_t* const ahead = codes_.code(nodes[i + 8]);
            for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(ahead + b);
        }
        std::memcpy(&rows_[i * bytes], codes_.code(nodes[i]), bytes);
        bases_[i] = codes_.base(nodes[i]);
        row_bases_[i] = codes_.row_base(nodes[i]);
    }
    std::fill(rows_.begin() + n * bytes, rows_.end(), int8_t{0});
}

void Patch::gather_columns(const int32_t* nodes, int64_t n) {
    const int64_t panels = (n + kPanel - 1) / kPanel;
    n_columns_ = n;
    panels_.resize(panels * codes_.panel_bytes());
    column_bases_.assign(panels * kPanel, 0);
    for (int64_t i = 0; i < n; ++i) {
        codes_.pack(nodes[i], &panels_[i / kPanel * codes_.panel_bytes()], static_cast<int>(i % kPanel));
        column_bases_[i] = codes_.base(nodes[i]);
    }
}

void Patch::put_rows(ScanJob& job, int64_t first, int step, const Rank* worst, std::vector<int32_t>& thresholds) const {
    thresholds.resize(kRowStep);
    const int64_t n = std::min<int64_t>(kRowStep, n_rows_ - first);
    for (int64_t i = 0; i < n; ++i) thresholds[i] = codes_.threshold(worst[i], row_bases_[first + i]);
    std::fill(thresholds.begin() + n, thresholds.end(), codes_.no_threshold());
    job.rows = &rows_[first * codes_.row_bytes()];
    job.row_bytes = codes_.row_bytes();
    job.n_rows = static_cast<int>(padded(n, step));
    job.groups = codes_.groups();
    job.row_base = codes_.shares() ? &bases_[first] : &row_bases_[first];
    job.row_threshold = thresholds.data();
}

void Patch::put_columns(ScanJob& job, int64_t panel, const Rank* worst, std::vector<int32_t>& thresholds) const {
    thresholds.assign(kPanel, codes_.no_threshold());
    const int64_t n = std::min<int64_t>(kPanel, n_columns_ - panel * kPanel);
    for (int64_t i = 0; worst && i < n; ++i) thresholds[i] = codes_.threshold(worst[i], 0);
    job.panel = &panels_[panel * codes_.panel_bytes()];
    job.column_base = &column_bases_[panel * kPanel];
    job.column_threshold = thresholds.data();
}

void Counts::clear() {
    for (const uint32_t place : used_) table_[place] = {};
    used_.clear();
}

void Counts::grow() {
    std::vector<Entry> old(2 * table_.size());
    old.swap(table_);
    --shift_;
    used_.clear();
    for (const Entry& entry : old) {
        if (entry.number == kEmpty) continue;
        uint32_t place = (entry.number * 0x9e3779b1u) >> shift_;
        while (table_[place].number != kEmpty) place = (place + 1) & mask();
        table_[place] = entry;
        used_.push_back(place);
    }
}

void Counts::take(int64_t most, std::vector<int32_t>& out) {
    if (static_cast<int64_t>(used_.size()) > most) {
        std::vector<Entry> entries;
        for (const uint32_t place : used_) entries.push_back(table_[place]);
        std::nth_element(entries.begin(), entries.begin() + most, entries.end(), [](const Entry& a, const Entry& b) {
            return a.count > b.count || (a.count == b.count && a.number < b.number);
        });
        out.clear();
        for (int64_t i = 0; i < most; ++i) out.push_back(static_cast<int32_t>(entries[i].number));
    } else {
        out.clear();
        for (const uint32_t place : used_) out.push_back(static_cast<int32_t>(table_[place].number));
    }
    std::sort(out.begin(), out.end());
}

void GraphJoin::Worker::take_lists(NodeLists& lists, const int32_t* own, int64_t n) {
    const int64_t width = lists.width();
    keys.resize(n * width);
    worst.assign(padded(padded(n, kRowStep), kPanel), 0);
    dirty.assign(n, 0);
    for (int64_t i = 0; i < n; ++i) {
        lists.copy(own[i], &keys[i * width]);
        worst[i] = rank_of(keys[(i + 1) * width - 1]);
    }
}

int64_t GraphJoin::Worker::give_lists(NodeLists& lists, const int32_t* own, int64_t n) {
    const int64_t width = lists.width();
    int64_t inserted = 0;
    for (int64_t i = 0; i < n; ++i) {
        if (dirty[i]) inserted += lists.insert(own[i], &keys[i * width], width);
    }
    return inserted;
}

}  // namespace vicinal
