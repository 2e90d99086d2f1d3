// See tile.hpp.
#include "tile.hpp"

#include <cstring>

namespace vicinal {

Tiles::Tiles(const Layer& layer, const Coder& coder, const Isa& isa)
    : layer_(layer),
      coder_(coder),
      scan_(coder.scan(isa)),
      row_ops_(*isa.rows),
      row_keys_(static_cast<int>(padded(layer.blocks().highest(), kRowStep))),
      column_keys_(static_cast<int>(padded(layer.blocks().highest(), kPanel))),
      survivors_(std::make_unique_for_overwrite<Survivor[]>(padded(layer.blocks().highest(), kRowStep) * kPanel)) {}

void Tiles::set_rows(const CodedBlock& coded) {
    const Range& range = layer_.range();
    if (range.first == 0) {
        side_ = coded.side;
        codes_ = coded.codes.data();
        return;
    }
    side_ = coded.sketch.side;
    const int64_t row_bytes = range.row_bytes(), all_bytes = coder_.row_bytes(),
                  own = range.bytes - sizeof coded.tails[0];
    unpacked_.assign(row_keys_.base.size() * row_bytes, 0);
    for (int i = 0; i < side_.size; ++i) {
        std::copy_n(&coded.codes[i * all_bytes + range.first], own, &unpacked_[i * row_bytes]);
        std::memcpy(&unpacked_[i * row_bytes + own], &coded.tails[i], sizeof coded.tails[i]);
    }
    codes_ = unpacked_.data();
}

void Tiles::set_stored_rows(int64_t block) {
    unpacked_.resize(row_keys_.base.size() * layer_.range().row_bytes());
    layer_.unpack(block, unpacked_.data());
    side_ = layer_.side(block);
    codes_ = unpacked_.data();
}

ScanJob Tiles::job() const {
    ScanJob job = {};
    job.rows = codes_;
    job.row_bytes = layer_.range().row_bytes();
    job.n_rows = static_cast<int>(padded(side_.size, scan_.row_step));
    job.groups = layer_.groups();
    job.row_base = row_keys_.base.data();
    job.row_floor = row_keys_.floor.data();
    return job;
}

void Tiles::set_panel(ScanJob& job, int first_column) const {
    job.panel = layer_.at(block_, first_column);
    job.column_base = &column_keys_.base[first_column];
    job.column_floor = &column_keys_.floor[first_column];
}

void Tiles::begin(int64_t block, const double* row_radii, const double* column_radii) {
    block_ = block;
    whole_ = coder_.keys(side_, row_radii, layer_.side(block), column_radii, row_keys_, column_keys_);
}

size_t Tiles::narrow(int first_column, Survivor* pairs, size_t n) {
    const int64_t row_bytes = layer_.range().row_bytes();
    columns_.resize(kPanel * row_bytes);
    products_.resize(n);
    layer_.unpack_columns(block_, first_column, columns_.data());
    row_ops_.products(codes_, columns_.data(), row_bytes, pairs, n, products_.data());
    size_t kept = 0;
    for (size_t i = 0; i < n; ++i) {
        Survivor s = pairs[i];
        const int column = first_column + s.column;
        const int32_t rest = products_[i] + column_keys_.base[column], base = row_keys_.base[s.row];
        if (rest < std::min(row_keys_.floor[s.row], column_keys_.floor[column] - base)) continue;
        s.score = rest + base;
        pairs[kept++] = s;
    }
    return kept;
}

const Candidate* Tiles::candidates(int first_column, const Survivor* pairs, size_t n) {
    lower_.resize(n);
    candidates_.resize(n);
    coder_.lower(side_, layer_.side(block_), first_column, pairs, n, lower_.data());
    for (size_t i = 0; i < n; ++i) {
        candidates_[i] = {pairs[i].row, first_column + pairs[i].column, pairs[i].score, lower_[i]};
    }
    return candidates_.data();
}

void Tiles::fill_scores(int first_row) {
    const int64_t stride = padded(layer_.side(block_).size, kPanel);
    scores_.resize(kRowStep * stride);
    ScanJob job = this->job();
    job.rows += first_row * job.row_bytes;
    job.row_base += first_row;
    job.row_floor += first_row;
    job.n_rows = static_cast<int>(padded(std::min(kRowStep, side_.size - first_row), scan_.row_step));
    for (int column = 0; column < layer_.side(block_).size; column += kPanel) {
        set_panel(job, column);
        scan_.scores(job, scores_.data() + column, stride);
    }
}

}  // namespace vicinal
