"""Texts as words, for full-text indexes: tokenizers and filters, named as in YDB."""

import re
from typing import Any

from vicinal.errors import need

TOKENIZERS = ("standard", "whitespace", "keyword")
FILTERS = ("lowercase", "length", "snowball", "ngram", "edge_ngram")
_WORD = re.compile(r"\w+")


def tokens(text: str, settings: dict[str, Any]) -> list[str]:
    """The words of a text, as an index with these settings keeps them.

    >>> tokens("Machine learning, of AI", {"tokenizer": "standard", "use_filter_lowercase": True})
    ['machine', 'learning', 'of', 'ai']
    """
    tokenizer = settings.get("tokenizer", "standard")
    found = [text] if tokenizer == "keyword" else text.split() if tokenizer == "whitespace" else _WORD.findall(text)
    if settings.get("use_filter_lowercase"):
        found = [one.lower() for one in found]
    if settings.get("use_filter_length"):
        low, high = settings.get("filter_length_min", 0), settings.get("filter_length_max", 1 << 30)
        found = [one for one in found if low <= len(one) <= high]
    if settings.get("use_filter_snowball"):
        found = stemmer(settings["language"]).stemWords(found)
    edge = bool(settings.get("use_filter_edge_ngram"))
    if edge or settings.get("use_filter_ngram"):
        sizes = range(settings["filter_ngram_min_length"], settings["filter_ngram_max_length"] + 1)
        found = [gram for one in found for gram in _grams(one, sizes, edge)]
    return [one for one in found if one]


def stemmer(language: str) -> Any:
    """The Snowball stemmer of a language.

    Raises    KeyError where there is none
    """
    return need("snowballstemmer", extra="sql").stemmer(language)


def _grams(word: str, sizes: range, edge: bool) -> list[str]:
    """The substrings of those lengths, from the beginning alone where `edge`."""
    starts = [0] if edge else range(len(word))
    return [word[start : start + size] for start in starts for size in sizes if start + size <= len(word)]
