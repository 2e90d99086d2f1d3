// The scans of the absolute and the bits kernel, compiled for AVX-512.
#include "generic/byte_scan.hpp"

namespace vicinal {
const ScanOps& avx512_absolute() { return LaneScan<Differences, ScoreLimits>::kOps; }
const ScanOps& avx512_hamming() { return LaneScan<Differing, ScoreLimits>::kOps; }
const ScanOps& avx512_jaccard() { return LaneScan<Differing, ShareLimits>::kOps; }
}  // namespace vicinal
