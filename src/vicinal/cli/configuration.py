"""`--config`: the options of a command from a YAML file; options that are typed replace its values.

A key is an option's long name or its argument's name in Python: `on-invalid` or `on_invalid`.
"""

import argparse
from pathlib import Path
from typing import Any

from vicinal.cli import options
from vicinal.cli.placing import is_option
from vicinal.errors import UsageError, unknown

EXAMPLES = {
    "radius": "0.05",
    "k": "10",
    "metric": "cosine",
    "title": "News",
    "seed": "7",
}  # the first that a command has
INPUTS = ("DATA", "SCORES", "RUN", "PATH", "NPY", "FILE[:FIELD]")  # read from the file's folder, too
NEVER = ("help", "config", "verbose", "quiet")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add --config to a command that has none of its own; its help has an example that this command takes."""
    known = _by_key(parser)
    example = next((f", such as {name}: {value}" for name, value in EXAMPLES.items() if name in known), "")
    text = f"a YAML file with options of this command{example}; typed options replace its values"
    parser.add_argument("--config", metavar="FILE", help=text)


def named_in(arguments: list[str]) -> str | None:
    """Return the file of --config in arguments; None where there is none, or where the parser will refuse it.

    >>> named_in(["data.jsonl", "--config", "a.yaml"]), named_in(["--config=b.yaml"]), named_in(["data.jsonl"])
    ('a.yaml', 'b.yaml', None)
    >>> named_in(["data.jsonl", "--config", "--json"]), named_in(["--config="])
    (None, None)
    """
    for at, word in enumerate(arguments):
        if word == "--config" and at + 1 < len(arguments):
            return arguments[at + 1] if arguments[at + 1] and not is_option(arguments[at + 1]) else None
        if word.startswith("--config="):
            return word.partition("=")[2] or None
    return None


def read(file: str, parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Return the value of each argument that a file gives, as the parser would give it.

    The parser then requires none of these arguments.

    Raises
    ------
    UsageError
        A key is no option of the command, or a value is none that its option takes; with file, line and column.
    """
    from vicinal.tasks.score.settings import read_yaml  # loads numpy, which the help must not

    actions = _by_key(parser)
    found: dict[str, Any] = {}
    for key, setting in read_yaml(Path(file))[0].items():
        action = actions.get(key.replace("-", "_"))
        if action is None:
            names = sorted(actions)
            raise UsageError(f"{setting.key_place}: {unknown('key', key, names)}")
        if action.dest in found:
            raise UsageError(f"{setting.key_place}: is another name of a key above; give it once")
        if setting.value is not None:
            found[action.dest] = _value(setting, action)
    _require_no_more(parser, found)
    return found


def _by_key(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The action of each key."""
    known: dict[str, argparse.Action] = {}
    for action in parser._actions:
        if action.dest in NEVER:
            continue
        names = [one.lstrip("-") for one in action.option_strings if one.startswith("--")]
        if action.nargs != 0 or action.const is True:  # the argument of --no-normalize says the opposite
            names.append(action.dest)
        for name in names:
            known.setdefault(name.replace("-", "_"), action)
    return known


def _value(setting: Any, action: argparse.Action) -> Any:
    """A value of the file as the command's parser gives it: text, a list of texts, or true and false."""
    if isinstance(setting.value, bool):
        if action.nargs == 0:
            return setting.value if action.const is True else action.const if setting.value else action.default
        if not setting.value and action.dest == "text":  # --no-text
            return False
        raise setting.fail("text or a number")
    if action.nargs == 0:
        raise setting.fail("true or false")
    listed = action.nargs in ("+", "*", 2) or isinstance(action, argparse._AppendAction)
    given = setting.value if isinstance(setting.value, list) else [setting]
    if isinstance(setting.value, list) and not listed:
        raise setting.fail("one value")
    texts = [_text(one, action) for one in given]
    return texts if listed else texts[0]


def _text(setting: Any, action: argparse.Action) -> Any:
    from vicinal.data.sources import split

    if isinstance(setting.value, bool | dict | list) or setting.value is None:
        raise setting.fail("text or a number")
    text = str(setting.value)
    beside = setting.folder / text
    if (
        action.metavar in INPUTS
        and action.dest not in options.OUTPUTS
        and not split(text)[0].exists()
        and split(beside)[0].exists()
    ):
        text = str(beside)
    if action.choices is not None and text not in action.choices:
        raise UsageError(f"{setting.place}: {unknown('value', text, action.choices)}")
    if action.type is None:
        return text
    number = options.number(text)
    if isinstance(number, str):
        raise setting.fail("a number")
    return number


def _require_no_more(parser: argparse.ArgumentParser, found: dict[str, Any]) -> None:
    """Let the parser not ask for what the file gives, and not put a default in its place."""
    for action in parser._actions:
        if action.dest in found:
            action.required, action.default = False, argparse.SUPPRESS
            if not action.option_strings and action.nargs is None:
                action.nargs = "?"
    for group in parser._mutually_exclusive_groups:
        if any(action.dest in found for action in group._group_actions):
            group.required = False
