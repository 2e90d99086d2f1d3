"""Values and the places where they were written, in a YAML file or as an argument, so that an error can name them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vicinal.data.sources import split
from vicinal.errors import UsageError, unknown


@dataclass(frozen=True)
class Setting:
    """A value and where it was written.

    Attributes
    ----------
    value : object
        Of a mapping: a dict of str to Setting. Of a list: a list of Setting.
    place : str
        What errors name: `knn.yaml:3:4: k` of a file, `k` of an argument.
    folder : Path or None
        The folder of the file that it was written in; None for an argument.
    key_place : str
        The place of the key, for errors about the key itself.
    """

    value: Any
    place: str
    folder: Path | None = None
    key_place: str = ""

    def fail(self, expected: str) -> UsageError:
        """Return the error for a value that is not what was expected."""
        return UsageError(f"{self.place}: expected {expected}, got {_shown(self.value)}")

    @property
    def is_argument(self) -> bool:
        """Whether the value was given in a call, not written in a file."""
        return self.folder is None

    def text(self) -> str:
        """Return the value, a text that is not empty, or raise UsageError."""
        if not isinstance(self.value, str) or not self.value:
            raise self.fail("text")
        return self.value

    def whole_number(self) -> int:
        """Return the value, a whole number above 0, or raise UsageError."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise self.fail("a whole number above 0")
        return int(value)

    def file(self) -> Path:
        """Return the path of an input, as FILE or FILE:KEY: from the working directory, else from the file's folder."""
        text = self.text()
        tried = [Path(text)]
        if self.folder is not None and not Path(text).is_absolute():
            tried.append(self.folder / text)
        files = [split(path)[0] for path in tried]
        for there in (Path.is_file, Path.is_dir):  # a folder of shards, where there is no file of the name
            for path, file in zip(tried, files, strict=True):
                if there(file):
                    return path
        places = dict.fromkeys(f"{_what_is(path)} at {path.absolute()}" for path in tried)
        raise UsageError(f"{self.place}: expected a file, got {_shown(self.value)}: there is {', '.join(places)}")


Settings = dict[str, Setting]


def refuse_unknown_keys(settings: Settings, known: tuple[str, ...], other_names: dict[str, str]) -> None:
    """Raise UsageError where a key is not among those known.

    Parameters
    ----------
    settings : dict of str to Setting
    known : tuple of str
    other_names : dict of str to str
        Names that other tools use -> the key that is meant.
    """
    for key, setting in settings.items():
        if key not in known:
            near = other_names.get(key.lower().replace("-", "_"))
            hint = f"unknown key {key!r}: did you mean {near!r}? Choose from {', '.join(known)}"
            raise UsageError(f"{setting.key_place}: {hint if near in known else unknown('key', key, known)}")


def read_yaml(path: Path) -> tuple[Settings, str]:
    """Return the top mapping of a YAML file as settings that know their places, and the file's own place.

    Raises
    ------
    UsageError
        The file cannot be read, is not UTF-8 or not valid YAML, or is no mapping; the message names line and column.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}:{line}: not UTF-8; convert the file to UTF-8") from None
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            kind = "an empty file" if node is None else f"a {type(node).__name__.removesuffix('Node').lower()}"
            raise UsageError(f"{path}:1:1: expected keys and values such as 'embedding_path: emb.npy', found {kind}")
        return _settings(loader, node, path, "", (), []).value, f"{path}:1:1"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise UsageError(f"{place}: not valid YAML: {error.problem or error}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(
            f"{path}:{line}: not valid YAML: the character #x{error.character:02x} is not allowed"
        ) from None
    except RecursionError:
        line, column = (1, 1) if loader is None else (loader.line + 1, loader.column + 1)
        raise UsageError(f"{path}:{line}:{column}: nested too deeply to be read; write it flatter") from None


MOST_NODES = 100_000  # aliases within aliases double with every line
DEEPEST = 50


def _settings(
    loader: yaml.SafeLoader, node: yaml.Node, path: Path, key: str, above: tuple[yaml.Node, ...], seen: list[None]
) -> Setting:
    """A YAML node as a setting, with those below it; `key` is its place in the file such as `scorers.0.k`.

    seen : one item for each node that was read, aliases with all that they stand for
    """
    place = f"{path}:{node.start_mark.line + 1}:{node.start_mark.column + 1}: {key}"
    if node in above:
        raise UsageError(f"{place}: an alias that contains itself")
    seen.append(None)
    if len(seen) > MOST_NODES:
        raise UsageError(f"{place}: with its aliases the file holds more than {MOST_NODES:,} values; write fewer")
    if len(above) > DEEPEST:
        raise UsageError(f"{place}: nested more than {DEEPEST} levels deep; write it flatter")
    above = (*above, node)
    prefix = f"{key}." if key else ""
    value: Any
    if isinstance(node, yaml.MappingNode):
        value = {}
        for key_node, value_node in node.value:
            name = str(key_node.value)
            mark = key_node.start_mark
            spot = f"{path}:{mark.line + 1}:{mark.column + 1}: {prefix}{name}"
            if not isinstance(key_node, yaml.ScalarNode):
                raise UsageError(f"{path}:{mark.line + 1}:{mark.column + 1}: expected a key, found a {key_node.id}")
            if name in value:
                raise UsageError(f"{spot}: duplicate key; it is written above already: remove one of the two")
            below = _settings(loader, value_node, path, prefix + name, above, seen)
            value[name] = replace(below, key_place=spot)
    elif isinstance(node, yaml.SequenceNode):
        value = [_settings(loader, item, path, f"{prefix}{i}", above, seen) for i, item in enumerate(node.value)]
    else:
        try:
            value = loader.construct_object(node)
        except Exception as error:  # PyYAML raises errors of many kinds of a tag that does not fit its text
            problem = getattr(error, "problem", None) or f'"{node.value}" as {node.tag.rpartition(":")[2]}'
            raise UsageError(f"{place}: not a value that can be read: {problem}") from None
    return Setting(value, place, path.parent)


def _what_is(path: Path) -> str:
    return "a folder" if path.is_dir() else "no plain file" if path.exists() else "nothing"


def _shown(value: Any) -> str:
    """A value in an error, as YAML writes it, shortened."""
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 80 else f'"{value[:77]}..."'
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list" if value else "an empty list"
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
