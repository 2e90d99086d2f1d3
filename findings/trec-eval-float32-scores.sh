#!/usr/bin/env bash
# pytrec_eval rounds scores to float32 and orders what is then equal by name, so that RR and RR@10 of one run disagree.
#
# Versions:  ir-measures 0.4.3 with pytrec-eval-terrier 0.5.11, numpy 2.4.6
# Expected:  a run whose relevant document has the highest score has an RR, RR@10, P@1 and nDCG@10 of 1; the scores are
#            Python floats, and no two of them are equal.
# Behaviour: trec_eval keeps a score in 32 bits. Scores that are closer than that, as the cosines of near copies or seconds
#            since 1970 are, become ties, and of tied documents the last by name comes first: here d1 falls to place 2.
#            ir_measures takes RR@10 from another provider, which compares the scores as they are and puts the first by name
#            first where they are equal: RR is .5 and RR@10 is 1, of the same run.
# Output seen (d1 is the relevant document):
#   d1 0.91, d2 0.9: RR 1.0, RR@10 1.0, P@1 1.0, nDCG@10 1.0
#   d1 0.50000001, d2 0.5: RR 0.5, RR@10 1.0, P@1 0.0, nDCG@10 0.63
#   d1 1764380001.0, d2 1764380000.0: RR 0.5, RR@10 1.0, P@1 0.0, nDCG@10 0.63
#   d1 0.9, d2 0.9: RR 0.5, RR@10 1.0, P@1 0.0, nDCG@10 0.63
# So runs are written with minus the rank as the score, after ties were broken by a rule of one's own.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    "ir-measures==0.4.3" "pytrec-eval-terrier==0.5.11" "numpy==2.4.6"
cd "$folder"
IR_DATASETS_HOME="$folder" venv/bin/python -W ignore - <<'PYTHON'
from ir_measures import RR, P, calc_aggregate, nDCG

QRELS = {"q": {"d1": 1}}
MEASURES = (RR, RR @ 10, P @ 1, nDCG @ 10)


def described(scores: dict[str, float]) -> str:
    found = calc_aggregate(MEASURES, QRELS, {"q": scores})
    values = ", ".join(f"{measure} {round(found[measure], 2)}" for measure in MEASURES)
    given = ", ".join(f"{name} {score}" for name, score in scores.items())
    return f"{given}: {values}"


seen = [
    described({"d1": 0.91, "d2": 0.9}),
    described({"d1": 0.50000001, "d2": 0.5}),
    described({"d1": 1764380001.0, "d2": 1764380000.0}),
    described({"d1": 0.9, "d2": 0.9}),
]
print("\n".join(seen))
tied = "RR 0.5, RR@10 1.0, P@1 0.0, nDCG@10 0.63"
expected = [
    "d1 0.91, d2 0.9: RR 1.0, RR@10 1.0, P@1 1.0, nDCG@10 1.0",
    f"d1 0.50000001, d2 0.5: {tied}",
    f"d1 1764380001.0, d2 1764380000.0: {tied}",
    f"d1 0.9, d2 0.9: {tied}",
]
raise SystemExit(0 if seen == expected else "the behaviour has changed")
PYTHON
