// The scans of bits where AVX-512 counts them itself.
#include "generic/byte_scan.hpp"

namespace vicinal {
const ScanOps& vpopcnt_differing() { return LaneScan<Differing, Floors>::kOps; }
const ScanOps& vpopcnt_share() { return LaneScan<Differing, Shares>::kOps; }
}  // namespace vicinal
