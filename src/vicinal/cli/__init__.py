"""The command line: one file a command - parse, call, print.

Results go to standard output or the output file; all else goes to standard error. Exit codes: 0 done, 1 internal error,
2 usage or configuration, 3 input data, 130 interrupted.
"""

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from vicinal import __version__
from vicinal.cli import configuration, options, placing
from vicinal.cli.console import Console
from vicinal.cli.parsing import Parser
from vicinal.errors import VicinalError

JOBS = {
    "embed and search": ("embed", "neighbors", "index", "search"),
    "score a data set and choose from it": ("score", "outliers", "diversity", "select", "filter", "report", "explore"),
    "find duplicates": ("duplicates", "dedup"),
    "labels and predictions": ("diagnose", "classify", "regress", "choose-k", "kappa", "curate"),
    "learn": ("learn", "apply", "lm"),
    "SQL": ("sql",),
    "set up": ("init", "completion", "info"),
}
COMMANDS = tuple(name for names in JOBS.values() for name in names)

INTERRUPTED = 130
MEMORY = "VICINAL_MEMORY"
CLOSED_PIPE = 141


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    console = Console()
    try:
        with warnings.catch_warnings():
            code = _run(arguments, console)
        if sys.stdout is not None:  # it is None where the shell closed it
            sys.stdout.flush()
        return code
    except VicinalError as error:
        console.error(str(error))
        return error.exit_code
    except KeyboardInterrupt as stop:
        console.error(str(stop) or "interrupted; no partial output was left")
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return CLOSED_PIPE
    except OSError as error:
        if error.filename is None:
            _drop_output()
        console.error(f"{error.filename or 'standard output'}: {error.strerror or error}")
        return 1
    except Exception as error:
        console.internal(error)
        return 1


def _drop_output() -> None:
    """Discard what could not be written to standard output, which Python would report again when it closes it."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str], console: Console) -> int:
    if arguments and placing.is_option(arguments[0]) and placing.strange(parser(())[0], arguments) is not None:
        parser()[0].refuse_misplaced(arguments)
    chosen = next((argument for argument in arguments if argument in COMMANDS), None)
    top, commands = parser((chosen,))
    config = configuration.named_in(arguments)
    from_file: dict[str, Any] = {}
    if config is not None and chosen is not None and _takes_config(chosen):
        from_file = configuration.read(config, commands[chosen])
    try:
        parsed = top.parse_args(arguments)
    except SystemExit as end:  # argparse has printed the help or the version
        return int(end.code or 0)
    if parsed.command is None:
        _memory(parsed.memory)  # which may be the command, where the size was left out
        top.print_help(sys.stderr)
        return 2
    for name, value in from_file.items():
        if not hasattr(parsed, name):
            setattr(parsed, name, value)
    console.listen(parsed.verbose, parsed.quiet)
    before = os.environ.get(MEMORY)
    try:
        if parsed.memory is not None:
            os.environ[MEMORY] = str(_memory(parsed.memory))
        _refuse_inputs(vars(parsed))
        code = int(parsed.function(parsed, console))
        _refuse_shrunk()
        return code
    except VicinalError as error:
        error.args = (options.in_options(str(error), commands[parsed.command], parsed),)
        raise
    finally:
        if before is None:
            os.environ.pop(MEMORY, None)
        else:
            os.environ[MEMORY] = before


def _memory(size: str | None) -> int | None:
    """The bytes of --memory; None where it is not given."""
    if size is None:
        return None
    from vicinal.knn.memory import as_bytes  # loads numpy, which the help must not

    return as_bytes(size, "--memory")


def parser(whole: Iterable[str | None] = COMMANDS) -> tuple[Parser, Mapping[str, Parser]]:
    """Return the parser of the command line, and those of its commands.

    Parameters
    ----------
    whole : iterable of str
        The commands that get their options, which may need libraries that the others do not.
    """
    modules = {name: import_module(f"vicinal.cli.{name.replace('-', '_')}") for name in COMMANDS}
    known = [(action, name) for name, one in modules.items() for action in getattr(one, "FUNCTIONS", ())]
    actions = dict(reversed(known))  # of two commands with an action of this name, the first
    top = Parser(
        prog="vicinal",
        description="Know a data set by its neighbours.",
        epilog="vicinal COMMAND --help describes each. Exit codes: 0 done, 1 internal error, 2 usage or configuration, "
        "3 input data, 130 interrupted.",
        jobs=JOBS,
        actions=actions,
    )
    top.add_argument("--version", action="version", version=f"vicinal {__version__}")
    top.add_argument(
        "--memory",
        metavar="SIZE",
        help="refuse work that takes more, such as 4G; by default what the machine or container has free",
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    needed = set(whole)
    for name, module in modules.items():
        text = (module.__doc__ or "").strip()
        own = commands.add_parser(name, help=text.partition("\n")[0], description=text)
        own.top = top
        if name in needed:
            module.add_arguments(own)
            _add_shared(own, name, text)
            own.set_defaults(function=module.run)
    return top, commands.choices


def _add_shared(parser: Parser, name: str, text: str) -> None:
    """Add what every command has, and below each of its actions the examples of its text."""
    if _takes_config(name):
        configuration.add_config(parser)
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("-v", "--verbose", action="store_true", help="say more; show tracebacks")
    loudness.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    for action in parser._actions:
        for word, below in action.choices.items() if isinstance(action, argparse._SubParsersAction) else ():
            below.top = parser.top
            examples = [line for line in text.split("\n") if line.startswith(f"  vicinal {name} {word} ")]
            shown = "\n".join(["examples:", *examples])
            below.epilog = f"{shown}\n\n{below.epilog}" if below.epilog else shown


def _takes_config(name: str) -> bool:
    """Whether --config of a command holds its options; score has a form of its own."""
    module = import_module(f"vicinal.cli.{name.replace('-', '_')}")
    return hasattr(module, "FUNCTION") and name not in ("score", "info")


def _refuse_shrunk() -> None:
    """Raise DataError where a mapped input became shorter during the command."""
    from vicinal.storage import guard  # loads numpy

    guard.refuse_shrunk()


def _refuse_inputs(given: dict[str, Any]) -> None:
    """Raise UsageError where an output is a file that another argument names."""
    from vicinal.storage import atomic  # loads numpy, which the help must not

    others = [value for name, value in given.items() if name not in options.OUTPUTS]
    inputs = [text for value in others for text in (value if isinstance(value, list) else [value])]
    for output in [given[name] for name in options.OUTPUTS if given.get(name)]:
        atomic.refuse_input(output, inputs)
