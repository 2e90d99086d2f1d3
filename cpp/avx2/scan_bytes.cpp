// The byte scans with AVX2.
#include "generic/byte_scan.hpp"

namespace vicinal {
const ScanOps& avx2_absolute() { return LaneScan<Differences, Floors>::kOps; }
const ScanOps& avx2_differing() { return LaneScan<Differing, Floors>::kOps; }
const ScanOps& avx2_share() { return LaneScan<Differing, Shares>::kOps; }
}  // namespace vicinal
