"""Word vectors: word2vec's text and binary forms, and GloVe's text. Ids become the words.

word2vec text     a line "rows dim", then on each line a word and its numbers
word2vec binary   a line "rows dim", then each word, a blank, and its float32 numbers; the original program writes a
                  line end after the numbers, gensim writes none
GloVe             as word2vec text without the first line; words may hold blanks
"""

import warnings
from itertools import chain, islice
from pathlib import Path

import numpy as np

from vicinal.data.formats import lines_of, opened
from vicinal.data.sources.found import Found, copied, refuse_key
from vicinal.errors import DataError, some

BLOCK = 4_096
LONGEST_WORD = 1 << 16


def read_words(path: Path, key: str) -> Found:
    """The vectors of a text of words, with or without a first line of sizes."""
    refuse_key(path, key)
    words: list[str] = []
    blocks: list[np.ndarray] = []
    with opened(path) as file:
        every = (line for _, line in lines_of(path, file))
        head = [line for line in islice(every, 2) if line.strip()]
        sizes = _sizes(head[0]) if head else None
        lines = chain(head[1:] if sizes else head, every)
        dim = sizes[1] if sizes else min((len(line.split()) for line in head), default=1) - 1
        number = 2 if sizes else 1
        copied(path, "it is text", 8 * sizes[0] * sizes[1] if sizes else 0)
        while block := list(islice(lines, BLOCK)):
            words += [_word(line.rsplit(maxsplit=dim)[0] if line.strip() else b"") for line in block]
            blocks.append(_numbers(block, dim, path, number))
            number += len(block)
            copied(path, "it is text", 2 * len(blocks) * blocks[0].nbytes)  # they are joined at the end
    found = np.concatenate(blocks) if blocks else np.empty((0, 1), dtype=np.float32)
    if sizes and sizes[0] != len(found):
        raise DataError(f"{path}: its first line names {sizes[0]} rows, found {len(found)}; the file is truncated")
    return Found(found, ids=words)


def _sizes(line: bytes) -> tuple[int, int] | None:
    """The numbers of rows and of coordinates of word2vec's first line; None where it is no such line."""
    parts = line.split()
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 and all(part.isdigit() for part in parts) else None


def _word(word: bytes) -> str:
    return word.decode("utf-8", errors="replace")


def _numbers(lines: list[bytes], dim: int, path: Path, first: int) -> np.ndarray:
    """The numbers behind the word of each line, float32 (n, dim)."""
    texts = [line.rstrip().split(b" ", 1)[-1] if line.count(b" ") == dim else _tail(line, dim) for line in lines]
    with warnings.catch_warnings():  # text that is no number: a warning in this NumPy, an error in a later one
        warnings.simplefilter("error")
        try:
            values = np.fromstring(b" ".join(texts).decode("ascii"), dtype=np.float32, sep=" ")
        except (ValueError, DeprecationWarning):
            values = np.empty(0, dtype=np.float32)
    if dim > 0 and len(values) == len(lines) * dim and all(text.count(b" ") == dim - 1 for text in texts):
        return values.reshape(len(lines), dim)
    for place, text in enumerate(texts):
        cells = text.split()
        wrong = [cell for cell in cells if not _is_number(cell)]
        if len(cells) != dim or wrong or dim < 1:
            what = f"the number {wrong[0][:40]!r}" if wrong else f"{len(cells)} numbers after the word"
            raise DataError(f"{path}:{first + place}: found {what}, expected {dim} numbers after the word")
    raise DataError(f"{path}:{first}: numbers in the {len(lines)} lines from here on cannot be read")


def _tail(line: bytes, dim: int) -> bytes:
    """The last cells of a line, of which the word may hold blanks or other white space may lie between."""
    return b" ".join(line.rsplit(maxsplit=dim)[1:])


def _is_number(cell: bytes) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read_word_bytes(path: Path, key: str) -> Found:
    """The vectors of word2vec's binary form."""
    refuse_key(path, key)
    with opened(path) as file:
        sizes = _sizes(file.readline(200))
        if sizes is None:
            raise DataError(f"{path}: expected the binary form of word2vec, whose first line names rows and dim")
        n, dim = sizes
        copied(path, "its words lie between the numbers", 4 * n * dim)
        body = file.read()
    if dim < 1 or n * (dim * 4 + 2) > len(body):
        raise DataError(
            f"{path}: its first line names {n} rows of dim {dim}, found {len(body)} bytes; the file is truncated"
        )
    vectors = np.empty((n, dim), dtype="<f4")
    words: list[str] = []
    at = 0
    for row in range(n):
        end = body.find(b" ", at, at + LONGEST_WORD)
        if end < 0 or end + 1 + dim * 4 > len(body):
            raise DataError(f"{path}: its first line names {n} rows, found {row}; the file is truncated")
        words.append(_word(body[at:end].lstrip(b"\n")))
        vectors[row] = np.frombuffer(body, "<f4", dim, end + 1)
        at = end + 1 + dim * 4
    odd = [row for row, word in enumerate(words) if "\ufffd" in word or not word.isprintable()]
    if odd or body[at:].strip(b"\n"):
        warnings.warn(
            f"{path}: {len(odd)} words hold bytes that are no text (rows {some(odd)}); a word before each may hold a "
            "blank, which this form cannot tell from its end, and its numbers are then wrong: write the text form",
            stacklevel=2,
        )
    return Found(vectors, ids=words)
