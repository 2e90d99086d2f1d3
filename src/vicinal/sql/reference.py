"""The page docs/sql-functions.md: `python -m vicinal.sql.reference > docs/sql-functions.md`."""

from vicinal.sql.compile.functions import FUNCTIONS

HEAD = """# SQL functions

Made from the table in `src/vicinal/sql/compile/functions/` by
`python -m vicinal.sql.reference > docs/sql-functions.md`. Each example runs as a test. The names of functions in a
module (`Knn::`, `Math::`) are case-sensitive, the others are not. [sql.md](sql.md) describes the statements.

| function | arguments and result | value | example | result |
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
