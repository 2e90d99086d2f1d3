#!/usr/bin/env bash
# LanceDB's cosine distances are twice as large from a quantized index, until a row is added.
#
# Versions:  lancedb 0.40.0, pyarrow 26.0.1, numpy 2.4.6
# Expected:  an index makes a search faster and its distances less exact; _distance and distance_range mean the same.
# Behaviour: with an index of SQ, PQ or RQ codes, with or without HNSW, _distance of a cosine search is 2 - 2 cos, where
#            the search without an index, and an index without codes (IVF_FLAT, IVF_HNSW_FLAT), give 1 - cos. A
#            distance_range is compared with the doubled numbers, so that a threshold finds the rows of half of it. As soon
#            as one row is in the table and not yet in the index, all distances that come back are 1 - cos, while the
#            threshold is still compared with doubled ones for the rows of the index, and with 1 - cos for the new row.
#            After optimize() all are doubled again. refine_factor=1 gives 1 - cos, under the same threshold.
# Output seen (the distance over 1 - cos, the median of ten rows; the rows with a distance below 1):
#   no index: 1.0, 975 rows
#   IvfFlat: 1.0, 975 rows
#   IvfSq: 2.0, 3 rows
#   IvfPq: 2.0, 3 rows
#   HnswSq: 2.0, 3 rows
#   HnswSq, refine_factor 1: 1.0
#   HnswSq, one row added: 1.0, 4 rows
#   HnswSq, optimized: 2.0, 3 rows
# So rows are chosen by the distances that come back with a refine_factor, not by distance_range.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    "lancedb==0.40.0" "pyarrow==26.0.1" "numpy==2.4.6"
cd "$folder"
venv/bin/python - <<'PYTHON'
import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import HnswSq, IvfFlat, IvfPq, IvfSq

random = np.random.default_rng(0)
rows = random.normal(size=(2001, 32)).astype(np.float32)
query = random.normal(size=32).astype(np.float32)
cosine = 1 - rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)


def table_of(ids: range) -> pa.Table:
    flat = pa.array(rows[ids.start : ids.stop].ravel())
    return pa.table({"id": pa.array(ids), "vector": pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])})


def times(search) -> float:
    found = search.limit(10).to_arrow()
    return round(float(np.median(found["_distance"].to_numpy() / cosine[found["id"].to_numpy()])), 1)


def described(table) -> str:
    def search():
        return table.search(query).distance_type("cosine")

    near = search().distance_range(upper_bound=1.0).limit(1000).to_arrow().num_rows
    return f"{times(search())}, {near} rows"


table = lancedb.connect("db").create_table("rows", table_of(range(2000)))
seen = [f"no index: {described(table)}"]
for kind, more in ((IvfFlat, {}), (IvfSq, {}), (IvfPq, {"num_sub_vectors": 32}), (HnswSq, {})):
    table.create_index("vector", config=kind(distance_type="cosine", num_partitions=1, **more), replace=True)
    seen.append(f"{kind.__name__}: {described(table)}")
refined = times(table.search(query).distance_type("cosine").refine_factor(1))
seen.append(f"HnswSq, refine_factor 1: {refined}")
table.add(table_of(range(2000, 2001)))
seen.append(f"HnswSq, one row added: {described(table)}")
table.optimize()
seen.append(f"HnswSq, optimized: {described(table)}")
print("\n".join(seen))
expected = [
    "no index: 1.0, 975 rows",
    "IvfFlat: 1.0, 975 rows",
    "IvfSq: 2.0, 3 rows",
    "IvfPq: 2.0, 3 rows",
    "HnswSq: 2.0, 3 rows",
    "HnswSq, refine_factor 1: 1.0",
    "HnswSq, one row added: 1.0, 4 rows",
    "HnswSq, optimized: 2.0, 3 rows",
]
raise SystemExit(0 if seen == expected else "the behaviour has changed")
PYTHON
