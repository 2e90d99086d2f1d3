#!/usr/bin/env bash
# Lance's module of bfloat16 arrays cannot be imported without pandas, which the package does not ask for.
#
# Versions:  pylance 14.0.2, pyarrow 26.0.1, numpy 2.4.6; pandas 3.1.1 beside them the second time
# Expected:  a package that installs without pandas, and reads and writes data sets without it, has its Arrow types too.
# Behaviour: after `pip install pylance` there is no pandas. A data set is written and read, but `import lance.arrow`
#            raises ImportError, since it names a class that is made only where pandas is. With pandas installed the
#            same import works, although nothing of pandas is used.
# Output seen:
#   without pandas: rows 2, lance.arrow: ImportError
#   with pandas:    rows 2, lance.arrow: [1.5, -2]
# So a reader of bfloat16 embeddings from Lance takes the bits from pyarrow's extension storage, not from lance.arrow.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "pylance==14.0.2" "pyarrow==26.0.1" "numpy==2.4.6"
cd "$folder"
cat > look.py <<'PYTHON'
import sys

import lance
import pyarrow as pa

title, target = sys.argv[1:]
lance.write_dataset(pa.table({"id": [1, 2]}), target)
rows = lance.dataset(target).count_rows()
try:
    from lance.arrow import bfloat16_array

    said = bfloat16_array([1.5, -2.0]).tolist()
except ImportError as error:
    said = type(error).__name__
print(f"{title}: rows {rows}, lance.arrow: {said}")
PYTHON
venv/bin/python look.py "without pandas" one.lance > seen
venv/bin/pip install --quiet --disable-pip-version-check "pandas==3.1.1"
venv/bin/python look.py "with pandas" two.lance >> seen
cat seen
cat > expected <<'TEXT'
without pandas: rows 2, lance.arrow: ImportError
with pandas: rows 2, lance.arrow: [1.5, -2]
TEXT
diff expected seen || { echo "the behaviour has changed"; exit 1; }
