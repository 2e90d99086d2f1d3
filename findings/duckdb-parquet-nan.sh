#!/usr/bin/env bash
# DuckDB's isnan() finds no NaN in a Parquet file that pyarrow wrote, and finds it in the same rows of a table.
#
# Versions:  duckdb 2.0.1, pyarrow 26.0.1
# Expected:  the same query gives the same rows whether a column of scores lies in a file or in a table.
# Behaviour: NaN is the greatest number for DuckDB, but pyarrow leaves it out of the least and greatest value that it writes
#            of each row group. DuckDB answers max() from these statistics and skips row groups by them: the check for NaN
#            itself finds none, and whether `score > 5` gives a NaN depends on the other rows of its group. In a table, in
#            a file that DuckDB wrote, and in one without statistics, NaN is found.
# Output seen (scores 0, NaN and 2 of rows 1, 2 and 3):
#   table:                 isnan [2], score = NaN [2], score > 5 [2], score > 1 [2, 3], max nan
#   pyarrow's file:        isnan [], score = NaN [], score > 5 [], score > 1 [2, 3], max 2.0
#   without statistics:    isnan [2], score = NaN [2], score > 5 [2], score > 1 [2, 3], max nan
#   DuckDB's file:         isnan [2], score = NaN [2], score > 5 [2], score > 1 [2, 3], max nan
# So a file is checked for NaN after it was read, or missing scores are written as null.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "duckdb==2.0.1" "pyarrow==26.0.1"
cd "$folder"
venv/bin/python - <<'PYTHON'
import math

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

EQUAL = "score = 'nan'::DOUBLE"
scores = pa.table({"row": [1, 2, 3], "score": [0.0, math.nan, 2.0]})
pq.write_table(scores, "pyarrow.parquet")
pq.write_table(scores, "plain.parquet", write_statistics=False)
base = duckdb.connect()
base.execute("CREATE TABLE scores AS FROM 'pyarrow.parquet'")
base.execute("COPY scores TO 'duckdb.parquet'")


def answers(source: str) -> str:
    def rows(condition: str) -> list[int]:
        return [one for (one,) in base.execute(f"SELECT row FROM {source} WHERE {condition} ORDER BY row").fetchall()]

    (most,) = base.execute(f"SELECT max(score) FROM {source}").fetchone()
    return (
        f"isnan {rows('isnan(score)')}, score = NaN {rows(EQUAL)}, "
        f"score > 5 {rows('score > 5')}, score > 1 {rows('score > 1')}, max {most}"
    )


seen = [
    f"table:                 {answers('scores')}",
    f"pyarrow's file:        {answers(repr('pyarrow.parquet'))}",
    f"without statistics:    {answers(repr('plain.parquet'))}",
    f"DuckDB's file:         {answers(repr('duckdb.parquet'))}",
]
print("\n".join(seen))
found = "isnan [2], score = NaN [2], score > 5 [2], score > 1 [2, 3], max nan"
missed = "isnan [], score = NaN [], score > 5 [], score > 1 [2, 3], max 2.0"
expected = [found, missed, found, found]
raise SystemExit(0 if [one[23:] for one in seen] == expected else "the behaviour has changed")
PYTHON
