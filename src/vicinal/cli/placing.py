"""Options that stand before the command, or before the action, that they belong to: where they go instead."""

import argparse
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from vicinal.cli import naming

NEGATIVE = re.compile(r"-\.?\d")
WIDEST = 100  # characters of a command that is shown whole


class Option(NamedTuple):
    """An option as it was written, with its values, and its action."""

    words: tuple[str, ...]
    action: argparse.Action


def commands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """The commands of the program, or the actions of a command; empty where there are none."""
    return next((one.choices for one in parser._actions if isinstance(one, argparse._SubParsersAction)), {})


def found(parser: argparse.ArgumentParser, word: str) -> argparse.Action | None:
    """The action of an option, which may have its value in the same word: --metric=l1, -k5; or be several: -vh."""
    known = parser._option_string_actions
    whole = known.get(word.partition("=")[0])
    if whole is not None or word.startswith("--"):
        return whole
    short = [known.get(f"-{letter}") for letter in word[1:]]
    return short[0] if short and short[0] is not None and (short[0].nargs != 0 or None not in short) else None


def is_option(word: str) -> bool:
    """Whether a word is an option, and not a value, such as -1 or the - of standard input."""
    return word.startswith("-") and word not in ("-", "--") and not NEGATIVE.match(word)


def strange(parser: argparse.ArgumentParser, given: Sequence[str]) -> int | None:
    """The place of the first option before the command that the parser itself does not have; None without one.

    >>> top = argparse.ArgumentParser()
    >>> _ = top.add_argument("--memory")
    >>> _ = top.add_subparsers().add_parser("score")
    >>> strange(top, ["--memory", "4G", "-v", "score"]), strange(top, ["--memory", "4G", "score", "-v"])
    (2, None)
    """
    at = 0
    while at < len(given) and is_option(given[at]):
        action = found(parser, given[at])
        if action is None:
            return at
        if isinstance(action, argparse._HelpAction | argparse._VersionAction):
            return None
        at += len(_with_values(action, given[at:]))
    return None


def corrected(parser: argparse.ArgumentParser, given: Sequence[str], first: int) -> str | None:
    """The command with the options before it moved behind it; None where it does not take the first of them.

    Parameters
    ----------
    parser : ArgumentParser
        Of the program, or of a command that has actions.
    given : sequence of str
        What stands after the parser's name.
    first : int
        The place of the first option that the parser does not have, as `strange` gives it.
    """
    for fits, at, end, own in sorted(_readings(parser, given, first), key=lambda one: not one[0]):
        if not fits:
            return " ".join([parser.prog, *given[at:end], *_with_name(own, given[first]), "..."])
        moved, kept = _apart(parser, own, given[:at])
        path, after = given[at:end], given[end:]
        many = any(one.action.nargs in ("+", "*") for one in moved)  # it would take what follows, too
        words = [word for one in moved for word in one.words]
        begin = [parser.prog, *kept, *path]
        whole = [*begin, *after, *words] if many else [*begin, *words, *after]
        text = " ".join([parser.prog, *map(shlex.quote, whole[1:])])
        if len(text) <= WIDEST and text.isprintable():
            return text
        short = " ".join([parser.prog, *map(shlex.quote, [*kept, *path])])
        option = " ".join(map(shlex.quote, words))
        return f"{short} ... {option}" if many else f"{short} {option} ..."
    named = any(word in commands(parser) for word in given[first:])
    return None if named else _example(parser, given[first])


def _readings(
    parser: argparse.ArgumentParser, given: Sequence[str], first: int
) -> Iterator[tuple[bool, int, int, argparse.ArgumentParser]]:
    """Words that may be the command, since it takes the first strange option; its action too, where it has actions.

    Whether all words before it are options with their values, where it begins, where it ends, and its parser.
    """
    known = commands(parser)
    for at in range(first + 1, len(given)):
        if given[at] not in known:
            continue
        own, end = known[given[at]], at + 1
        below = commands(own)
        action = next((place for place in range(end, len(given)) if not is_option(given[place])), len(given))
        if action < len(given) and given[action] in below:
            own, end = below[given[action]], action + 1
        if found(own, given[first]) is not None:
            yield _fits(parser, own, given[:at]), at, end, own


def _fits(parser: argparse.ArgumentParser, own: argparse.ArgumentParser, words: Sequence[str]) -> bool:
    """Whether words are options of the program or of a command, each with all of its values."""
    at = 0
    while at < len(words):
        action = (found(parser, words[at]) or found(own, words[at])) if is_option(words[at]) else None
        if action is None:
            return False
        taken = _with_values(action, words[at:])
        if len(taken) < 1 + _least(action, words[at]):
            return False
        at += len(taken)
    return True


def _apart(
    parser: argparse.ArgumentParser, own: argparse.ArgumentParser, words: Sequence[str]
) -> tuple[list[Option], list[str]]:
    """The options that go behind the command, and the words that stay before it; others are left out."""
    moved: list[Option] = []
    kept: list[str] = []
    at = 0
    while at < len(words):
        here, there = found(parser, words[at]), found(own, words[at])
        action = here or there
        taken = (words[at],) if action is None else tuple(_with_values(action, words[at:]))
        if is_option(words[at]) and here is not None:
            kept += taken
        elif is_option(words[at]) and there is not None:
            moved.append(Option(taken, there))
        at += len(taken)
    return moved, kept


def _least(action: argparse.Action, word: str) -> int:
    """How many words an option needs behind it."""
    attached = "=" in word or (not word.startswith("--") and len(word) > 2)
    if action.nargs == 0 or attached:
        return 0
    return action.nargs if isinstance(action.nargs, int) else 1


def _with_values(action: argparse.Action, words: Sequence[str]) -> Sequence[str]:
    """The first word, which is an option, and its values behind it."""
    most = len(words) if action.nargs in ("+", "*") else 1 + _least(action, words[0])
    end = next((at for at in range(1, min(most, len(words))) if is_option(words[at])), min(most, len(words)))
    return words[:end]


def _example(parser: argparse.ArgumentParser, word: str) -> str | None:
    """The first command that takes an option, where none was given."""
    for name, own in commands(parser).items():
        for path, one in (([name], own), *(([name, action], below) for action, below in commands(own).items())):
            if found(one, word) is not None:
                return " ".join([parser.prog, *path, *_with_name(one, word), "..."])
    return None


def _with_name(parser: argparse.ArgumentParser, word: str) -> list[str]:
    """An option with its value as the help shows it, where the word has none."""
    action = found(parser, word)
    return [word] if action is None or not _least(action, word) else [word, naming.wanted(action)]
