"""Does choosing rows help? Every strategy of `vicinal.select` on labelled sets, against random rows.

    python -m benchmarks.selection wordnet digits      compare, and write benchmarks/results/selection/SET.json
    python -m benchmarks.selection                     all sets of benchmarks/selection_sets.py
    python -m benchmarks.selection --tables            write the tables of docs/selection.md from those files

Cosine, keep 1, 5, 10 and 30 %, five seeds, all variants; see `vicinal.compare_selections`.
"""

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

from benchmarks import environment
from benchmarks.selection_sets import SETS

from vicinal.storage import atomic
from vicinal.tasks.select.compare import compare_selections
from vicinal.tasks.select.comparison import FIGURES, lines_of

RESULTS = Path(__file__).parent / "results" / "selection"
PAGE = Path(__file__).parent.parent / "docs" / "selection.md"
BEGIN, END = "<!-- tables: made by benchmarks/selection.py -->", "<!-- end of tables -->"
VARIANTS = ("plain", "imbalance", "duplicates", "noise")


def compare(name: str, threads: int) -> None:
    """Compares all strategies on a set and writes what was found."""
    vectors, labels = SETS[name]()
    found = compare_selections(
        vectors, labels=labels, compare="all", metric="cosine", variants="all", seeds=5, threads=threads
    )
    RESULTS.mkdir(parents=True, exist_ok=True)
    found.settings |= {"set": name, "dim": vectors.shape[1], "cores": os.cpu_count(), "machine": platform.machine()}
    with atomic.whole_file(RESULTS / f"{name}.json", overwrite=True) as file:
        file.write((lines_of({**found.summary(), "strategies": found.strategies}) + "\n").encode())
    print(name, f"{found.seconds:.0f} s", flush=True)


def results() -> dict[str, dict[str, Any]]:
    """What was found, by set."""
    return {
        name: json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in SETS
        if (RESULTS / f"{name}.json").is_file()
    }


def tables(found: dict[str, dict[str, Any]]) -> str:
    """The tables of the page: for each variant the linear classifier's gain, averaged over sets, and each set's own."""
    parts = [_sets(found)]
    parts.append(
        "Of all comparisons (sets, four shares, four figures), those that a strategy wins / loses against random:"
    )
    parts.append(_wins(found))
    for variant in VARIANTS:
        figure = "linear macro F1" if variant == "imbalance" else "linear accuracy"
        parts.append(f"### {variant.capitalize()}: {figure} against random, points")
        parts += [_table(one, variant, figure) for one in found.values() if variant in _variants(one)]
    parts.append("### Plain: accuracy of the 5 nearest chosen rows against random, points")
    parts += [_table(one, "plain", "knn accuracy") for one in found.values()]
    return "\n\n".join(parts)


def _variants(one: dict[str, Any]) -> set[str]:
    return {row["variant"] for row in one["rows"]}


def _sets(found: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| set | rows | classes | dim | random, 10 %: linear | random, 10 %: 5 nearest |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in found.items():
        (row,) = [r for r in one["rows"] if (r["variant"], r["keep"], r["strategy"]) == ("plain", "10%", "random")]
        cells = [f"{100 * row[f]:.1f} ± {100 * row[f + ' error']:.1f}" for f in ("linear accuracy", "knn accuracy")]
        lines.append(f"| {name} | {one['n']:,} | {one['classes']} | {one['dim']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _wins(found: dict[str, dict[str, Any]]) -> str:
    """In how many of the comparisons of each variant a strategy is better and worse than random."""
    lines = [f"| strategy | {' | '.join(VARIANTS)} |", "|---|---|---|---|---|"]
    for strategy in list(dict.fromkeys(name for one in found.values() for name in one["strategies"]))[1:]:
        cells = []
        for variant in VARIANTS:
            verdicts = [
                row[f"{figure} verdict"]
                for one in found.values()
                for row in one["rows"]
                for figure in FIGURES
                if row["variant"] == variant and row["strategy"] == strategy
            ]
            cells.append(f"{verdicts.count('better')} / {verdicts.count('worse')} of {len(verdicts)}")
        lines.append(f"| {strategy} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _table(one: dict[str, Any], variant: str, figure: str) -> str:
    rows = [row for row in one["rows"] if row["variant"] == variant]
    keeps = list(dict.fromkeys(row["keep"] for row in rows))
    lines = [f"| {one['set']} | {' | '.join(keeps)} |", "|---" * (len(keeps) + 1) + "|"]
    for strategy in one["strategies"]:
        cells = [
            _cell(row, figure) for keep in keeps for row in rows if (row["strategy"], row["keep"]) == (strategy, keep)
        ]
        lines.append(f"| {strategy} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: dict[str, Any], figure: str) -> str:
    if row["strategy"] == "random":
        return f"{100 * row[figure]:.1f} ± {100 * row[f'{figure} error']:.1f}"
    text = f"{100 * row[f'{figure} gain']:+.1f} ± {100 * row[f'{figure} gain error']:.1f}"
    return f"**{text}**" if row[f"{figure} verdict"] == "better" else text


def main() -> None:
    """Compares, or writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}")
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    if not asked.tables:
        for name in asked.sets or SETS:
            compare(name, asked.threads)
    page = PAGE.read_text(encoding="utf-8")
    if BEGIN in page:
        before, rest = page.split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{tables(results())}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    environment.clear()
    main()
