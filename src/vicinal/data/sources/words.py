"""Word vectors: word2vec's text and binary forms, and GloVe's text. Ids become the words.

word2vec text     a line "rows dim", then on each line a word and its numbers
word2vec binary   a line "rows dim", then each word, a blank, and its float32 numbers; the original program writes a
                  line end after the numbers, gensim writes none
GloVe             as word2vec text without the first line; words may hold blanks
"""

import gzip
from itertools import chain, islice
from pathlib import Path

import numpy as np

from vicinal.data.formats import Bytes, lines_of
from vicinal.data.sources.found import Found, copied, refuse_key
from vicinal.errors import DataError

BLOCK = 4_096
LONGEST_WORD = 1 << 16


def _opened(path: Path) -> Bytes:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else open(path, "rb")


def read_words(path: Path, key: str) -> Found:
    """The vectors of a text of words, with or without a first line of sizes."""
    refuse_key(path, key)
    copied(path, "it is text")
    words: list[str] = []
    blocks: list[np.ndarray] = []
    with _opened(path) as file:
        every = (line for _, line in lines_of(path, file))
        head = [line for line in islice(every, 2) if line.strip()]
        sizes = _sizes(head[0]) if head else None
        lines = chain(head[1:] if sizes else head, every)
        dim = sizes[1] if sizes else min((len(line.split()) for line in head), default=1) - 1
        number = 2 if sizes else 1
        while block := list(islice(lines, BLOCK)):
            words += [_word(line.rsplit(maxsplit=dim)[0] if line.strip() else b"") for line in block]
            blocks.append(_numbers(block, dim, path, number))
            number += len(block)
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
    cells: list[bytes] = []
    for place, line in enumerate(lines):
        numbers = line.rsplit(maxsplit=dim)[1:]
        if len(numbers) != dim or dim < 1:
            raise DataError(f"{path}:{first + place}: found {len(numbers)} numbers after the word, expected {dim}")
        cells += numbers
    try:
        return np.array(cells, dtype=np.bytes_).astype(np.float32).reshape(len(lines), dim)
    except ValueError:
        for place, line in enumerate(lines):
            for cell in line.rsplit(maxsplit=dim)[1:]:
                try:
                    float(cell)
                except ValueError:
                    raise DataError(f"{path}:{first + place}: expected a number, found {cell[:40]!r}") from None
        raise


def read_word_bytes(path: Path, key: str) -> Found:
    """The vectors of word2vec's binary form."""
    refuse_key(path, key)
    copied(path, "its words lie between the numbers")
    with _opened(path) as file:
        sizes = _sizes(file.readline(200))
        if sizes is None:
            raise DataError(f"{path}: expected the binary form of word2vec, whose first line names rows and dim")
        n, dim = sizes
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
    return Found(vectors, ids=words)
