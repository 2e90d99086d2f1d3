// The byte scans for any machine of this build's architecture.
#include "generic/byte_scan.hpp"

namespace vicinal {
const ScanOps& portable_absolute() { return LaneScan<Differences, Floors>::kOps; }
const ScanOps& portable_differing() { return LaneScan<Differing, Floors>::kOps; }
const ScanOps& portable_share() { return LaneScan<Differing, Shares>::kOps; }
}  // namespace vicinal
