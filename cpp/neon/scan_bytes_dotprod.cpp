// The scans of the absolute and the bits kernel, compiled for NEON with FEAT_DotProd.
#include "generic/byte_scan.hpp"

namespace vicinal {
const ScanOps& dotprod_absolute() { return LaneScan<Differences, ScoreLimits>::kOps; }
const ScanOps& dotprod_hamming() { return LaneScan<Differing, ScoreLimits>::kOps; }
const ScanOps& dotprod_jaccard() { return LaneScan<Differing, ShareLimits>::kOps; }
}  // namespace vicinal
