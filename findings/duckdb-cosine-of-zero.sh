#!/usr/bin/env bash
# DuckDB puts rows whose embedding is zero first, for any query, where it sorts by cosine similarity.
#
# Versions:  duckdb 2.0.1
# Expected:  the two ways to write a cosine search, by similarity downwards and by distance upwards, give the same rows.
# Behaviour: the similarity to a zero vector, which models give for empty texts, is NaN, and NaN is DuckDB's greatest number.
#            So ORDER BY array_cosine_similarity(...) DESC LIMIT k begins with all the zero vectors, and ORDER BY
#            array_cosine_distance(...) LIMIT k, which is NaN for them, too, ends with them. NULLS LAST changes nothing. The
#            greatest similarity of a table is NaN by max(), and a threshold (similarity > .5) holds for them, too.
# Output seen:
#   by similarity: ['empty', 'near', 'far']
#   by distance: ['near', 'far', 'empty']
#   by similarity, nulls last: ['empty', 'near', 'far']
#   greatest similarity: nan
#   similarity above .5: ['empty', 'near']
#   distance below .5: ['near']
# So a search by similarity asks for isfinite(similarity), or sorts by the distance.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "duckdb==2.0.1"
cd "$folder"
venv/bin/python - <<'PYTHON'
import duckdb

database = duckdb.connect()
database.execute("CREATE TABLE texts (name VARCHAR, embedding FLOAT[2])")
database.execute("INSERT INTO texts VALUES ('far', [0, 1]), ('empty', [0, 0]), ('near', [1, 0.1])")
similarity = "array_cosine_similarity(embedding, [1, 0]::FLOAT[2])"
distance = "array_cosine_distance(embedding, [1, 0]::FLOAT[2])"


def names(rest: str) -> list[str]:
    return [name for (name,) in database.execute(f"SELECT name FROM texts {rest}").fetchall()]


seen = [
    f"by similarity: {names(f'ORDER BY {similarity} DESC LIMIT 3')}",
    f"by distance: {names(f'ORDER BY {distance} LIMIT 3')}",
    f"by similarity, nulls last: {names(f'ORDER BY {similarity} DESC NULLS LAST LIMIT 3')}",
    f"greatest similarity: {database.execute(f'SELECT max({similarity}) FROM texts').fetchone()[0]}",
    f"similarity above .5: {names(f'WHERE {similarity} > 0.5 ORDER BY name')}",
    f"distance below .5: {names(f'WHERE {distance} < 0.5 ORDER BY name')}",
]
print("\n".join(seen))
expected = [
    "by similarity: ['empty', 'near', 'far']",
    "by distance: ['near', 'far', 'empty']",
    "by similarity, nulls last: ['empty', 'near', 'far']",
    "greatest similarity: nan",
    "similarity above .5: ['empty', 'near']",
    "distance below .5: ['near']",
]
raise SystemExit(0 if seen == expected else "the behaviour has changed")
PYTHON
