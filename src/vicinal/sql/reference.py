"""The reference page of the functions: `python -m vicinal.sql.reference > docs/sql-functions.md`."""

from vicinal.sql.compile.functions import FUNCTIONS

HEAD = """# SQL functions

Made from the table in `src/vicinal/sql/functions.py` by `python -m vicinal.sql.reference > docs/sql-functions.md`. Each
example runs as a test. Names of a module (`Knn::`) are case-sensitive, others are found in any case. What the
statements around them are is told in [sql.md](sql.md).

| function | arguments and result | what it gives | example | answer |
|---|---|---|---|---|
"""


def page() -> str:
    """The page's text."""
    lines = []
    for one in FUNCTIONS:
        cells = (f"`{one.name}`", f"`{one.call}`", one.help, f"`{one.example}`", f"`{one.answer}`")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
