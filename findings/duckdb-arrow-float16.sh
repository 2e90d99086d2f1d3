#!/usr/bin/env bash
# DuckDB refuses a float16 column that comes through Arrow, but reads the same column from Parquet as FLOAT.
#
# Versions:  duckdb 2.0.1, pyarrow 26.0.1, numpy 2.4.6
# Expected:  embeddings kept in half precision have one type; the door that they come through makes no difference.
# Behaviour: duckdb.from_arrow(table) raises NotImplementedException ("Unsupported Internal Arrow Type e") for a
#            column of type halffloat, and for lists of it. read_parquet of a file that pyarrow wrote from the same table
#            gives FLOAT and FLOAT[], with the right values: the fixed length of the lists is lost.
# Output seen:
#   arrow halffloat:            NotImplementedException
#   arrow fixed_size_list[2]:   NotImplementedException
#   parquet halffloat:          FLOAT
#   parquet fixed_size_list[2]: FLOAT[] [(1.5, 2.5), (3.5, 4.5)]
# So a table of float16 embeddings is cast to float32 before DuckDB takes it over Arrow.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "duckdb==2.0.1" "pyarrow==26.0.1" "numpy==2.4.6"
cd "$folder"
venv/bin/python - <<'PYTHON'
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

half = pa.array(np.array([1.5, 2.5, 3.5, 4.5], dtype=np.float16))
tables = {
    "halffloat": pa.table({"e": half}),
    "fixed_size_list[2]": pa.table({"e": pa.FixedSizeListArray.from_arrays(half, 2)}),
}
seen = []
for name, table in tables.items():
    try:
        duckdb.from_arrow(table).fetchall()
        seen.append(f"arrow {name}: taken")
    except duckdb.NotImplementedException as error:
        seen.append(f"arrow {name}: {type(error).__name__}")
for name, table in tables.items():
    pq.write_table(table, "half.parquet")
    read = duckdb.read_parquet("half.parquet")
    values = [tuple(row[0]) for row in read.fetchall()] if "list" in name else ""
    seen.append(f"parquet {name}: {read.types[0]} {values}".rstrip())
print("\n".join(seen))
expected = [
    "arrow halffloat: NotImplementedException",
    "arrow fixed_size_list[2]: NotImplementedException",
    "parquet halffloat: FLOAT",
    "parquet fixed_size_list[2]: FLOAT[] [(1.5, 2.5), (3.5, 4.5)]",
]
raise SystemExit(0 if seen == expected else "the behaviour has changed")
PYTHON
