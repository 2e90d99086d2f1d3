// The scans of the absolute and the bits kernel, compiled for the baseline of the architecture.
#include "generic/byte_scan.hpp"

namespace vicinal {
const ScanOps& portable_absolute() { return LaneScan<Differences, ScoreLimits>::kOps; }
const ScanOps& portable_hamming() { return LaneScan<Differing, ScoreLimits>::kOps; }
const ScanOps& portable_jaccard() { return LaneScan<Differing, ShareLimits>::kOps; }
}  // namespace vicinal
