// The byte scans with AVX2.
#if defined(__x86_64__)
#include "scan_bytes_impl.hpp"

namespace vicinal {
const ScanOps& avx2_absolute() { return LaneScan<Differences, Floors>::kOps; }
const ScanOps& avx2_differing() { return LaneScan<Differing, Floors>::kOps; }
const ScanOps& avx2_share() { return LaneScan<Differing, Shares>::kOps; }
}  // namespace vicinal
#endif
