"""Exemplar-SVM ranking: rows by the decision value of a linear classifier of a few examples against all other rows.

The classifier is the squared-hinge linear SVM with balanced class weights and a regularised intercept, that of
scikit-learn's LinearSVC(class_weight="balanced"). With z = (x, 1), f = z w, n rows of which p are positive:

    minimise  1/2 w'w  +  a/2 sum over negatives max(0, 1 + f)^2  +  b/2 sum over positives max(0, 1 - f)^2
              a = C n / (n - p),  b = C n / p

Negatives with f <= -1 are beyond the margin and count nothing; let A be the others. On A it is a ridge regression:

    (I + a Z_A' Z_A + b Q'Q) w = b Q'1 - a Z_A'1

    1. all      take A = all negatives. The matrix without the query's part is factorised once for all queries, and each
                query is an update of rank p. Where no negative is beyond the margin this is the answer.
    2. few rows   else, of up to HAT_AT_MOST rows, those beyond the margin leave by further updates until they stay the
                same.
    3. shortlist  of more rows, the negatives of the highest f by a first solution are the shortlist: solve on it alone,
                with the class weights of all; the other negatives that are then within the margin (which violate the
                KKT conditions) join it, until there are none. What lies outside has no part in the minimum: it is
                exact. The first solution is that of a sample of the rows, so that nothing is ever made of all of them
                but their decision values; it is that of step 1 where the sample says that most rows count.

A shortlist is solved by Newton's method on a piecewise quadratic function, with a line search: A is what is within the
margin, and the system above gives the next w, until the gradient is zero.

Source  Malisiewicz, Gupta & Efros 2011; Keerthi & DeCoste 2005 for the method; Karpathy's notebook for the use
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from vicinal.errors import DataError, NotFitted, UsageError, some, unknown
from vicinal.indexes.svm_ranking import Question, Ranking, one_of, ranked
from vicinal.indexes.svm_solver import MOST_STEPS, NegativeRows, coefficients, minimise, with_one
from vicinal.knn.arguments import check_k
from vicinal.knn.blocks import blocks
from vicinal.knn.metrics import find
from vicinal.knn.vectors import as_vectors, invalid_rows, refuse_invalid

BLOCK_BYTES = 1 << 26
LOSSES = ("squared_hinge", "squared")
HAT_AT_MOST = 4_096  # rows, up to which Z M^-1 Z' is kept: 128 MiB
HAT_STEPS = 20
SAMPLE = 4  # so many times dim + 1 rows give the first solution
SHORT = 20  # the first shortlist is this part of the negatives, or 4 (dim + 1), or MARGIN of those within the margin
MARGIN = 1.3


class ExemplarSVM:
    """Ranks stored rows by how much they are like a few examples and unlike all other rows.

    Parameters
    ----------
    C : float
        As scikit-learn's: the weight of errors against the length of w; above 0.
    negatives : int or None
        How many rows, chosen at random, stand for all negatives; None for all of them.
    seed : int
        Of that choice.
    loss : {"squared_hinge", "squared"}
        "squared" is ridge regression, in which rows beyond the margin count as well.

    References
    ----------
    Malisiewicz, Gupta & Efros 2011

    Examples
    --------
    >>> svm = ExemplarSVM(C=1.0).fit([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [-1.0, 0.0]])
    >>> svm.rank(0, k=2).indices
    array([1, 2])
    """

    def __init__(
        self,
        C: float = 0.1,  # noqa: N803
        negatives: int | None = None,
        seed: int = 0,
        loss: str = "squared_hinge",
    ) -> None:
        if isinstance(C, bool) or not isinstance(C, int | float | np.number) or not 0 < C < np.inf:
            raise UsageError(f"C: expected a number above 0, got {C!r}")
        if negatives is not None and (isinstance(negatives, bool) or not isinstance(negatives, int) or negatives < 1):
            raise UsageError(f"negatives: expected a whole number above 0 or None, got {negatives!r}")
        if loss not in LOSSES:
            raise UsageError(unknown("loss", loss, LOSSES))
        self.C, self.negatives, self.seed, self.loss = float(C), negatives, seed, loss
        self._rows: np.ndarray | None = None

    def fit(self, vectors: object) -> "ExemplarSVM":
        """Store the rows.

        Parameters
        ----------
        vectors : array_like, shape (n, dim)
            At least two rows of finite numbers. Float64 rows are referenced, others copied to float64.

        Returns
        -------
        ExemplarSVM
            Itself.

        Raises
        ------
        DataError
            The vectors cannot be used.
        """
        array = as_vectors(vectors, at_least=2)
        refuse_invalid(invalid_rows(array, find("euclidean")), range(len(array)), remedy="")
        n, dim = array.shape
        self._rows = rows = np.ascontiguousarray(array, dtype=np.float64)
        random = np.random.default_rng(self.seed)
        chosen = None
        if self.negatives is not None and self.negatives < n:
            chosen = np.sort(random.choice(n, self.negatives, replace=False))
        self._chosen = chosen  # the rows that are negatives; None for all
        self._train = rows if chosen is None else rows[chosen]
        n = len(self._train)
        self._sample = np.sort(random.choice(n, min(n, SAMPLE * (dim + 1)), replace=False))
        self._kept: dict[float, dict[str, np.ndarray]] = {}
        return self

    def rank(
        self,
        positives: object = None,
        k: int = 10,
        include_positives: bool = False,
        *,
        rows: object = None,
        vectors: object = None,
    ) -> Ranking:
        """Return the k rows of the highest decision value.

        Parameters
        ----------
        positives : int, sequence of int, or array_like
            The examples: row numbers, which are then no negatives; or vectors of shape (dim,) or (p, dim). Whole
            numbers that may be both are refused: give them as `rows` or `vectors`.
        k : int
            At least 1.
        include_positives : bool
            Whether rows that are examples are ranked too.
        rows : int or sequence of int
            In the place of `positives`: row numbers.
        vectors : array_like, shape (dim,) or (p, dim)
            In the place of `positives`: vectors.

        Returns
        -------
        Ranking
            indices (k,), decisions (k,) and the decisions of the examples.

        Raises
        ------
        NotFitted
            `fit` was not called.
        DataError
            A row does not exist, or the dims differ.
        UsageError
            Not exactly one of positives, rows and vectors is given, or positives may be rows and a vector.
        """
        positives = one_of(positives, rows, vectors, self._fitted().shape[1])
        return next(self.rank_each([positives], k, include_positives))

    def rank_each(self, positives: Sequence[Any], k: int, include_positives: bool = False) -> Iterator[Ranking]:
        """A ranking for each of several questions, which share the work: `rank` of each, and quicker.

        positives : one item a question, each as for `rank`
        """
        rows = self._fitted()
        k = check_k(k)
        examples = [self._examples(one) for one in positives]
        for block in blocks(len(examples), BLOCK_BYTES // (8 * len(rows))):
            yield from self._rank_block(examples[block], k, include_positives)

    def _fitted(self) -> np.ndarray:
        if self._rows is None:
            raise NotFitted("this ranking holds no vectors yet; call fit(vectors) first")
        return self._rows

    def _examples(self, positives: object) -> tuple[np.ndarray, np.ndarray | None]:
        """The examples as rows with a one, and their row numbers where they are rows."""
        rows = self._fitted()
        array = np.asarray(positives)
        if array.dtype.kind in "iu" and array.ndim <= 1:
            numbers = np.unique(np.atleast_1d(array)).astype(np.int64)
            wrong = [int(number) for number in numbers if not 0 <= number < len(rows)]
            if wrong or not len(numbers):
                raise DataError(
                    f"positives: expected row numbers from 0 to {len(rows) - 1}, found {some(wrong) or 'none'}"
                )
            if len(numbers) == len(rows):
                raise DataError(f"positives: all {len(rows)} rows are examples; nothing is left to tell them from")
            return with_one(rows[numbers]), numbers
        vectors = as_vectors(array[None] if array.ndim == 1 else array, "positives")
        if vectors.shape[1] != rows.shape[1]:
            raise DataError(f"positives: found dim {vectors.shape[1]}, the stored vectors have dim {rows.shape[1]}")
        refuse_invalid(invalid_rows(vectors, find("euclidean")), range(len(vectors)), "positives", remedy="")
        return with_one(vectors), None

    def _weights(self, examples: np.ndarray, removed: np.ndarray) -> tuple[float, float]:
        """a and b: the weights of a negative and of a positive."""
        n_negative, p = len(self._train) - len(removed), len(examples)
        if n_negative < 1:
            raise DataError("negatives: none is left beside the examples; take more")
        n = n_negative + p
        return self.C * n / n_negative, self.C * n / p

    def _removed(self, numbers: np.ndarray | None) -> np.ndarray:
        """The places among the negatives of rows that are examples."""
        if numbers is None:
            return np.zeros(0, dtype=np.int64)
        if self._chosen is None:
            return numbers
        places = np.searchsorted(self._chosen, numbers)
        there = (places < len(self._chosen)) & (self._chosen[np.minimum(places, len(self._chosen) - 1)] == numbers)
        result: np.ndarray = places[there]
        return result

    def _inverse(self, a: float) -> np.ndarray:
        """M^-1 = (I + a Z'Z)^-1"""

        def invert() -> np.ndarray:
            from scipy.linalg import lapack

            train, n, dim = self._train, *self._train.shape
            matrix = np.empty((dim + 1, dim + 1))
            matrix[:dim, :dim], matrix[dim, :dim], matrix[dim, dim] = train.T @ train, train.sum(axis=0), n
            factor, wrong = lapack.dpotrf(np.eye(dim + 1) + a * matrix, lower=1)
            if wrong:
                raise DataError("the vectors are too large for a factorisation; scale them to about length 1")
            inverse, _ = lapack.dpotri(factor, lower=1)
            result: np.ndarray = np.tril(inverse) + np.tril(inverse, -1).T
            return result

        return self._once("inverse", a, invert)

    def _values(self, w: np.ndarray) -> np.ndarray:
        """Z w of all negatives."""
        result: np.ndarray = self._train @ w[:-1] + w[-1]
        return result

    def _rank_block(
        self, each: list[tuple[np.ndarray, np.ndarray | None]], k: int, include_positives: bool
    ) -> Iterator[Ranking]:
        from threadpoolctl import threadpool_limits

        questions = []
        for examples, numbers in each:
            out = self._removed(numbers)
            weights = self._weights(examples, out)
            questions.append(Question(examples, numbers, out, *weights, with_one(self._train[out])))
        small = len(self._train) <= HAT_AT_MOST
        if small or self.loss == "squared":
            for a in dict.fromkeys(question.a for question in questions):
                self._ridges(a, [question for question in questions if question.a == a])
        # Systems of a hundred rows: threads would cost more than they bring, and far more on a busy machine.
        with threadpool_limits(1 if small else None, "blas"):
            solved = [self._solved(question) for question in questions] if small else map(self._solved, questions)
        for question, steps in zip(questions, solved, strict=True):
            decisions = question.f if self._chosen is None else self._fitted() @ question.w[:-1] + question.w[-1]
            yield ranked(decisions, question.own, question.numbers, k, include_positives, steps)

    def _solved(self, question: Question) -> int:
        """Compute the solution of a question, from its ridge where it has one, and return the number of steps."""
        counts = np.ones(len(self._train), dtype=bool)
        counts[question.removed] = False
        if self.loss == "squared":
            return 0
        ridge = len(question.f) > 0
        if not ridge:
            active = self._from_sample(question)
            ridge = 2 * active > 1
            if ridge:
                self._ridges(question.a, [question])
        if ridge and not ((counts & (question.f <= -1)).any() or (question.own >= 1).any()):
            return 0
        steps = self._by_hat(question, counts) if len(self._train) <= HAT_AT_MOST and (question.own < 1).all() else 0
        if not steps:
            steps = self._shortlisted(question, counts, ridge)
        return steps

    def _ridges(self, a: float, questions: list[Question]) -> None:
        """Step 1: the solutions with every negative in A, each by an update of rank p."""
        ends = np.cumsum([len(question.update) for question in questions])
        solved = self._inverse(a) @ np.vstack([question.update for question in questions]).T
        values = self._values(solved)
        for question, v, f in zip(
            questions, np.split(solved, ends[:-1], axis=1), np.split(values, ends[:-1], axis=1), strict=True
        ):
            inner = question.update @ v
            base = -a * (question.update @ self._same(a))
            c = coefficients(question.scale, inner, base)
            question.solved, question.values, question.inner, question.base = v, f, inner, base
            question.f = -a * self._level(a) + f @ c
            question.own = (base + inner @ c)[: len(question.examples)]
            question.w = -a * self._same(a) + v @ c

    def _by_hat(self, question: Question, counts: np.ndarray) -> int:
        """Step 2 for few rows: updates of the ridge by the rows beyond the margin, from Z M^-1 Z' of all rows.

        Returns how many updates were needed; 0 where they do not settle, and the question is left as it was.
        """
        a, hat, level = question.a, self._hat(question.a), -question.a * self._level(question.a)
        p, f = len(question.examples), question.f
        for step in range(1, HAT_STEPS + 1):
            beyond = np.flatnonzero(counts & (f <= -1))
            if 2 * len(beyond) > len(counts):
                return 0
            cross, rows = question.values[beyond], hat[beyond]
            inner = np.block([[question.inner, cross.T], [cross, rows[:, beyond]]])
            base = np.concatenate([question.base, level[beyond]])
            scale = np.concatenate([question.scale, np.full(len(beyond), -a)])
            c = coefficients(scale, inner, base)
            n = len(question.scale)
            f = level + question.values @ c[:n] + c[n:] @ rows
            own = (base + inner @ c)[:p]
            if (own >= 1).any():
                return 0
            if np.array_equal(np.flatnonzero(counts & (f <= -1)), beyond):
                question.f, question.own = f, own
                if self._chosen is not None:
                    rest = self._inverse(a) @ (c[n:] @ with_one(self._train[beyond]))
                    question.w = -a * self._same(a) + question.solved @ c[:n] + rest
                return step
        return 0

    def _same(self, a: float) -> np.ndarray:
        """M^-1 Z'1, the part of every answer that is the same for all."""

        def ones() -> np.ndarray:
            return np.append(self._train.sum(axis=0), len(self._train))

        return self._once("same", a, lambda: self._inverse(a) @ ones())

    def _level(self, a: float) -> np.ndarray:
        """Z M^-1 Z'1"""
        return self._once("level", a, lambda: self._values(self._same(a)))

    def _hat(self, a: float) -> np.ndarray:
        """Z M^-1 Z' of all negatives, (n, n)."""
        return self._once("hat", a, lambda: self._values(self._inverse(a) @ with_one(self._train).T))

    def _once(self, name: str, a: float, make: Callable[[], np.ndarray]) -> np.ndarray:
        """A value that depends on the weight a alone; those of the last two weights are cached."""
        kept = self._kept.setdefault(a, {})
        if name not in kept:
            kept[name] = make()
            for old in list(self._kept)[:-2]:
                del self._kept[old]
        return kept[name]

    def _from_sample(self, question: Question) -> float:
        """The first solution of step 3, that of a sample of the rows, and the share of them that counts."""
        sample = np.setdiff1d(self._sample, question.removed, assume_unique=True)
        rows, weight = with_one(self._train[sample]), question.a * len(self._train) / max(1, len(sample))
        start = np.zeros(rows.shape[1])
        question.w, _ = minimise(NegativeRows(rows), question.examples, weight, question.b, start)
        question.f = self._values(question.w)
        return float((rows @ question.w > -1).mean()) if len(sample) else 1.0

    def _shortlisted(self, question: Question, counts: np.ndarray, ridge: bool) -> int:
        """Step 3: solved on shortlists of negatives, each with the violators of the last one, until there are none."""
        train, dim, examples, a, b = self._train, len(question.w), question.examples, question.a, question.b
        w, f = question.w, question.f
        if ridge and 8 * np.count_nonzero(counts & (f <= -1)) <= dim:
            # Nearly all negatives count: the inverse for all of them is nearly the one that is needed.
            absent, inverse = with_one(train[question.removed]), self._inverse(a)
            w, steps = minimise(NegativeRows(with_one(train[counts])), examples, a, b, w, inverse, absent)
            question.w, question.f, question.own = w, self._values(w), examples @ w
            return steps
        within = int(MARGIN * np.count_nonzero(counts & (f > -1)))
        length = min(len(train), max(4 * dim, len(train) // SHORT, within))
        listed = counts & (f >= -np.partition(-f, length - 1)[length - 1])
        rows, steps = NegativeRows(with_one(train[listed])), 0
        while True:
            w, taken = minimise(rows, examples, a, b, w)
            f, steps = self._values(w), steps + taken
            violators = counts & ~listed & (f > -1)
            if not violators.any() or steps > MOST_STEPS:
                question.w, question.f, question.own = w, f, examples @ w
                return steps
            listed |= violators
            rows.append(with_one(train[violators]))
