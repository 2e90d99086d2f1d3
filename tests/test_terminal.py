"""What a person sees: output in terminals of several widths, with and without colour, completion, configuration."""

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.cells import cell_len

from vicinal import cli
from vicinal.cli.console import _columns, parted
from vicinal.cli.parsing import Parser
from vicinal.progress import Lines
from workplace import Workplace, environment, true_scores

WIDTHS = (60, 80, 120, 160)
STYLE = re.compile(r"\x1b\[[\d;]*m")
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e[-+]\d+)?(?![\w.])")
WORDS = (
    "a large wild cat that lives in the forest and hunts",
    "\N{CJK UNIFIED IDEOGRAPH-5927}" * 40,
    "rain\x1b[31m and\nsnow",
)
N = 60


class Terminal:
    """The command in this process, with standard output on a pseudo-terminal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch

    def __call__(
        self, width: int, *arguments: object, colour: bool = False, code: int = 0, name: str = "stdout"
    ) -> str:
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
        shown: list[bytes] = []

        def read() -> None:
            while True:
                try:
                    part = os.read(parent, 1 << 16)
                except OSError:  # the other end is closed
                    return
                shown.append(part)

        reader = threading.Thread(target=read)
        reader.start()
        with self._patch.context() as patch, open(child, "w", encoding="utf-8") as stream:
            patch.setenv("COLUMNS", str(width))
            patch.setenv("TERM", "xterm-256color")
            patch.delenv("NO_COLOR", raising=False)
            if not colour:
                patch.setenv("NO_COLOR", "1")
            patch.setattr(sys, name, stream)
            assert cli.main([str(one) for one in arguments]) == code
            stream.flush()
        reader.join()
        os.close(parent)
        return b"".join(shown).decode().replace("\r\n", "\n")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(monkeypatch)


@pytest.fixture
def texts(work: Workplace) -> Workplace:
    """Rows with long, wide and hostile texts without digits, and labels."""
    rng = np.random.default_rng(3)
    vectors = (rng.normal(size=(N, 5)) + 4 * (np.arange(N) % 3 == 0)[:, None]).astype(np.float32)
    vectors[12] = vectors[9]
    work.save("e.npy", vectors)
    rows = [
        {
            "id": 1000 + row,
            "prompt": WORDS[row % 3],
            "output": "so it is",
            "label": ("cat", "a dog of the house")[row % 2],
        }
        for row in range(N)
    ]
    work.lines("d.jsonl", rows)
    work.lines("l.jsonl", [{"id": row, "label": "ab"[row % 2], "value": row / 7} for row in range(N)])
    work.vectors = vectors
    return work


def lines_of(shown: str) -> list[str]:
    """The lines without styles."""
    return STYLE.sub("", shown).split("\n")


def numbers_of(shown: str) -> set[str]:
    """The numbers, but those of times."""
    return set(NUMBER.findall(re.sub(r"\d+(\.\d+)? s\b|queries/s.*|\d+,?\d* MiB", "", STYLE.sub("", shown))))


COMMANDS = {
    "score": ("score", "d.jsonl", "--embeddings", "e.npy", "--by", "mean,lof"),
    "score of embeddings": ("score", "e.npy", "--metric", "cosine"),
    "search": ("search", "my.index", "--query-row", 5, "--query-row", 9, "-k", 3),
    "duplicates": ("duplicates", "d.jsonl", "--embeddings", "e.npy", "--radius", 1.5, "--no-text"),
    "suggest": ("duplicates", "d.jsonl", "--embeddings", "e.npy", "--suggest", "--no-text"),
    "outliers": ("outliers", "d.jsonl", "--embeddings", "e.npy"),
    "diagnose": ("diagnose", "d.jsonl", "--embeddings", "e.npy", "--labels", "label", "-k", 12),
    "classify": ("classify", "e.npy", "--labels", "l.jsonl:label", "--queries", "e.npy", "--with-neighbors"),
    "regress": ("regress", "e.npy", "--targets", "l.jsonl:value", "--queries", "e.npy"),
    "choose-k": ("choose-k", "e.npy", "--labels", "l.jsonl:label", "--max-k", 20),
    "diversity": ("diversity", "e.npy"),
    "kappa": ("kappa", "l.jsonl:label", "d.jsonl:label"),
    "index info": ("index", "info", "my.index"),
    "sql": ("sql", ":memory:", "SELECT 12345678 AS n, 'a long text that gives way to the numbers' AS text, 0.25 AS x, "
            "'and another long text that has to be short' AS more, 987654321 AS last"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", COMMANDS)
def test_output_fits_each_terminal_and_its_numbers_stay_whole(name: str, texts: Workplace, terminal: Terminal) -> None:
    if "my.index" in COMMANDS[name]:
        assert texts("index", "build", "e.npy", "--data", "d.jsonl", "-o", "my.index").code == 0
    if name == "kappa":
        texts.lines("d.jsonl", [{"id": row, "label": "ab"[row % 3 // 2]} for row in range(N)])
    looks = [(width, colour) for width in WIDTHS for colour in (False, True)]
    shown = {look: terminal(look[0], *COMMANDS[name], colour=look[1]) for look in looks}
    wide = numbers_of(shown[160, False])
    assert wide
    for (width, colour), text in shown.items():
        assert [line for line in lines_of(text) if cell_len(line) > width] == [], f"{width} columns"
        found = numbers_of(text)
        assert found <= wide if name == "classify" else found == wide, f"{width} columns"  # its lists give way
        assert STYLE.sub("", text) == shown[width, False], "colour changes no character"
        assert "\x1b" not in (STYLE.sub("", text) if colour else text), "no text reaches the terminal as a command"


def test_score_ends_with_the_ends_and_where_the_scores_lie(texts: Workplace, terminal: Terminal) -> None:
    truth = true_scores(texts.vectors, 5)
    order = np.argsort(truth.astype(np.float32), kind="stable")
    shown = terminal(100, *COMMANDS["score of embeddings"][:2], "-o", "s.jsonl")
    unique, redundant = (
        [line.split() for line in part.strip("\n").split("\n")[3:8]] for part in shown.split("The 5")[1:3]
    )
    for found, rows in ((unique, order[::-1][:5]), (redundant, order[:5])):
        assert [line[1] for line in found] == [str(row) for row in rows]
        np.testing.assert_allclose([float(line[0]) for line in found], truth[rows], atol=5e-5)
    counts = re.findall(r"^ +[\d.]+ to [\d.]+ .* ([\d,]+)$", shown, re.MULTILINE)
    assert [int(one) for one in counts] == np.histogram(truth, bins=12)[0].tolist()
    quantiles = [float(one) for one in shown.strip().split("\n")[-1].split()[1:]]
    np.testing.assert_allclose(quantiles, np.quantile(truth, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]), atol=5e-5)


def test_quiet_json_and_pipes_get_records(texts: Workplace, terminal: Terminal) -> None:
    score = COMMANDS["score of embeddings"]
    plain = texts(*score).out
    assert terminal(80, *score, "-q") == plain and len(plain.splitlines()) == N
    assert terminal(80, *score, "--json") == plain
    assert terminal(80, *score, "-q", "-o", "s.jsonl") == ""
    assert texts("index", "build", "e.npy", "--data", "d.jsonl", "-o", "my.index").code == 0
    piped = texts(*COMMANDS["search"]).out
    assert [json.loads(line)["rank"] for line in piped.splitlines()] == [1, 2, 3] * 2
    assert terminal(80, *COMMANDS["search"], "--json") == piped
    assert "a large wild cat" in terminal(160, *COMMANDS["search"])


@pytest.mark.parametrize(
    ("command", "title"), [("duplicates", "1009 stays"), ("outliers", "highest"), ("diagnose", "Boundary")]
)
def test_groups_outliers_errors_and_pairs_show_their_texts(
    command: str, title: str, texts: Workplace, terminal: Terminal
) -> None:
    shown = terminal(120, *COMMANDS[command])
    part = shown[shown.index(title) :]
    assert "a large wild cat that lives in the forest" in part
    assert f"{'id':>4}" in part and re.search(r"^ *1\d{3}\b|\b1\d{3} ", part, re.MULTILINE)


def test_an_error_in_a_terminal_has_its_remedy_on_a_line_of_its_own(texts: Workplace, terminal: Terminal) -> None:
    texts.write("s.jsonl", "mine")
    command = ("score", "e.npy", "-o", "s.jsonl")
    shown = terminal(60, *command, code=2, name="stderr", colour=True)
    assert "\x1b[1;31merror:\x1b[0m" in shown and "\x1b[32m" in shown
    plain = terminal(60, *command, code=2, name="stderr")
    assert STYLE.sub("", shown) == plain
    assert plain.split("\n")[:2] == [
        "vicinal: error: s.jsonl: exists already",
        "  Name another output or add --overwrite (in Python:",
    ]
    for word in re.findall(r"choose.*", terminal(60, "score", "e.npy", "--metric", "cosin", code=2, name="stderr")):
        assert len(word) <= 60
    assert texts(*command).err == (
        "vicinal: error: s.jsonl: exists already; name another output or add --overwrite (in Python: overwrite=True)\n"
    )


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("20 rows cannot be used (2 with NaN; 3 with zeros); correct or remove them", "correct or remove them"),
        ("k: holds 5; the last is 6; give a smaller k", "give a smaller k"),
        ("map: unknown map 'pcs': did you mean 'pca'? Choose from pca", "did you mean 'pca'? Choose from pca"),
        ("kept: holds other work. Run the same command as before", "Run the same command as before"),
        ("x.npy: found shape (1, 4), expected at least 2 rows", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_parted_from_what_to_do(message: str, remedy: str) -> None:
    wrong, found = parted(message)
    assert found == remedy and message.startswith(wrong)


def test_progress_in_a_pipe_is_a_line_a_minute_with_percent_and_time_left() -> None:
    now, said = [0.0], list[str]()
    update = Lines(said.append, clock=lambda: now[0])("embedding d.jsonl")
    for seconds in range(0, 600, 10):
        now[0] = seconds
        update(seconds, 1200)
    assert len(said) == 9  # after 60, 120, ... 540 seconds
    assert said[0] == "embedding d.jsonl: 5 %, 19 min left" and said[-1] == "embedding d.jsonl: 45 %, 11 min left"
    resumed = Lines(said.append, clock=lambda: now[0])("rest")
    for seconds in (600, 660):  # it began at 590 with 1,000 rows done
        now[0] = seconds
        resumed(1000 + (seconds - 600), 1120)
    assert said[-1] == "rest: 95 %, 70 s left"


def test_a_progress_bar_has_percent_and_time_left_at_80_columns() -> None:
    from rich.console import Console as Terminal
    from rich.progress import Progress

    now = [0.0]
    for width in (60, 80, 160):
        out = Terminal(width=width, force_terminal=True, color_system=None, record=True, file=io.StringIO())
        bars = Progress(*_columns(width), console=out, expand=True, get_time=lambda: now[0])
        task = bars.add_task("neighbours of a file with a very long name indeed, really.npy", total=1000, speed="9/s")
        for done in (100, 200, 400):
            now[0] += 10
            bars.update(task, completed=done)
        out.print(bars)
        (line,) = out.export_text().rstrip("\n").split("\n")
        assert cell_len(line) <= width and " 40%" in line and re.search(r"\d+:\d\d", line) and line.count("━") >= 6


def test_the_notebook_shows_one_bar_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    from vicinal.progress import show_progress

    drawn: list[str] = []
    handle = types.SimpleNamespace(update=lambda shown: drawn.append(shown))
    ipython: Any = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=1)
    display: Any = types.ModuleType("IPython.display")
    display.HTML = str

    def show(shown: str, display_id: bool) -> Any:
        drawn.append(shown)
        return handle

    display.display = show
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    update = show_progress("cosine <neighbours>")
    update(50, 100)
    update(100, 100)
    assert "50 % cosine &lt;neighbours&gt;" in drawn[0] and "100 %" in drawn[-1]


def test_every_option_says_its_default() -> None:
    import inspect

    from test_public import commands, public

    silent = []
    for command, function, parser, _ in commands():
        known = {
            name: one.default
            for each in function.split()
            for name, one in inspect.signature(public(each)).parameters.items()
        }
        formatter = Parser(prog="x")._get_formatter()
        for action in parser._actions:
            default = known.get(action.dest)
            told = formatter._get_help_string(action) or ""
            if (
                action.option_strings
                and action.nargs != 0
                and isinstance(default, int | float | str)
                and default not in ("", False)
            ):
                silent += [] if "default" in told or action.required else [f"{command} {action.option_strings[0]}"]
    assert silent == []


def test_the_help_has_the_commands_by_their_jobs_and_fits(terminal: Terminal) -> None:
    for width in (60, 80):
        shown = terminal(width, "--help")
        shown = STYLE.sub("", shown)
        assert [line for line in shown.split("\n") if cell_len(line) > width] == []
        for job, names in cli.JOBS.items():
            part = shown[shown.index(f"{job}:") :]
            assert all(re.search(rf"^  {name} ", part, re.MULTILINE) for name in names)
        for command in cli.COMMANDS:
            told = terminal(width, command, "--help")
            below_usage = lines_of(told.partition("\n\n")[2])
            assert [line for line in below_usage if cell_len(line) > width] == [], command
    assert "vicinal index evaluate graph.index lists.index -k 10" in terminal(80, "index", "evaluate", "--help")
    assert "vicinal lm eval store/ --model model/" in terminal(80, "lm", "eval", "--help")


@pytest.fixture(scope="module")
def completions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh", "fish"):
        with open(folder / shell, "w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
            assert cli.main(["completion", shell]) == 0
    return folder


ASKED = {"vicinal sco": "score", "vicinal score --embeddin": "--embeddings", "vicinal index bui": "build",
         "vicinal score --metric cos": "cosine", "vicinal select --strategy k-c": "k-center"}  # fmt: skip


def test_bash_completes_commands_options_and_names(completions: Path) -> None:
    script = f"source {completions / 'bash'}\n" + "".join(
        f"COMP_WORDS=({words}); COMP_CWORD={len(words.split()) - 1}; COMPREPLY=()\n"
        f"_shtab_vicinal vicinal '{words.split()[-1]}' '{words.split()[-2]}'\necho \"${{COMPREPLY[@]}}\"\n"
        for words in ASKED
    )
    shown = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    assert [line.split()[0] for line in shown.strip().split("\n")] == list(ASKED.values())


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_commands_options_and_names(completions: Path) -> None:
    for words, answer in ASKED.items():
        script = f"source {completions / 'fish'}; complete -C '{words}'"
        shown = subprocess.run(["fish", "-c", script], capture_output=True, text=True, check=True).stdout
        assert answer in [line.split("\t")[0] for line in shown.split("\n")]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_takes_the_code_as_the_completion_of_vicinal(completions: Path) -> None:
    script = f'autoload -Uz compinit; compinit -u -D; eval "$(<{completions / "zsh"})"; echo $_comps[vicinal]'
    shown = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "_shtab_vicinal"


def test_init_writes_configurations_that_run(texts: Workplace) -> None:
    score = ("score", "d.jsonl", "--embeddings", "e.npy", "--metric", "cosine")
    assert texts(*score, "--run", "run", "-o", "s.jsonl").code == 0
    for job in ("score", "select", "duplicates"):
        assert texts("init", job, "d.jsonl", "--embeddings", "e.npy").code == 0
        assert texts(job, "--config", f"{job}.yaml").code == 0
        assert (texts.folder / f"{job}.yaml").read_text().count("#") > 8
    assert texts("init", "report", "run").code == 0
    assert texts("report", "--config", "report.yaml").code == 0
    nested = [json.loads(line) for line in Path("scores/pointwise_scores.jsonl").read_text().splitlines()]
    plain = [json.loads(line) for line in Path("s.jsonl").read_text().splitlines()]
    assert [one["scores"]["KNNScorer"]["score"] for one in nested] == [one["score"] for one in plain]
    assert len(Path("chosen.jsonl").read_text().splitlines()) == N // 10
    assert "exists already" in texts("init", "score", "d.jsonl", "--embeddings", "e.npy").err
    assert "there is nothing at" in texts.refuses(2, "init", "score", "none.jsonl", "--embeddings", "e.npy")
    assert (
        texts("duplicates", "--config", "duplicates.yaml", "--radius", 2, "-o", "wide.jsonl", "--text", "output").code
        == 0
    )
    assert len(Path("wide.jsonl").read_text()) > len(Path("groups.jsonl").read_text())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("radiu: 1", "c.yaml:1:1: radiu: unknown key 'radiu': did you mean 'radius'?"),
        ("link: gredy", "c.yaml:1:7: link: unknown value 'gredy': did you mean 'greedy'?"),
        ("overwrite: 3", "c.yaml:1:12: overwrite: expected true or false, got 3"),
        ("metric: [cosine]", "c.yaml:1:9: metric: expected one value, got a list"),
        ("data: {a: 1}", "c.yaml:1:7: data: expected text or a number, got a mapping"),
        ("on-invalid: null\non_invalid: error", "c.yaml:2:1: on_invalid: is another name of a key above; give it once"),
        ("data: e.npy", "duplicates: one of the arguments --radius --suggest is required"),
        ("data: e.npy\nradius: none", "--radius: expected a number"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_is_named_with_its_place(text: str, said: str, texts: Workplace) -> None:
    texts.write("c.yaml", text.replace("on-invalid: null", "on-invalid: 'null'"))
    assert texts.refuses(2, "duplicates", "--config", "c.yaml").startswith(said)


def test_typed_options_replace_those_of_a_file_and_inputs_may_lie_beside_it(texts: Workplace) -> None:
    (texts.folder / "sub").mkdir()
    for name in ("d.jsonl", "e.npy"):
        shutil.copy(texts.folder / name, texts.folder / "sub" / f"x{name}")
    settings = {"data": "xd.jsonl", "embeddings": "xe.npy", "radius": 0, "no-text": True, "text": None, "json": True}
    texts.write("sub/c.yaml", yaml.safe_dump({name: value for name, value in settings.items() if value is not None}))
    found = texts("duplicates", "--config", "sub/c.yaml", "-o", "a.jsonl")
    assert found.code == 0 and json.loads(found.out)["groups"] == 1  # rows 9 and 12
    assert json.loads(texts("duplicates", "--config=sub/c.yaml", "--radius", 1.5, "-o", "b.jsonl").out)["groups"] > 5


def test_a_real_terminal_shows_the_same(texts: Workplace) -> None:
    """One run in a process of its own, whose three streams are the terminal's."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    outside = {name: value for name, value in environment().items() if name not in ("COLUMNS", "NO_COLOR")}
    command = [sys.executable, "-m", "vicinal", *map(str, COMMANDS["score"])]
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), child)
    started = subprocess.Popen(command, cwd=texts.folder, env={**outside, "TERM": "xterm"}, **streams)  # type: ignore[call-overload]
    os.close(child)
    shown = b"".join(_read(parent)).decode()
    assert started.wait() == 0
    assert "The 5 most unique" in shown and "\x1b[1m" in shown
    table = shown[shown.index("The 5 most unique") :].replace("\r\n", "\n")
    assert max(cell_len(line) for line in lines_of(table)) <= 80


def _read(parent: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(parent, 1 << 16)
        except OSError:
            os.close(parent)
            return
