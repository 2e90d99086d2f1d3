// The scans of the bits kernel with the population count of AVX-512 VPOPCNTDQ.
#include "generic/byte_scan.hpp"

namespace vicinal {
const ScanOps& vpopcnt_hamming() { return LaneScan<Differing, ScoreLimits>::kOps; }
const ScanOps& vpopcnt_jaccard() { return LaneScan<Differing, ShareLimits>::kOps; }
}  // namespace vicinal
