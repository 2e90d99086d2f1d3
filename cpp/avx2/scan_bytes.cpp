// The scans of the absolute and the bits kernel, compiled for AVX2.
#include "generic/byte_scan.hpp"

namespace vicinal {
const ScanOps& avx2_absolute() { return LaneScan<Differences, ScoreLimits>::kOps; }
const ScanOps& avx2_hamming() { return LaneScan<Differing, ScoreLimits>::kOps; }
const ScanOps& avx2_jaccard() { return LaneScan<Differing, ShareLimits>::kOps; }
}  // namespace vicinal
