"""The command line: one file a command - parse, call, print.

Results go to standard output or the output file; all else goes to standard error. Exit codes: 0 done, 1 internal error,
2 usage or configuration, 3 input data, 130 interrupted.
"""

import argparse
import contextlib
import os
import sys
import warnings
from importlib import import_module
from typing import Any

from vicinal import __version__
from vicinal.cli import options
from vicinal.cli.console import Console
from vicinal.errors import VicinalError

COMMANDS = (
    "embed",
    "score",
    "neighbors",
    "index",
    "search",
    "duplicates",
    "dedup",
    "diversity",
    "select",
    "filter",
    "report",
    "classify",
    "regress",
    "outliers",
    "choose-k",
    "diagnose",
    "kappa",
    "curate",
    "learn",
    "apply",
    "lm",
    "sql",
    "info",
)

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
    top = argparse.ArgumentParser(
        prog="vicinal",
        description="Know a data set by its neighbours.",
        epilog="vicinal COMMAND --help describes each. Exit codes: 0 done, 1 internal error, 2 usage or configuration, "
        "3 input data, 130 interrupted.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"vicinal {__version__}")
    top.add_argument(
        "--memory",
        metavar="SIZE",
        help="refuse work that takes more, such as 4G; by default what the machine or container has free",
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    chosen = next((argument for argument in arguments if argument in COMMANDS), None)
    for name in COMMANDS:
        module = import_module(f"vicinal.cli.{name.replace('-', '_')}")
        text = (module.__doc__ or "").strip()
        parser = commands.add_parser(
            name,
            help=text.partition("\n")[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if name == chosen:  # the options of the others may need libraries that this call does not
            module.add_arguments(parser)
            loudness = parser.add_mutually_exclusive_group()
            loudness.add_argument("-v", "--verbose", action="store_true", help="say more; show tracebacks")
            loudness.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
            parser.set_defaults(function=module.run)
    try:
        parsed = top.parse_args(arguments)
    except SystemExit as end:  # argparse has printed an error, the help or the version
        return int(end.code or 0)
    if parsed.command is None:
        top.print_help(sys.stderr)
        return 2
    console.listen(parsed.verbose, parsed.quiet)
    before = os.environ.get(MEMORY)
    try:
        if parsed.memory is not None:
            from vicinal.knn.memory import as_bytes  # loads numpy, which the help must not

            os.environ[MEMORY] = str(as_bytes(parsed.memory, "--memory"))
        _refuse_inputs(vars(parsed))
        code = int(parsed.function(parsed, console))
        _refuse_shrunk()
        return code
    except VicinalError as error:
        error.args = (options.in_options(str(error), commands.choices[parsed.command], parsed),)
        raise
    finally:
        if before is None:
            os.environ.pop(MEMORY, None)
        else:
            os.environ[MEMORY] = before


def _refuse_shrunk() -> None:
    """Raise DataError where a mapped input became shorter during the command."""
    from vicinal.storage import guard  # loads numpy

    guard.refuse_shrunk()


def _refuse_inputs(given: dict[str, Any]) -> None:
    """Raise UsageError where an output is a file that another argument names."""
    from vicinal.storage import atomic  # loads numpy, which the help must not

    others = [value for name, value in given.items() if name not in OUTPUTS]
    inputs = [text for value in others for text in (value if isinstance(value, list) else [value])]
    for output in [given[name] for name in OUTPUTS if given.get(name)]:
        atomic.refuse_input(output, inputs)
