"""Choose a given number of rows of a data set, and give the reason for each row.

A selection has six phases, a module or function each: `plan.check` the arguments, `candidates.read` the rows,
`tiers.deduplicate` them, `tiers.choose` by a strategy, `selection.explain` every row, `selection.write` the outputs.
"""

import time
from pathlib import Path
from typing import Literal

from vicinal import devices
from vicinal.data.embeddings import OnInvalid
from vicinal.tasks.select.candidates import read
from vicinal.tasks.select.plan import Arguments, check, count_of, with_run
from vicinal.tasks.select.selection import Selection, explain, write
from vicinal.tasks.select.strategies import STRATEGIES, Strategy
from vicinal.tasks.select.tiers import choose, deduplicate
from vicinal.typing import MetricLike, StartProgress, StrategyName

__all__ = ["STRATEGIES", "Selection", "Strategy", "count_of", "select"]


@devices.takes_device
def select(
    data: object,
    scores: object = None,
    *,
    keep: int | float | str,
    strategy: StrategyName = "highest",
    by: str | None = None,
    embeddings: object = None,
    encoding: object = None,
    neighbors: object = None,
    k: int | None = None,
    recall: float | None = None,
    metric: MetricLike | None = None,
    quality: object = None,
    dedup: float | None = None,
    link: Literal["greedy", "single"] = "greedy",
    quota: object = None,
    target: object = None,
    alpha: float | None = None,
    threshold: float | None = None,
    bandwidth: float | None = None,
    clusters: int | None = None,
    seed: int | None = None,
    ids: object = None,
    on_invalid: OnInvalid = "null",
    threads: int | None = None,
    device: str | None = None,
    progress: StartProgress | None = None,
    output: str | Path | None = None,
    decisions: str | Path | None = None,
    overwrite: bool = False,
    marks: object = None,
) -> Selection:
    """Return a choice of exactly `keep` rows of a data set, with the reason for every row.

    The choice is deterministic: of equal rows, the first is chosen.

    Parameters
    ----------
    data : array_like, path, or table
        A data set file (`.jsonl`, `.jsonl.gz`, `.csv`, `.parquet`), a table in memory (pandas, polars, pyarrow, Hugging
        Face datasets, mapping of columns), or embeddings (an array of shape (n, dim) or a `.npy` file).
    scores : path, Columns, str, or array_like, optional
        A file that `vicinal score` wrote, the folder of a kept run, the result of `vicinal.score`, a column name, or
        one score a row (NaN: none; such rows are not chosen). highest, lowest, middle and deita need scores; k-center
        begins at the best.
    keep : int, float, or str
        A number of rows (`1` is one row), a share below 1 (`0.1` is a tenth of the rows), or a percentage (`"10%"`,
        `"100%"`). A share is rounded half up, to at least 1. `1.0` is refused, since it may mean either.
    strategy : str
        - "highest", "lowest", "middle": the rows with the highest scores, the lowest, those around the median.
        - "random": rows drawn by the seed, the baseline of the others.
        - "k-center": each next row the farthest from all chosen before (Gonzalez 1985).
        - "facility": the rows that together are nearest to all others (facility location; Nemhauser, Wolsey & Fisher
          1978, Minoux 1978).
        - "qdit": alpha * quality + (1 - alpha) * facility location (Bukharin et al. 2024, arXiv 2311.14736).
        - "novelsum": each next row the newest to the chosen ones, dense regions first (Yang et al. 2025,
          arXiv 2502.17184); its 32 nearest chosen rows are measured, the others estimated.
        - "logdet": the rows of the largest determinant (greedy MAP of a determinantal process with quality; Wang et al.
          2024, arXiv 2402.02318).
        - "semdedup": the rows that are farthest from others of their cluster (Abbas et al. 2023, arXiv 2303.09540).
        - "d4": semdedup to three quarters, then the rows farthest from their cluster's centre (Tirumala et al. 2023,
          arXiv 2308.12284).
        - "deita": the highest scores, each farther than `threshold` from the others (Liu et al. 2024,
          arXiv 2312.15685).
        - "herding": the rows whose mean follows that of their class (Welling 2009).
        - "moderate": the rows nearest to the median distance from the centre of their class (Xia et al. 2023).
        - "tsds", "tsds-kde": rows drawn towards `target`; in the second near-duplicates count as one (Liu et al. 2024,
          arXiv 2410.11303).

        [Which of them help](../selection.md) was measured.
    by : str, optional
        The score, where the file or the result has several.
    embeddings : str, path, or array_like, optional
        The name of a column, a `.npy` file, or an array; one row a sample. `dedup` and every strategy need them, but
        for highest, lowest, middle, random, and facility and qdit with `neighbors`. Samples with an invalid embedding
        are not chosen.
    encoding : str or (str, array_like), optional
        How the embeddings are quantised: "binary", "ubinary", "int8" or "uint8" of sentence-transformers; of codes with
        their ranges "int8:RANGES.npy" or ("int8", ranges).
    neighbors : path or Neighbors, optional
        The nearest neighbours of every row, in place of a pass of facility, qdit and `dedup`: a kept run
        (`vicinal.score(run=...)`), a folder that `vicinal neighbors` wrote, or the result.
    k : int, optional
        The number of neighbours that facility, qdit and novelsum search; 10 by default.
    recall : float, optional
        Of facility, qdit, novelsum and of dedup, above 0 and at most 1: approximate neighbours, and pairs within the
        radius of dedup, of at least this measured recall; exact by default.
    metric : str or Metric, optional
        A name or alias of the table of metrics, such as "euclidean" or "cosine"; by default that of `neighbors`, else
        "euclidean". novelsum and logdet are defined for
        cosine; semdedup, d4, herding, moderate and tsds for cosine and euclidean.
    quality : str or array_like, optional
        A number a row, high is good: a column name, FILE:FIELD, or the values. Its percentile multiplies what the
        strategy maximises; qdit adds it; semdedup and d4 keep the better of two near rows. herding and tsds do not
        take it.
    dedup : float, optional
        A radius in the metric's unit. A row takes part unless one that takes part lies within it: those of the highest
        `quality` come first, else the first rows.
    link : {"greedy", "single"}
        "single": rows that a chain of pairs within the radius joins are one group, and one of them takes part.
    quota : str or array_like, optional
        A label a row: a column name, FILE:FIELD, or the values. Each label keeps its share of `keep`. It gives the
        classes of herding and moderate; without it all rows are one class.
    target : path or array_like, optional
        The embeddings that tsds selects towards.
    alpha : float, optional
        From 0 to 1, 0.5 by default. qdit: how much quality counts. tsds: high prefers rows near the target, low
        spreads over more rows.
    threshold : float, optional
        The distance of deita, 0.1 by default under cosine.
    bandwidth : float, optional
        The Euclidean distance within which rows share their probability in tsds-kde, 0.75 by default; under cosine that
        of the rows scaled to length 1.
    clusters : int, optional
        Of semdedup and d4; by default the root of the number of rows.
    seed : int, optional
        Of random, novelsum, semdedup, d4 and tsds; 0 by default.
    ids : str or sequence, optional
        The column of ids (default "id"; row numbers where there is none), or the ids.
    on_invalid : {"null", "skip", "error"}
        Rows with an invalid embedding, or without a score, a quality or a quota: "null" does not choose them and gives
        the reason, "skip" leaves them out of the decisions too, "error" refuses them.
    threads : int, optional
        The number of threads; by default, the number of cores.
    device : str, optional
        Where exact passes run: "cuda", "cuda:1", "mps" or "cpu" of torch, several with commas between, or "auto": a
        GPU where it is faster (default: the processor). The result does not depend on it.
    progress : callable, optional
        Called with the name of each pass; returns a callback that takes (rows done, rows in all).
    output : path, optional
        Where the chosen lines of a data set file are copied, byte for byte.
    decisions : path, optional
        A `.jsonl` or `.jsonl.gz` file for the decision on every row; by default `output` with ".decisions.jsonl".
    overwrite : bool
        Whether the outputs may exist; they are replaced.
    marks : path or iterable of mapping, optional
        Marks of a person, as `vicinal explore` writes them: records of `id` and `mark` ("keep", "drop"), or `label`.
        Rows marked keep are chosen before all others, within `keep`; rows marked drop are never chosen; labels are
        noted in the decisions. Of several marks of a row the last counts.

    Returns
    -------
    Selection
        One row a sample in the input's order: kept, rule, because, distance, rank, reason, match.

    Raises
    ------
    UsageError
        An argument cannot be used, the strategy does not take it, or something is missing that the strategy needs.
    DataError
        The data, scores or embeddings cannot be read or do not fit together, or fewer than `keep` rows can be used.

    References
    ----------
    Of each strategy, above.

    Examples
    --------
    >>> found = select({"text": ["a", "b", "c", "d"], "stars": [3, 5, 1, 4]}, "stars", keep=0.5)
    >>> found.rows.tolist(), found["rank"].tolist()
    ([1, 3], [-1, 1, -1, 2])
    >>> found.take_from({"text": ["a", "b", "c", "d"]})
    {'text': ['b', 'd']}
    >>> select([[0.0], [1.0], [5.0], [9.0]], keep=2, strategy="k-center").rows.tolist()
    [0, 3]
    """
    start = time.perf_counter()
    arguments = Arguments(
        data, scores, keep, strategy, by, embeddings, neighbors, k, metric, quality, dedup, link, quota,
        target, alpha, threshold, bandwidth, clusters, seed, ids, on_invalid, threads,
        progress, output, decisions, overwrite, encoding, recall, marks,
    )  # fmt: skip
    arguments = with_run(arguments)
    plan = check(arguments)
    candidates = read(arguments, plan)
    tiers = deduplicate(candidates, plan)
    selection = explain(candidates, tiers, choose(candidates, tiers, plan), plan)
    selection.recall = plan.recalls[0] if plan.recalls else None
    selection.dedup_recall = None if plan.rules is None else plan.rules.found
    write(selection, candidates.data.path, plan)
    selection.seconds = time.perf_counter() - start
    return selection
