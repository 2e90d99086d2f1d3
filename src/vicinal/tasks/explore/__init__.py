"""`vicinal.explore`: the page of scores, served on this machine, with search by meaning and marks that are kept.

`service` answers the page's requests, `marking` keeps the marks in a file.
"""

import os
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vicinal.data import provenance
from vicinal.errors import UsageError, need
from vicinal.tasks.arguments import whole_number
from vicinal.tasks.explore.marking import MarksFile
from vicinal.tasks.explore.search import Search
from vicinal.tasks.page.html import html_page
from vicinal.tasks.report import page_of_rows, rows_of
from vicinal.tasks.score import Scores

if TYPE_CHECKING:
    from vicinal.tasks.explore.service import Explorer

__all__ = ["explore"]

HOST, PORT, MARKS = "localhost", 8765, "marks.jsonl"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def explore(
    scores: Scores | str | os.PathLike[str],
    *,
    marks: str | os.PathLike[str] = MARKS,
    model: str | None = None,
    host: str = HOST,
    port: int = PORT,
    fields: Sequence[str] | None = None,
    map: Literal["pca", "umap"] = "pca",
    radius: float = 0.0,
    labels: str | None = None,
    title: str | None = None,
) -> "Explorer":
    """Return a running server of the page of scores, which finds the nearest rows of a sentence and keeps marks.

    It listens on this machine alone; its address holds a token, without which nothing is answered.

    Parameters
    ----------
    scores : Scores or path
        What `vicinal.score` returned, or the folder of a kept run.
    marks : path
        The `.jsonl` file that marks are added to, a line each; those that are there are shown. `vicinal.select` takes
        it as `marks`.
    model : str, optional
        The sentence-transformers model that embeds sentences; by default the one that the note beside the embeddings
        names.
    host : str
        The address at which it listens. One that other machines reach shows them the data, if they know the token.
    port : int
        0 for any that is free.
    fields, map, radius, labels, title
        As in `report`.

    Returns
    -------
    Explorer
        A context manager with `url`, `wait` and `stop`.

    Raises
    ------
    UsageError
        An argument cannot be used, the model is another than that of the embeddings, or the address is taken.
    DataError
        The folder is no kept run, a file that it was made from has changed, or the marks name no row of it.
    MissingExtra
        Starlette and uvicorn (`pip install 'vicinal[serve]'`) are not installed.
    """
    need("starlette", extra="serve")
    need("uvicorn", extra="serve")
    from vicinal.tasks.explore.service import Explorer

    if not isinstance(host, str) or not host or any(sign in host for sign in "/@ "):
        raise UsageError(f"host: expected the name or number of an address, got {host!r}")
    if port != 0 and whole_number(port, "port", also=", or 0 for any that is free") > 65_535:
        raise UsageError(f"port: expected 0 to 65535, got {port}")
    if Path(marks).suffix != ".jsonl":
        raise UsageError(f"marks: expected a name that ends in .jsonl, got {os.fspath(marks)!r}")
    rows = rows_of(scores, fields, labels, title)
    kept = MarksFile(Path(marks), rows.ids, rows.title)
    content = page_of_rows(rows, fields, map, radius, labels, explore=True)
    search = Search(rows.vectors, rows.valid, rows.metric, *_model_of(scores, model))
    page = b"".join(html_page(replace(content, no_search=search.problem)))
    return Explorer(page, search, kept, host, port, secrets.token_urlsafe(24), host in LOOPBACK)


def _model_of(scores: Scores | str | os.PathLike[str], model: str | None) -> tuple[str | None, bool]:
    """The model that embeds sentences and whether its rows have length 1; None where it is not known."""
    path: str | Path | None
    if isinstance(scores, Scores):
        path = None if scores.embeddings is None else scores.embeddings.path
    else:
        from vicinal.tasks.score.runs import Kept

        path = Kept.load(os.fspath(scores)).parts[0].embeddings[0].path
    made = None if path is None else provenance.model_of(path)
    if made is None:
        return model, False
    known = made["model"]
    if model is not None and model != known and Path(model).resolve() != Path(str(known)).resolve():
        raise UsageError(f"model: the rows were embedded by {known}, got {model}; leave the model out")
    return str(known), bool(made["normalized"])
