#!/usr/bin/env bash
# The wheel of faiss-cpu ignores FAISS_OPT_LEVEL; its instruction set is chosen by FAISS_SIMD_LEVEL.
#
# Versions:  faiss-cpu 1.15.1, numpy 2.4.6
# Expected:  FAISS_OPT_LEVEL=generic, which the loader of earlier wheels read, makes faiss run without AVX2 and AVX-512,
#            so that a benchmark or a bug report can be repeated as on an older processor.
# Behaviour: the wheel holds one library that chooses at run time. FAISS_OPT_LEVEL changes nothing and nothing says so;
#            FAISS_SIMD_LEVEL=NONE does what was meant. faiss.SIMDConfig.get_level_name() tells which level runs.
# Output seen (on a processor with AVX-512; the first and second line are equal on any x86-64 processor):
#   default                 AVX512_VPOPCNT
#   FAISS_OPT_LEVEL=generic AVX512_VPOPCNT
#   FAISS_SIMD_LEVEL=NONE   NONE
# So a benchmark against faiss records SIMDConfig.get_level_name(), not the environment.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "faiss-cpu==1.15.1" "numpy==2.4.6"
cd "$folder"
level() {
  env -u FAISS_OPT_LEVEL -u FAISS_SIMD_LEVEL "$@" venv/bin/python -c 'import faiss; print(faiss.SIMDConfig.get_level_name())'
}
default=$(level LC_ALL=C)
generic=$(level FAISS_OPT_LEVEL=generic)
none=$(level FAISS_SIMD_LEVEL=NONE)
printf '%-23s %s\n' default "$default" FAISS_OPT_LEVEL=generic "$generic" FAISS_SIMD_LEVEL=NONE "$none"
if [ "$default" = NONE ]; then
  echo "this processor has no instruction set to leave out, so nothing can be seen here"
  exit 0
fi
[ "$generic" = "$default" ] && [ "$none" = NONE ] || { echo "the behaviour has changed"; exit 1; }
