#!/usr/bin/env bash
# On AMD processors with AVX-512, the wheel of faiss-cpu multiplies matrices with AVX2 only.
#
# Versions:  faiss-cpu 1.15.1 (it carries OpenBLAS 0.3.15), numpy 2.4.6 (OpenBLAS 0.3.31), threadpoolctl 3.6.0
# Expected:  faiss, whose own loops choose AVX-512 here, uses it for the products of an exhaustive search, too.
# Behaviour: OpenBLAS 0.3.15 knows no Zen 4 and takes its kernels of Zen, which are AVX2, while NumPy's OpenBLAS takes
#            SkylakeX in the same process. faiss.SIMDConfig says AVX512, and nothing says that sgemm does not use it.
#            OPENBLAS_CORETYPE=SkylakeX changes that; on Zen 4 the seconds differ by less than a tenth.
# Output seen (AMD EPYC, family 25, model 17; the processor seconds of one thread decide nothing):
#   default:                     faiss's own loops AVX512_VPOPCNT, its OpenBLAS 0.3.15 Zen, numpy's SkylakeX; 0.140 s
#   OPENBLAS_CORETYPE=SkylakeX:  faiss's own loops AVX512_VPOPCNT, its OpenBLAS 0.3.15 SkylakeX, numpy's SkylakeX; 0.140 s
# So a benchmark against faiss records the kernel of its BLAS (threadpoolctl), and whether OPENBLAS_CORETYPE was set.
set -eu
if ! grep -q "^vendor_id.*AuthenticAMD" /proc/cpuinfo || ! grep -qw avx512f /proc/cpuinfo; then
  echo "this processor is none of AMD with AVX-512, so nothing can be seen here"
  exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  "faiss-cpu==1.15.1" "numpy==2.4.6" "threadpoolctl==3.6.0"
cd "$folder"
look() {
  env -u OPENBLAS_CORETYPE -u FAISS_SIMD_LEVEL "$@" venv/bin/python - <<'PYTHON'
import time

import faiss
import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

rows = np.random.default_rng(0).standard_normal((4000, 384), dtype=np.float32)
seconds = []
with threadpool_limits(1):
    for _ in range(9):
        start = time.process_time()
        faiss.knn(rows, rows, 6)
        seconds.append(time.process_time() - start)
found = [one for one in threadpool_info() if one["internal_api"] == "openblas"]
blas = {"faiss" if "faiss" in one["filepath"] else "numpy": one for one in found}
theirs = blas["faiss"]
print(f"faiss's own loops {faiss.SIMDConfig.get_level_name()}, "
      f"its OpenBLAS {theirs['version']} {theirs['architecture']}, "
      f"numpy's {blas['numpy']['architecture']}; {min(seconds):.3f} s")
PYTHON
}
default=$(look LC_ALL=C)
forced=$(look OPENBLAS_CORETYPE=SkylakeX)
printf '%-28s %s\n' default: "$default" OPENBLAS_CORETYPE=SkylakeX: "$forced"
case $default in *"AVX512"*"0.3.15 Zen, numpy's SkylakeX"*) ;; *) echo "the behaviour has changed"; exit 1 ;; esac
case $forced in *"0.3.15 SkylakeX, numpy's SkylakeX"*) ;; *) echo "the behaviour has changed"; exit 1 ;; esac
