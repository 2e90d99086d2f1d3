"""The texts that a terminal shows beside ids."""

from collections.abc import Collection
from pathlib import Path


def by_id(source: str | None, ids: Collection[object], field: str | None = None) -> dict[object, str]:
    """Return the texts of the rows of ids in a data set file; none where `source` is no such file.

    Parameters
    ----------
    source : str or None
        As it was typed: FILE or FILE:FIELD.
    ids : collection of int or str
    field : str, optional
        The field of ids.
    """
    from vicinal.data.sources import split
    from vicinal.data.tables import SUFFIXES
    from vicinal.data.texts import texts_of_ids

    if source is None:
        return {}
    file = next((one for one in (Path(source), split(source)[0]) if one.is_file()), None)
    if file is None or not str(file).lower().endswith(SUFFIXES):
        return {}
    return texts_of_ids(file, ids, field or "id")
