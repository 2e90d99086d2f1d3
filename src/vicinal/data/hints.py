"""What messages say beside the fault: the remedy for what a caller probably meant."""

from typing import Any

from vicinal.data import frames


def of_plain_table(table: Any) -> str:
    """What to say where vectors are wanted of a table whose rows are the vectors; empty of any other table, or None.

    >>> of_plain_table({"x": [1.0], "y": [2.0]})
    '; no column holds vectors, but all hold numbers: if the rows are the vectors, give them as an array'
    """
    import pyarrow.types as types

    columns = [] if table is None else [frames.column(table, name).type for name in frames.column_names(table)]
    if not columns or not all(types.is_floating(one) or types.is_integer(one) for one in columns):
        return ""
    give = ".to_numpy() of the table" if hasattr(table, "to_numpy") else "them as an array"
    return f"; no column holds vectors, but all hold numbers: if the rows are the vectors, give {give}"
