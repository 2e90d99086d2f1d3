"""The parser of the command line: help that fits a terminal, and errors that name the option that was meant.

argparse, because it has what the commands use and click has not: groups of options that exclude each other, options
that take several values, and options between the words of `vicinal sql`. rich-argparse colours the help.
"""

import argparse
import functools
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from vicinal.cli import naming, placing
from vicinal.cli.placing import is_option
from vicinal.errors import UsageError, closest
from vicinal.layout import paragraph

Jobs = Mapping[str, tuple[str, ...]]


class Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal, with each option's default; also the part of coloured help that is ours."""

    def add_text(self, text: Any) -> None:
        """Add a description; its paragraphs are filled, and examples stay lines of their own."""
        plain = isinstance(text, str) and text != argparse.SUPPRESS
        super().add_text(f"{filled(text, self._width)}\n" if plain else text)

    def _get_help_string(self, action: argparse.Action) -> str:
        """The help of an option, with its default where the text does not say it."""
        said, value = action.help or "", action.default
        silent = value in (None, False, [], argparse.SUPPRESS) or action.nargs == 0
        if silent or not action.option_strings or "default" in said:
            return said
        return f"{said} (default {str(value).replace('%', '%%')})"


def formatter(prog: str) -> argparse.HelpFormatter:
    """Return a formatter of help: in colour for a terminal, else without loading what draws colours."""
    if sys.stdout is None or not sys.stdout.isatty():
        return Help(prog)
    return _coloured()(prog)


@functools.cache
def _coloured() -> type[argparse.HelpFormatter]:
    from rich_argparse import RawDescriptionRichHelpFormatter

    class Coloured(Help, RawDescriptionRichHelpFormatter):
        """Help in colour."""

        group_name_formatter = str
        help_markup = text_markup = False

    return Coloured


def filled(text: str, width: int) -> str:
    r"""Return a text whose paragraphs fill the width; lines that begin with a blank are examples.

    >>> print(filled("one two\nthree\n\n  vicinal score data.jsonl --embeddings emb.npy", 30))
    one two three
    <BLANKLINE>
      vicinal score data.jsonl \
        --embeddings emb.npy
    """
    lines: list[str] = []
    words: list[str] = []
    for line in [*text.strip("\n").split("\n"), ""]:
        if line and not line[0].isspace():
            words += line.split()
            continue
        lines += paragraph(" ".join(words), width) if words else []
        words = []
        lines += _example(line, width) if line.strip() else [""]
    return "\n".join(lines[:-1])


def _example(line: str, width: int) -> list[str]:
    """A line that is no paragraph: an example is continued by a backslash, a list's line below its last column."""
    margin = line[: len(line) - len(line.lstrip())]
    text = line.strip()
    if not text.startswith("vicinal "):
        last = text.split("  ")[-1].lstrip()
        return paragraph(text, width, margin + " " * (len(text) - len(last)), margin)
    whole = re.sub(r"(?<= )(--?[\w-]+) (?!-)", "\\1\N{NO-BREAK SPACE}", text)  # an option stays with its value
    parts = [part.replace("\N{NO-BREAK SPACE}", " ") for part in paragraph(whole, width - 2, f"{margin}  ", margin)]
    return [*(f"{part} \\" for part in parts[:-1]), parts[-1]]


class _Store(argparse._StoreAction):
    """An argument that is given once."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        if isinstance(parser, Parser) and (option_string or values is not self.default):
            parser.take(self, option_string or str(self.metavar or self.dest))
        super().__call__(parser, namespace, values, option_string)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are UsageErrors of one line.

    Parameters
    ----------
    jobs : mapping of str to tuple of str, optional
        Of the top parser: the commands of each job, as the help groups them.
    actions : mapping of str to str, optional
        Of the top parser: the command of each action, such as build of index.
    """

    def __init__(self, *args: Any, jobs: Jobs | None = None, actions: Mapping[str, str] | None = None, **kwargs: Any):
        super().__init__(*args, **{"formatter_class": formatter, "allow_abbrev": False, **kwargs})
        self.jobs, self.actions = jobs or {}, actions or {}
        self.top: Parser = self
        self._given: list[str] = []
        self._taken: dict[str, str] = {}
        for name in (None, "store"):
            self.register("action", name, _Store)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse all arguments."""
        found, strange = self.parse_known_args(args, namespace)
        if strange:
            self._refuse_strange(strange, getattr(found, "command", None))
        return found

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; an option that is unknown, or stands before its action, is named before one that is missing."""
        self._given, self._taken = list(args or ()), {}
        given = self._given
        if placing.commands(self):
            if self is not self.top:
                self.refuse_misplaced(given)
        else:
            for word in given[: given.index("--")] if "--" in given else given:
                if word.startswith("--") and " " not in word.partition("=")[0] and not self._knows(word):
                    self.error(self.unknown_option(word))
        return super().parse_known_args(args, namespace)

    def parse_known_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse options between the words; where Python does so without `parse_known_args`, too."""
        self._given, self._taken = list(args or ()), {}
        return super().parse_known_intermixed_args(args, namespace)

    def refuse_misplaced(self, given: Sequence[str]) -> None:
        """Raise UsageError where an option stands before the command, or action, that it belongs to."""
        place = placing.strange(self, given)
        if place is None:
            return
        word, below = given[place], placing.commands(self)
        example = None if self.top._knows(word) else placing.corrected(self, given, place)
        if example is not None:
            what = "command" if self is self.top else "action"
            self.error(f"{word.partition('=')[0]}: goes after the {what}; write {example}")
        own = next((below[one] for one in given[place:] if one in below), self)
        own.error(own.unknown_option(word) if isinstance(own, Parser) else word)

    def take(self, action: argparse.Action, shown: str) -> None:
        """Raise UsageError where an argument was given before; `shown` is the name that it is given by now."""
        before = self._taken.get(action.dest)
        self._taken[action.dest] = shown
        if before == shown:
            commas = ", with commas between the values" if "," in str(action.metavar) else ""
            many = ", with all values behind it" if action.nargs == "+" else commas
            self.error(f"{shown}: given twice; give it once{many}")
        if before is not None:
            self.error(f"{before} and {shown} are two names of one argument; give it once")

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """The value of an argument, which is no empty text; an id may be one."""
        free = action.metavar == "ID" or action.nargs in ("*", argparse.PARSER)
        if "" in arg_strings and not free:
            if not action.option_strings:
                self.error(f"{naming.named(action)}: expected a value, found an empty text")
            out = "" if action.required else ", or leave it out"
            wrong = f"{naming.named(action)}: expected {naming.expected(action)}, found an empty text"
            self.error(f"{wrong}; write {naming.written(action)}{out}")
        return super()._get_values(action, arg_strings)

    def _match_argument(self, action: argparse.Action, arg_strings_pattern: str) -> int:
        """How many words an argument takes; an option without its value is named with what it expects."""
        try:
            return super()._match_argument(action, arg_strings_pattern)
        except argparse.ArgumentError:
            if not action.option_strings:
                raise
        given = self._given
        places = [at for at, word in enumerate(given) if word in action.option_strings]
        bare = [at for at in places if at + 1 == len(given) or is_option(given[at + 1])]
        name = given[(bare or places)[0]] if places else action.option_strings[0]
        write = f"write {naming.written(action, name)}"
        if not bare:
            was = "fewer"
        elif bare[0] + 1 == len(given):
            was = "nothing"
        elif self._knows(given[bare[0] + 1]) or self.top._knows(given[bare[0] + 1]):
            was = f"the option {given[bare[0] + 1]}"
        else:
            was, write = repr(given[bare[0] + 1]), f"write {shlex.quote(f'{name}={given[bare[0] + 1]}')} for that value"
        wrong = f"{naming.named(action)}: expected {naming.expected(action)}, found {was}"
        self.error(f"{wrong}; {write}; {self.prog} --help describes it")

    def _knows(self, word: str) -> bool:
        return word.partition("=")[0] in self._option_string_actions

    def unknown_option(self, word: str) -> str:
        """Return the message for an option that the command does not have."""
        name = word.partition("=")[0]
        if self._knows(word):
            return f"{name}: stands behind --, where no options are; write it before --"
        if self.top is not self and self.top._knows(word):
            return f"unknown option {name}: it goes before the command; write {self.top.prog} {name} ..."
        near = closest(name, self._option_string_actions)
        return f"unknown option {name}" + (f"; did you mean {near}?" if near else f"; {self.prog} --help lists them")

    def _refuse_strange(self, strange: Sequence[str], command: str | None) -> NoReturn:
        options = [word for word in strange if is_option(word)]
        own = self._command(command)
        if options:
            own.error(own.unknown_option(options[0]))
        own.error(f"unexpected {', '.join(map(repr, strange))}; {own.prog} --help shows what it takes")

    def _command(self, name: str | None) -> "Parser":
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction) and name in action.choices:
                found: Parser = action.choices[name]
                return found
        return self

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        raise argparse.ArgumentError(action, self._unknown_choice(action, value))

    def _unknown_choice(self, action: argparse.Action, value: Any) -> str:
        choices = [str(one) for one in action.choices or ()]
        listed = f"choose from {', '.join(choices)}"
        if not isinstance(action, argparse._SubParsersAction):
            near = closest(str(value), choices)
            return f"unknown value {value!r}; " + (f"did you mean {near}? Choose" if near else "choose") + listed[6:]
        commands = [name for names in self.top.jobs.values() for name in names]
        if action.dest == "action" and value in commands:
            return f"unknown action {value!r}; did you mean {self.top.prog} {value}? Else {listed}"
        if value in self.top.actions and action.dest != "action":
            return f"unknown command {value!r}; did you mean {self.top.prog} {self.top.actions[value]} {value}?"
        if f"--{value}" in self._option_string_actions:
            return f"unknown {action.dest} {value!r}; did you mean {self.prog} --{value}?"
        near = closest(str(value), choices)
        remedy = f"did you mean {near}?" if near else f"{self.prog} --help lists them"
        return f"unknown {action.dest} {value!r}; {remedy}"

    def error(self, message: str) -> NoReturn:
        """Raise the message as a UsageError, with the command that it is about and where its help is."""
        words = self.prog.partition(" ")[2]
        said = re.sub(r"^argument (COMMAND|ACTION): ", "", message)
        said = re.sub(r"^argument ", "", said)
        said = re.sub(
            r"^(\S+): ignored explicit argument (.*)$",
            lambda one: f"{one[1]}: takes no value, found {one[2]}; write {one[1].split('/')[-1]} alone",
            said,
            flags=re.DOTALL,
        )
        if "; " not in said:
            said += f"; {self.prog} --help shows what it takes"
        raise UsageError(f"{words}: {said}" if words else said)

    def format_help(self) -> str:
        """Return the help; that of the top parser has the commands by their jobs."""
        if not self.jobs:
            return super().format_help().rstrip("\n") + "\n"
        shown = self._get_formatter()
        shown.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        shown.add_text(self.description)
        (commands,) = [one for one in self._actions if isinstance(one, argparse._SubParsersAction)]
        known = {one.dest: one for one in commands._choices_actions}
        for job, names in self.jobs.items():
            shown.start_section(job)
            shown.add_arguments([known[name] for name in names])
            shown.end_section()
        shown.start_section("options")
        shown.add_arguments([one for one in self._actions if one is not commands])
        shown.end_section()
        shown.add_text(self.epilog)
        return shown.format_help().rstrip("\n") + "\n"
