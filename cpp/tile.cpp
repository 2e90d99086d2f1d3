// See tile.hpp.
#include "tile.hpp"

namespace vicinal {

Tiles::Tiles(const Stored& stored, const Isa& isa)
    : stored_(stored),
      coder_(stored.coder()),
      scan_(stored.coder().scan(isa)),
      row_keys_(static_cast<int>(padded(stored.block(), kRowStep))),
      column_keys_(static_cast<int>(padded(stored.block(), kPanel))),
      survivors_(static_cast<size_t>(padded(stored.block(), kRowStep)) * kPanel) {}

void Tiles::set_rows(const Side& side, const int8_t* codes) {
    side_ = side;
    codes_ = codes;
}

void Tiles::set_stored_rows(int64_t block) {
    const Side& side = stored_.side(block);
    unpacked_.resize(row_keys_.base.size() * coder_.row_bytes());
    stored_.unpack(block, unpacked_.data());
    set_rows(side, unpacked_.data());
}

ScanJob Tiles::job() const {
    ScanJob job = {};
    job.rows = codes_;
    job.row_bytes = coder_.row_bytes();
    job.n_rows = static_cast<int>(padded(side_.size, scan_.row_step));
    job.groups = stored_.panels().groups();
    job.row_base = row_keys_.base.data();
    job.row_floor = row_keys_.floor.data();
    return job;
}

bool Tiles::scores(int64_t block, const double* any_radii, std::vector<int32_t>& out) {
    const Side& columns = stored_.side(block);
    const bool whole = coder_.keys(side_, any_radii, columns, any_radii, row_keys_, column_keys_);
    const int64_t stride = padded(columns.size, kPanel);
    out.resize(padded(side_.size, kRowStep) * stride);
    ScanJob job = this->job();
    for (int column = 0; column < columns.size; column += kPanel) {
        job.panel = stored_.panels().at((block * stored_.block() + column) / kPanel);
        job.column_base = &column_keys_.base[column];
        job.column_floor = &column_keys_.floor[column];
        scan_.scores(job, out.data() + column, stride);
    }
    return whole;
}

}  // namespace vicinal
