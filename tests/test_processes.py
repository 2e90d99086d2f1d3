"""What needs a process of its own: kills, Ctrl-C, closed pipes, terminals and imported modules."""

import os
import pty
import re
import signal
from pathlib import Path

import numpy as np
import pytest

from workplace import Workplace, agree, read_table, start, true_scores

# The command, which prints "in the middle" after ten records and then waits.
WRITES_AND_WAITS = """
import sys
from vicinal.data import tables
from vicinal.cli import main

def waits(kind):
    add, records = kind.add, []
    def add_and_wait(self, record):
        add(self, record)
        records.append(record)
        if len(records) == 10:
            print("in the middle", flush=True)
            sys.stdin.read()
    kind.add = add_and_wait

for kind in (tables.JsonLines, tables.CsvLines, tables.Parquet):
    waits(kind)
sys.exit(main(sys.argv[1:]))
"""

# The command, which prints "in the middle" once the pass has begun, and then waits.
PASSES_AND_WAITS = """
import signal, sys
from vicinal.cli import main
from vicinal.indexes.exact import Exact

real = Exact.neighbors
def neighbors(self, k, progress=None, **others):
    def tell(done, total):
        print("in the middle", flush=True)
        sys.stdin.read()
    return real(self, k, progress=tell, **others)

Exact.neighbors = neighbors
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
sys.exit(main(sys.argv[1:]))
"""
NESTED = "input_path: data.jsonl\noutput_path: out\nscorers: [{name: KNNScorer, embedding_path: emb.npy}]\n"
SCORE = ("score", "data.jsonl", "--embeddings", "emb.npy")


@pytest.mark.parametrize("old", [None, "old content"])
@pytest.mark.parametrize("name", ["o.jsonl", "o.jsonl.gz", "o.csv", "o.parquet", "out/pointwise_scores.jsonl"])
def test_a_kill_in_the_middle_of_writing_leaves_nothing_new_under_the_final_name(
    work: Workplace, name: str, old: str | None
) -> None:
    output = work.folder / name
    if old is not None:
        output.parent.mkdir(exist_ok=True)
        output.write_text(old)
    work.write("c.yaml", NESTED)
    arguments = ("score", "--config", "c.yaml") if "/" in name else (*SCORE, "-o", name)
    with start(WRITES_AND_WAITS, *arguments, "--overwrite", cwd=work.folder) as child:
        assert child.stdout is not None and child.stdout.readline() == "in the middle\n"
        assert len(list(output.parent.glob(f".{output.name}.*.part"))) == 1  # it is writing
        child.kill()
        _, err = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL and err == ""
    assert (output.read_text() if output.exists() else None) == old
    # What it left under another name does not hinder the next run, and goes with it.
    assert work(*arguments, "--overwrite").code == 0
    assert len(read_table(output)) == 30
    assert not list(output.parent.glob(".*.part"))


@pytest.mark.parametrize("old", [None, "old content"])
@pytest.mark.parametrize("program", [PASSES_AND_WAITS, WRITES_AND_WAITS])
def test_ctrl_c_ends_with_130_one_line_and_nothing_left(work: Workplace, program: str, old: str | None) -> None:
    if old is not None:
        work.write("o.csv", old)
    before = work.files()
    program = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n" + program
    with start(program, *SCORE, "-o", "o.csv", "--overwrite", cwd=work.folder) as child:
        assert child.stdout is not None and child.stdout.readline() == "in the middle\n"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (130, "", "vicinal: error: interrupted; no partial output was left\n")
    assert work.files() == before
    assert old is None or (work.folder / "o.csv").read_text() == old


def test_ctrl_c_while_a_graph_is_made_leaves_nothing(work: Workplace) -> None:
    before = work.files()
    with start(PASSES_AND_WAITS, "neighbors", "emb.npy", "-o", "graph", cwd=work.folder) as child:
        assert child.stdout is not None and child.stdout.readline() == "in the middle\n"
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
    assert (child.returncode, err.count("\n"), work.files()) == (130, 1, before)


def test_a_reader_that_leaves_ends_the_command_without_a_word(work: Workplace) -> None:
    n = 20_000  # far more than a pipe holds
    work.save("many.npy", np.arange(n)[:, None] % 7)
    work.lines("many.jsonl", [{"id": i} for i in range(n)])
    with start("", "score", "many.jsonl", "--embeddings", "many.npy", cwd=work.folder) as child:
        assert child.stdout is not None and child.stderr is not None
        assert child.stdout.readline() == '{"id": 0, "score": 0.0}\n'
        child.stdout.close()
        assert child.stderr.read() == ""
        assert child.wait(timeout=60) == 141


def test_the_exit_code_of_the_process_is_the_commands(work: Workplace) -> None:
    for code, arguments in {0: SCORE, 2: (*SCORE, "-k", "0"), 3: ("score", "broken.jsonl", *SCORE[2:])}.items():
        work.write("broken.jsonl", "[]\n")
        child = start("", *arguments, cwd=work.folder)
        out, err = child.communicate(timeout=60)
        assert child.returncode == code
        assert (err == "") == (code == 0) and (out != "") == (code == 0)
        assert "Traceback" not in err


def on_a_terminal(work: Workplace, *arguments: str) -> tuple[int, str, str]:
    """The command with a terminal as its standard error: exit code, standard output, what the terminal saw."""
    ours, theirs = pty.openpty()
    code = "import os, sys\nos.environ |= {'TERM': 'xterm', 'COLUMNS': '200'}\nfrom vicinal.cli import main\n"
    with start(f"{code}sys.exit(main(sys.argv[1:]))", *arguments, cwd=work.folder, stderr=theirs) as child:
        os.close(theirs)
        seen = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # Linux's way to say that the other side is closed
                break
            if not chunk:
                break
            seen += chunk
        os.close(ours)
        out, _ = child.communicate(timeout=60)
        return child.returncode, out, seen.decode()


def test_a_terminal_sees_a_bar_with_percent_and_rows_and_a_pipe_does_not(work: Workplace) -> None:
    code, out, seen = on_a_terminal(work, *SCORE)
    assert code == 0 and len(out.splitlines()) == 30
    assert "100%" in seen and "30/30" in seen and "euclidean neighbours of emb.npy" in seen
    assert re.search(r"\d+:\d\d|-:--:--", seen)  # the time left
    code, quiet_out, seen = on_a_terminal(work, *SCORE, "-q")
    assert (code, quiet_out, seen) == (0, out, "")
    child = start("", *SCORE, cwd=work.folder)
    assert child.communicate(timeout=60) == (out, "")
    code, _, seen = on_a_terminal(work, "neighbors", "emb.npy", "-o", "graph")
    assert code == 0 and "30/30" in seen


HEAVY = {"numpy", "faiss", "pyarrow", "yaml", "rich", "scipy", "sklearn"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], [], ["scor"]])
def test_help_loads_no_heavy_library(tmp_path: Path, arguments: list[str]) -> None:
    code = "import sys\nfrom vicinal.cli import main\nmain(sys.argv[1:])\nprint(*sys.modules, file=sys.stderr)"
    child = start(code, *arguments, cwd=tmp_path)
    _, err = child.communicate(timeout=60)
    loaded = set(err.splitlines()[-1].split())
    assert "vicinal.cli.score" in loaded and not HEAVY & loaded


def test_scoring_json_lines_loads_neither_parquet_nor_a_terminals_library(work: Workplace) -> None:
    code = "import sys\nfrom vicinal.cli import main\nmain(sys.argv[1:])\nprint(*sys.modules, file=sys.stderr)"
    out, err = start(code, *SCORE, cwd=work.folder).communicate(timeout=60)
    assert not {"pyarrow", "rich"} & set(err.split())
    assert len(out.splitlines()) == 30


def test_a_closed_standard_output_does_not_hinder_a_file(work: Workplace) -> None:
    code = "import os, sys\nos.close(1)\nos.execv(sys.executable, [sys.executable, '-m', 'vicinal', *sys.argv[1:]])"
    child = start(code, *SCORE, "-o", "o.jsonl", cwd=work.folder)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 0 and "30 rows scored" in err
    agree([row["score"] for row in read_table(work.folder / "o.jsonl")], true_scores(work.vectors, 5))
