// The byte scans for any machine.
#include "scan_bytes_impl.hpp"

namespace vicinal {
const ScanOps& portable_absolute() { return ByteScan<Absolutes, -1>::kOps; }
const ScanOps& portable_differing() { return ByteScan<DifferingBits, -1>::kOps; }
const ScanOps& portable_common() { return ByteScan<CommonBits, 1>::kOps; }
}  // namespace vicinal
