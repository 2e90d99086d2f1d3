// See tile.hpp.
#include "tile.hpp"

#include "coarse.hpp"

namespace vicinal {

Tiles::Tiles(const Layer& layer, const Coder& coder, const Isa& isa, int64_t max_rows)
    : layer_(layer),
      coder_(coder),
      scan_(layer.coarse() ? *isa.coarse : coder.scan(isa)),
      row_ops_(*isa.rows),
      row_thresholds_(static_cast<int>(padded(std::max<int64_t>(layer.blocks().max_block_size(), max_rows), kRowStep))),
      column_thresholds_(static_cast<int>(padded(layer.blocks().max_block_size(), kPanel))),
      survivors_(std::make_unique_for_overwrite<Survivor[]>(row_thresholds_.base.size() * kPanel)) {}

void Tiles::set_rows(const CodedBlock& coded) {
    const bool sketch = layer_.of() == Layer::Of::sketches;
    const std::vector<int8_t>& codes = sketch ? coded.sketch.codes : coded.codes;
    row_stats_ = sketch ? coded.sketch.stats : layer_.coarse() ? coded.coarse.stats : coded.stats;
    codes_ = codes.data();
    if (!layer_.coarse()) return;
    unpacked_.assign(codes.begin(), codes.end());
    halve(unpacked_.data(), static_cast<int64_t>(unpacked_.size()));
    codes_ = unpacked_.data();
}

void Tiles::set_stored_rows(const Layer& layer, int64_t block) {
    unpacked_.resize(row_thresholds_.base.size() * layer.row_bytes());
    layer.unpack(block, unpacked_.data());
    row_stats_ = layer.stats(block);
    codes_ = unpacked_.data();
}

ScanJob Tiles::job() const {
    ScanJob job = {};
    job.rows = codes_;
    job.row_bytes = layer_.row_bytes();
    job.n_rows = static_cast<int>(padded(row_stats_.size, scan_.row_step));
    job.groups = layer_.groups();
    job.row_base = row_thresholds_.base.data();
    job.row_threshold = row_thresholds_.least_score.data();
    return job;
}

void Tiles::set_panel(ScanJob& job, int first_column) const {
    job.panel = layer_.at(block_, first_column);
    job.column_base = &column_thresholds_.base[first_column];
    job.column_threshold = &column_thresholds_.least_score[first_column];
}

void Tiles::begin(int64_t block, const double* row_radii, const double* column_radii) {
    block_ = block;
    has_upper_bounds_ = coder_.thresholds(row_stats_, row_radii, layer_.stats(block), column_radii, row_thresholds_,
                                          column_thresholds_);
}

size_t Tiles::narrow(int first_column, Survivor* pairs, size_t n) {
    products_.resize(n);
    const uint8_t* columns = layer_.columns(row_ops_, block_, first_column, columns_);
    row_ops_.products(codes_, row_stats_.sums, columns, layer_.row_bytes(), pairs, n, products_.data());
    ScanJob job = this->job();
    set_panel(job, first_column);
    return row_ops_.passing(job, products_.data(), pairs, n);
}

const Candidate* Tiles::candidates(int first_column, const Survivor* pairs, size_t n) {
    lower_.resize(n);
    candidates_.resize(n);
    coder_.lower_bounds(row_stats_, layer_.stats(block_), first_column, pairs, n, lower_.data());
    for (size_t i = 0; i < n; ++i) {
        candidates_[i] = {pairs[i].row, first_column + pairs[i].column, pairs[i].score, lower_[i]};
    }
    return candidates_.data();
}

void Tiles::fill_scores(int first_row) {
    const int64_t stride = padded(layer_.stats(block_).size, kPanel);
    scores_.resize(kRowStep * stride);
    ScanJob job = this->job();
    job.rows += first_row * job.row_bytes;
    job.row_base += first_row;
    job.row_threshold += first_row;
    job.n_rows = static_cast<int>(padded(std::min(kRowStep, row_stats_.size - first_row), scan_.row_step));
    for (int column = 0; column < layer_.stats(block_).size; column += kPanel) {
        set_panel(job, column);
        scan_.scores(job, scores_.data() + column, stride);
    }
}

}  // namespace vicinal
