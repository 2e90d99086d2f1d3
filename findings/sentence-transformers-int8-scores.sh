#!/usr/bin/env bash
# The scores that sentence-transformers gives for its own int8 embeddings are int8, too, and overflow without an error.
#
# Versions:  sentence-transformers 6.2.0, torch 2.13.0 (CPU build), numpy 2.4.6
# Expected:  util.dot_score and util.semantic_search of embeddings that quantize_embeddings(precision="int8") made rank them
#            about as the float32 embeddings; or they refuse them, as cos_sim does.
# Behaviour: a product of two int8 tensors is an int8 tensor in torch, so that each score is the inner product modulo 256,
#            between -128 and 127. No row is found by itself, and the rows that are found are random ones. The default score,
#            cos_sim, raises RuntimeError, and dot_score is what a reader of the error turns to.
# Output seen (1,000 random unit rows of 384, 200 of them as queries):
#   float32, dot_score: 200 of 200 rows find themselves
#   int8, dot_score:    0 of 200 rows find themselves
#   int8, cos_sim:      RuntimeError
#   row 0 with itself:  2 of torch.int8; the inner product is 636674
# So int8 embeddings are made float32, or int32, before they are compared.
# PYTHON names an interpreter that has these packages; without it they are installed in a folder of their own.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python="$folder/venv/bin/python"
  "$python" -m pip install --quiet --disable-pip-version-check "torch==2.13.0"
  "$python" -m pip install --quiet --disable-pip-version-check "sentence-transformers==6.2.0" "numpy==2.4.6"
fi
"$python" - <<'PYTHON'
import numpy as np
import torch
from sentence_transformers.util import cos_sim, dot_score, quantize_embeddings, semantic_search

rows = np.random.default_rng(0).normal(size=(1000, 384)).astype(np.float32)
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
codes = quantize_embeddings(rows, precision="int8")


def found(vectors: np.ndarray, score) -> str:
    given = torch.from_numpy(vectors)
    try:
        hits = semantic_search(given[:200], given, top_k=1, score_function=score)
    except RuntimeError as error:
        return type(error).__name__
    return f"{sum(one[0]['corpus_id'] == row for row, one in enumerate(hits))} of 200 rows find themselves"


first = torch.from_numpy(codes[:1])
score = dot_score(first, first)
seen = [
    f"float32, dot_score: {found(rows, dot_score)}",
    f"int8, dot_score:    {found(codes, dot_score)}",
    f"int8, cos_sim:      {found(codes, cos_sim)}",
    f"row 0 with itself:  {score.item()} of {score.dtype}; the inner product is {int((codes[0].astype(int) ** 2).sum())}",
]
print("\n".join(seen))
expected = [
    "float32, dot_score: 200 of 200 rows find themselves",
    "int8, dot_score:    0 of 200 rows find themselves",
    "int8, cos_sim:      RuntimeError",
    "row 0 with itself:  2 of torch.int8; the inner product is 636674",
]
raise SystemExit(0 if seen == expected else "the behaviour has changed")
PYTHON
