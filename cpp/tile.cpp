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
      unpacked_(row_thresholds_.base.size() * layer.row_bytes()),
      survivors_(std::make_unique_for_overwrite<Survivor[]>(row_thresholds_.base.size() * kPanel)) {}

void Tiles::set_rows(const CodedBlock& coded) {
    if (layer_.sketch() != Layer::kCodes) {
        row_stats_ = coded.sketches.sizes[layer_.sketch()].stats;
        layer_.unpack(coded.sketches, room());
        codes_ = room();
    } else if (layer_.coarse()) {
        row_stats_ = coded.coarse.stats;
        const int64_t bytes = padded(row_stats_.size, kRowStep) * layer_.row_bytes();
        std::copy_n(coded.codes.begin(), bytes, room());
        halve(room(), bytes);
        codes_ = room();
    } else {
        row_stats_ = coded.stats;
        codes_ = coded.codes.data();
    }
}

void Tiles::set_stored_rows(const Layer& layer, int64_t block) {
    layer.unpack(block, room());
    row_stats_ = layer.stats(block);
    codes_ = room();
}

ScanJob Tiles::job(int first_row, int end, int first_column) const {
    ScanJob job = {};
    job.rows = codes_ + first_row * layer_.row_bytes();
    job.row_bytes = layer_.row_bytes();
    job.n_rows = static_cast<int>(padded(end - first_row, scan_.row_step));
    job.groups = layer_.groups();
    job.row_base = &row_thresholds_.base[first_row];
    job.row_threshold = &row_thresholds_.least_score[first_row];
    job.panel = layer_.at(block_, first_column);
    job.column_base = &column_thresholds_.base[first_column];
    job.column_threshold = &column_thresholds_.least_score[first_column];
    return job;
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
    return row_ops_.passing(job(0, row_stats_.size, first_column), products_.data(), pairs, n);
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
    const int end = std::min(first_row + kRowStep, row_stats_.size);
    for (int column = 0; column < layer_.stats(block_).size; column += kPanel) {
        scan_.scores(job(first_row, end, column), scores_.data() + column, stride);
    }
}

// The tiles of sketches of this size, or of coarse codes or codes, with the thresholds of the block.
Tiles& Filter::begin(size_t size, int64_t block, const double* row_radii, const double* column_radii) {
    if (size == sketches_.size() && !coarse_) return tiles;
    Tiles& of = size < sketches_.size() ? sketches_[size].tiles : *coarse_;
    bool& begun = size < sketches_.size() ? sketches_[size].begun : coarse_begun_;
    if (!begun) of.begin(block, row_radii, column_radii);
    begun = true;
    return of;
}

}  // namespace vicinal
