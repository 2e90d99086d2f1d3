"""Options that several commands share, and the names of options in messages.

A command passes what the user wrote to its function, which checks it. `number` turns the text of a number into one and
leaves other text as it is, so that the function refuses it. `in_options` writes the argument that a function names in
its message as the option that the user typed.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from vicinal.errors import UsageError

OUTPUTS = (
    "output",
    "add_to",
    "removed",
    "output_path",
    "decisions",
    "html",
    "picture",
    "sweep",
    "write_errors",
    "write_pairs",
)
"""The arguments that name what a command writes."""
FILES = ("DATA", "FILE", "FOLDER", "HTML", "INDEX", "NPY", "PATH", "PICTURE", "RUN", "SCORES", "STORE")
"""How the help shows arguments that name files or folders."""
PATHS = "a .npy, FILE:KEY of other formats, or a folder of shards"


def number(text: str | None) -> Any:
    """Return the number that a text holds, or the text itself.

    >>> number("5"), number("0.5"), number("five"), number(None)
    (5, 0.5, 'five', None)
    """
    if text is None:
        return None
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) < 4000:
        return int(text)
    try:
        return float(text) if text.isascii() and "_" not in text else text
    except ValueError:
        return text


def in_options(message: str, parser: argparse.ArgumentParser, command: argparse.Namespace) -> str:
    """Return a message whose leading argument name, such as `radius: `, is written as the option, such as `--radius: `.

    Parameters
    ----------
    message : str
        Of an error.
    parser : ArgumentParser
        The command's.
    command : Namespace
        What was parsed; `action` names the action of a command that has several.
    """
    name, colon, rest = message.partition(": ")
    actions = _actions(parser, command)
    if name in _paths(actions, command):  # the message is of that file
        return message
    for action in actions:
        if colon and action.dest == name:
            return f"{_shown(action)}: {rest}"
    return message


def _paths(actions: list[argparse.Action], command: argparse.Namespace) -> set[str]:
    """The files and folders that were given."""
    given: list[Any] = []
    for action in actions:
        if action.metavar in FILES or action.dest in OUTPUTS:
            value = getattr(command, action.dest, None)
            given += value if isinstance(value, list) else [value]
    return {os.path.normpath(one) for one in given if isinstance(one, str) and one}


def _actions(parser: argparse.ArgumentParser, command: argparse.Namespace) -> list[argparse.Action]:
    found: list[argparse.Action] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            chosen = action.choices.get(str(getattr(command, action.dest, "")))
            found += [] if chosen is None else _actions(chosen, command)
        else:
            found.append(action)
    return found


def _shown(action: argparse.Action) -> str:
    """An option as its help shows it first, a positional argument by its metavar."""
    if action.option_strings:
        return action.option_strings[0]
    return str(action.metavar or action.dest)


def add_metric(parser: argparse.ArgumentParser, mahalanobis: bool = False, default: str | None = "euclidean") -> None:
    """Add --metric and, where the command takes mahalanobis, --matrix; without a default, kept neighbours say it."""
    from vicinal.knn.metrics import BY_NAME

    names = ", ".join(BY_NAME) + (", mahalanobis" if mahalanobis else "")
    said = "euclidean" if default else "that of --neighbors, else euclidean"
    parser.add_argument("--metric", metavar="NAME", default=default, help=f"{names} (default {said})")
    if mahalanobis:
        parser.add_argument(
            "--matrix",
            metavar="NPY",
            help="the M of mahalanobis, sqrt((x - y)' M (x - y)): an array (dim, dim), learned or the inverse of a "
            "covariance (default: the inverse of the rows' own)",
        )


def add_neighbors(parser: argparse.ArgumentParser) -> None:
    """Add --neighbors, which takes the place of a pass."""
    parser.add_argument(
        "--neighbors",
        metavar="FOLDER",
        help="neighbours that are known already, in place of a pass: a run that `score --run` kept, which names the "
        "embeddings of DATA too, or a folder of `vicinal neighbors`",
    )


def add_recall(parser: argparse.ArgumentParser, what: str = "neighbours") -> None:
    """Add --recall; `what` says what may be missing."""
    parser.add_argument(
        "--recall",
        metavar="R",
        help=f"approximate {what} of at least this measured recall, such as 0.99, for less work (default: exact)",
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add --threads."""
    parser.add_argument("--threads", metavar="N", help="threads (default: the machine's cores)")


def add_engine(parser: argparse.ArgumentParser, what: str = "where the pass runs") -> None:
    """Add --engine and --address; `what` says what runs there."""
    parser.add_argument(
        "--engine", metavar="NAME", default="local", help=f"{what}: local (default), or ray, on a cluster"
    )
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="the Ray cluster, or auto on one of its nodes (default: this machine alone)",
    )


def add_device(parser: argparse.ArgumentParser, what: str = "where exact passes run", default: str = "") -> None:
    """Add --device; `what` says what runs there."""
    without = default or "the processor; auto: a GPU where it is faster; several with commas between"
    parser.add_argument("--device", metavar="NAME", help=f"{what}: cuda, cuda:1, mps, cpu, auto (default: {without})")


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Add --overwrite."""
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")


def add_on_invalid(parser: argparse.ArgumentParser, null: str, default: str = "error") -> None:
    """Add --on-invalid; `null` says what happens to the rows under "null"."""
    from vicinal.data.embeddings import ON_INVALID

    parser.add_argument(
        "--on-invalid",
        choices=ON_INVALID,
        default=default,
        help="rows with NaN, infinity or, under cosine, only zeros, and rows without a value of a field that is read: "
        f"an error, {null}, or left out of the output (default {default})",
    )


def add_add_to(parser: argparse.ArgumentParser) -> None:
    """Add --add-to of a command with one result a row of the data set."""
    from vicinal.data.tables import SUFFIXES

    parser.add_argument(
        "--add-to", metavar="FILE", help=f"write the data set with the result as new columns: {', '.join(SUFFIXES)}"
    )


def add_link(parser: argparse.ArgumentParser) -> None:
    """Add --link, which says how duplicates are grouped."""
    from vicinal.analysis.duplicates import LINKS

    parser.add_argument(
        "--link",
        choices=LINKS,
        default="greedy",
        help="greedy: each row that goes is within the radius of a row that stays; single: chains of close rows are "
        "one group (default greedy)",
    )


def add_grouping(parser: argparse.ArgumentParser, also: str = "") -> None:
    """Add the options that say how duplicates are grouped, and which row stays."""
    add_link(parser)
    parser.add_argument(
        "--keep",
        metavar="HOW",
        default="first",
        help="which row stays: first, best:FIELD (the highest number), most-central (the most rows within the "
        f"radius){also} (default first)",
    )
    parser.add_argument("--within", metavar="FIELD", help="only rows with the same value of this field are duplicates")


def add_text(parser: argparse.ArgumentParser, also: str = "") -> None:
    """Add --text and --no-text, which say whose texts are compared."""
    text = parser.add_mutually_exclusive_group()
    text.add_argument(
        "--text", nargs="+", metavar="FIELD", help=f"the fields whose texts are compared (default: all of text){also}"
    )
    text.add_argument("--no-text", dest="text", action="store_const", const=False, help="compare vectors alone")


def names(given: object) -> object:
    """The fields of an option that takes several, as a tuple; another value as it is."""
    return tuple(given) if isinstance(given, list) else given


def add_ids(parser: argparse.ArgumentParser) -> None:
    """Add --ids, the data set's field of ids."""
    parser.add_argument(
        "--ids", "--id-field", dest="ids", metavar="FIELD", help="the data set's field of ids (default id)"
    )


def add_settings(parser: argparse.ArgumentParser, about: str) -> None:
    """Add --set NAME=VALUE, as often as needed."""
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE", help=about)


def settings(texts: list[str]) -> dict[str, Any]:
    """Return NAME=VALUE texts as an index takes them: a whole number, true or false, none, or a word.

    >>> settings(["M=16", "keep_vectors=false"])
    {'M': 16, 'keep_vectors': False}
    """
    found: dict[str, Any] = {}
    words = {"true": True, "false": False, "none": None}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise UsageError(f"--set: expected NAME=VALUE such as ef_search=100, got {text!r}")
        plain = number(value)
        found[name] = plain if isinstance(plain, int) else words.get(value.lower(), value)
    return found


def add_embeddings(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the embeddings, as an array or as a data set with --embeddings; `what` says whose they are."""
    parser.add_argument("data", metavar="DATA", help=f"{what}: {PATHS}; or their data set")
    add_embeddings_option(parser)


def add_embeddings_option(parser: Any, what: str = "the embeddings of a data set") -> None:
    """Add --embeddings and --encoding."""
    parser.add_argument("--embeddings", metavar="PATH", help=f"{what}: {PATHS}; :FIELD is a field of DATA itself")
    add_encoding(parser)


def add_encoding(parser: Any) -> None:
    """Add --encoding."""
    from vicinal.data.encodings import ENCODINGS

    parser.add_argument(
        "--encoding",
        metavar="NAME[:NPY]",
        help=f"how the embeddings are quantised: {', '.join(ENCODINGS)}; int8 and uint8 with the file of their ranges "
        "are decoded",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json of a command that prints records where no output is named."""
    parser.add_argument("--json", action="store_true", help="a summary as JSON: on stdout, or stderr without an output")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add -o and --overwrite of a command that writes records."""
    from vicinal.data.tables import SUFFIXES

    parser.add_argument("-o", "--output", metavar="FILE", help=f"{', '.join(SUFFIXES)} (default: standard output)")
    add_overwrite(parser)


def add_voting(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that predict from neighbours."""
    from vicinal.analysis.votes import WEIGHTS
    from vicinal.tasks.predict.voting import MAX_K

    parser.add_argument("--queries", metavar="NPY", required=True, help="the embeddings to predict for")
    parser.add_argument(
        "--ids", dest="query_ids", metavar="FILE[:FIELD]", help="the ids of the queries (default: row numbers)"
    )
    parser.add_argument(
        "-k", "--k", metavar="K", default="5", help="how many neighbours vote, or auto: the best of leave-one-out"
    )
    parser.add_argument(
        "--max-k", metavar="K", default=str(MAX_K), help=f"the largest k that auto tries (default {MAX_K})"
    )
    parser.add_argument("--weights", choices=(*WEIGHTS, "auto"), default="uniform", help="auto: the better one")
    parser.add_argument("--with-neighbors", action="store_true", help="name the neighbours in each record")


def print_result(
    records: Iterable[dict[str, Any]], summary: Callable[[], dict[str, Any]], written: object, as_json: bool
) -> None:
    """Print the records where nothing was written; as JSON the summary too, on stderr where records are printed."""
    if written is None:
        print_records(records)
    if as_json:
        print(json.dumps(summary()), file=sys.stderr if written is None else sys.stdout)


def print_records(records: Iterable[dict[str, Any]]) -> None:
    """Print records to standard output, one JSON object a line."""
    from vicinal.data import tables

    lines = tables.JsonLines(sys.stdout.buffer)
    for record in records:
        lines.add(record)
    sys.stdout.buffer.flush()


def add_actions(parser: argparse.ArgumentParser) -> Any:
    """Let a command have several actions, of which one must be given; `add_action` adds each."""
    return parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")


def add_action(actions: Any, name: str, about: str) -> argparse.ArgumentParser:
    """Add one action of a command and return its parser."""
    parser: argparse.ArgumentParser = actions.add_parser(name, help=about, description=about)
    loudness = parser.add_mutually_exclusive_group()
    for short, long, what in (("-v", "--verbose", "say more"), ("-q", "--quiet", "say nothing but errors")):
        loudness.add_argument(short, long, action="store_true", default=argparse.SUPPRESS, help=what)
    return parser
