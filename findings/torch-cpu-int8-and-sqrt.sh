#!/usr/bin/env bash
# On a processor, torch._int_mm saturates without VNNI, and torch.sqrt of float64 is not correctly rounded.
#
# Versions:  torch 2.13.0 (CPU build), numpy 2.4.6
# Expected:  an int8 product with int32 sums is exact for every value; a square root of float64 is the one of IEEE 754, as
#            NumPy's is.
# Behaviour: limited to AVX2, _int_mm of rows of 384 times 127 gives 48960 and no error: pairs of products are added in
#            16 bits, with saturation. sqrt differs from numpy.sqrt in the last bit for about one value in a hundred.
# Output seen (on x86-64 with AVX-512 VNNI):
#   int_mm, best instruction set: 6193536
#   int_mm, AVX2:                 48960
#   roots that differ:            1191 of 100001
# So products of int8 are checked before they are trusted, and roots on a processor are NumPy's.
# PYTHON names an interpreter that has torch; without it the CPU build is installed in a folder of its own.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python="$folder/venv/bin/python"
  "$python" -m pip install --quiet --disable-pip-version-check "numpy==2.4.6"
  "$python" -m pip install --quiet --disable-pip-version-check "torch==2.13.0"
fi
product() {
  env "$@" "$python" -c '
import torch
rows = torch.full((32, 384), 127, dtype=torch.int8)
print(int(torch._int_mm(rows, rows.t())[0, 0]))'
}
best=$(product LC_ALL=C)
avx2=$(product ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2)
wrong=$("$python" -c '
import numpy as np, torch
x = np.random.default_rng(0).random(100_001) * 100
print(int((torch.from_numpy(x).sqrt().numpy() != np.sqrt(x)).sum()))')
printf '%-29s %s\n' "int_mm, best instruction set:" "$best" "int_mm, AVX2:" "$avx2" "roots that differ:" "$wrong of 100001"
[ "$avx2" = 48960 ] && [ "$wrong" != 0 ] || { echo "the behaviour has changed"; exit 1; }
