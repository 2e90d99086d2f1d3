// The scans of the absolute and the bits kernel, compiled for NEON.
#include "generic/byte_scan.hpp"

namespace vicinal {
const ScanOps& neon_absolute() { return LaneScan<Differences, ScoreLimits>::kOps; }
const ScanOps& neon_hamming() { return LaneScan<Differing, ScoreLimits>::kOps; }
const ScanOps& neon_jaccard() { return LaneScan<Differing, ShareLimits>::kOps; }
}  // namespace vicinal
