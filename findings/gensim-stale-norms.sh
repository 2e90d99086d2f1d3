#!/usr/bin/env bash
# gensim divides a replaced vector by the length of its old one, so that cosines of 10 come out and rank first.
#
# Versions:  gensim 4.4.0, numpy 2.4.6
# Expected:  after words["a"] = vector, or add_vectors(replace=True), most_similar ranks by the cosine to the new vector.
# Behaviour: the lengths of all vectors are kept at the first search. Replacing a vector leaves them as they are, so every
#            later cosine of that word is wrong by the new length over the old one, and nothing says so: a word that was
#            made longer comes first for every query on its side, and one that was made shorter is not found. Before any
#            search the same calls give the right result, and similarity(), which measures both vectors anew, always does.
#            A new word that is added after a search makes the next most_similar raise ValueError.
# Output seen (the new a is 10 c, the new c is d / 100):
#   a replaced before a search: c to a 1.0, nearest a; similarity 1.0
#   a replaced after a search:  c to a 10.0, nearest a; similarity 1.0
#   c replaced before a search: d to c 1.0, nearest c; similarity 1.0
#   c replaced after a search:  d to c 0.014, nearest a; similarity 1.0
#   fill_norms(force=True):     d to c 1.0, nearest c; similarity 1.0
#   e added after a search:     ValueError
# So whoever writes vectors calls fill_norms(force=True) before the next search.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "gensim==4.4.0" "numpy==2.4.6"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from gensim.models import KeyedVectors

ROWS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, -1, 0]], dtype=np.float32)  # of a, b, c and d


def replaced(word: str, vector: np.ndarray, searched: bool) -> KeyedVectors:
    words = KeyedVectors(3)
    words.add_vectors(list("abcd"), ROWS)
    if searched:
        words.most_similar("b")
    words[word] = vector
    return words


def described(words: KeyedVectors, word: str, other: str) -> str:
    ranked = words.most_similar(word, topn=3)
    return (
        f"{word} to {other} {round(dict(ranked)[other], 3)}, nearest {ranked[0][0]}; "
        f"similarity {round(float(words.similarity(word, other)), 3)}"
    )


late = replaced("c", ROWS[3] / 100, searched=True)
seen = [
    f"a replaced before a search: {described(replaced('a', 10 * ROWS[2], False), 'c', 'a')}",
    f"a replaced after a search:  {described(replaced('a', 10 * ROWS[2], True), 'c', 'a')}",
    f"c replaced before a search: {described(replaced('c', ROWS[3] / 100, False), 'd', 'c')}",
    f"c replaced after a search:  {described(late, 'd', 'c')}",
]
late.fill_norms(force=True)
seen.append(f"fill_norms(force=True):     {described(late, 'd', 'c')}")
late.add_vector("e", ROWS[0])
try:
    late.most_similar("a")
    seen.append("e added after a search:     found")
except ValueError as error:
    seen.append(f"e added after a search:     {type(error).__name__}")
print("\n".join(seen))
expected = [
    "a replaced before a search: c to a 1.0, nearest a; similarity 1.0",
    "a replaced after a search:  c to a 10.0, nearest a; similarity 1.0",
    "c replaced before a search: d to c 1.0, nearest c; similarity 1.0",
    "c replaced after a search:  d to c 0.014, nearest a; similarity 1.0",
    "fill_norms(force=True):     d to c 1.0, nearest c; similarity 1.0",
    "e added after a search:     ValueError",
]
raise SystemExit(0 if seen == expected else "the behaviour has changed")
PYTHON
