"""A collection as bytes: its saved folder in an uncompressed archive; reading it executes nothing that it holds."""

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from vicinal.errors import DataError
from vicinal.retrieval.collection import Collection

FOLDER = "collection"


def pack(collection: Collection) -> bytes:
    """The folder of a collection as bytes."""
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as above:
        collection.save(Path(above) / FOLDER)
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for file in sorted((Path(above) / FOLDER).iterdir()):
                archive.write(file, file.name)
    return buffer.getvalue()


def unpack(packed: bytes, embed: Any = None) -> Collection:
    """The collection that `pack` made bytes of.

    Raises
    ------
    DataError
        The bytes are something else, or are damaged.
    """
    with tempfile.TemporaryDirectory() as above:
        folder = Path(above) / FOLDER
        folder.mkdir()
        try:
            with zipfile.ZipFile(io.BytesIO(packed)) as archive:
                for one in archive.infolist():
                    # Stored members are no larger than the bytes, and a plain name stays inside the folder.
                    if one.compress_type != zipfile.ZIP_STORED or Path(one.filename).name != one.filename:
                        raise zipfile.BadZipFile(f"unexpected member {one.filename!r}")
                    (folder / one.filename).write_bytes(archive.read(one))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
            raise DataError(f"serialized: not the bytes of a collection ({error})") from None
        return Collection.load(folder, embed)  # what is memory-mapped outlives the name of its file
