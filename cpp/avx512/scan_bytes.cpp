// The byte scans with AVX-512.
#include "generic/byte_scan.hpp"

namespace vicinal {
const ScanOps& avx512_absolute() { return LaneScan<Differences, Floors>::kOps; }
const ScanOps& avx512_differing() { return LaneScan<Differing, Floors>::kOps; }
const ScanOps& avx512_share() { return LaneScan<Differing, Shares>::kOps; }
}  // namespace vicinal
