"""The outputs of a run: the result, the files of its scores, and the folder of a kept run."""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

from vicinal.data import tables
from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import OnInvalid
from vicinal.distributed.engines import HERE, Engine
from vicinal.errors import UsageError, some, unknown
from vicinal.knn.vectors import refuse_invalid
from vicinal.storage import atomic
from vicinal.tasks import arguments
from vicinal.tasks.diversity.measures import Answer as SetAnswer
from vicinal.tasks.score import values
from vicinal.tasks.score.inputs import Inputs
from vicinal.tasks.score.passes import Answer
from vicinal.tasks.score.plan import Plan, Question
from vicinal.tasks.score.results import FORMATS, Format, Scores
from vicinal.tasks.score.runs import Origin
from vicinal.typing import StartProgress

NESTED_FILE, SETWISE_FILE = "pointwise_scores.jsonl", "setwise_scores.jsonl"


@dataclass(frozen=True)
class Options:
    """The options of a run: invalid rows, outputs, checkpoint and progress."""

    on_invalid: OnInvalid
    evidence: bool
    overwrite: bool
    run: Path | None
    checkpoint: Path | None = None
    progress: StartProgress | None = None
    add_to: Path | None = None
    engine: Engine = HERE
    format: Format | None = None


def check_outputs(plan: Plan, options: Options, inputs: list[object]) -> Path | None:
    """The file to write, once it and the folder of the kept run are known to be writable."""
    output = plan.output
    named = [key for one in plan.scorers for key in (one.embeddings, one.reference)]
    named += [key for one in plan.setwise for key in (one.embeddings, *one.files.values())]
    inputs = [*inputs, *(key for key in named if isinstance(key, Path))]
    if options.format not in (None, *FORMATS):
        raise UsageError(f"format: {unknown('format', options.format, FORMATS)}")
    arguments.check_outputs({"add_to": options.add_to}, inputs, options.overwrite)
    if output is not None and plan.nested:
        if output.exists() and not output.is_dir():
            raise UsageError(f"{output}: expected a folder for {NESTED_FILE}, found a file")
        if plan.setwise:
            atomic.check_file(output / SETWISE_FILE, options.overwrite, parents=True)
            arguments.refuse_one_file({"output": output / SETWISE_FILE, "add_to": options.add_to})
        output = output / (NESTED_FILE if plan.scorers else SETWISE_FILE)
    arguments.refuse_one_file({"output": output, "add_to": options.add_to})
    if output is not None:
        if tables.suffix(output) not in tables.LINES and options.format == "nested":
            raise UsageError(f"format: a table has columns, and {output} is one; give flat, or an output .jsonl")
        atomic.refuse_input(output, inputs)
        atomic.check_file(output, options.overwrite, parents=plan.nested)
    if options.on_invalid == "skip" and options.run is not None:
        raise UsageError("on_invalid: skip leaves rows out, but a kept run holds all rows; give null, or leave run out")
    if options.run is not None:
        atomic.check_folder(options.run, options.overwrite)
    return output


def finished(
    plan: Plan,
    rows: tuple[Dataset, ...],
    inputs: Inputs,
    answered: dict[Question, Answer],
    origin: Origin,
    output: Path | None,
    options: Options,
    setwise: dict[str, SetAnswer] | None = None,
) -> Scores:
    """Return the result of a run's passes; write it and keep the run where an output is named."""
    vectors = next(iter(inputs.vectors.values()), None)
    scores = Scores(
        plan,
        rows,
        values.of_answers(plan, answered),
        origin=origin,
        passes={question: answer.neighbors for question, answer in answered.items()},
        embeddings=vectors,
        output=output,
        evidence=options.evidence,
        setwise=setwise,
    )
    return written(scores, "" if vectors is None else vectors.name, options)


def written(scores: Scores, place: str, options: Options) -> Scores:
    """Refuse or warn of rows that turned out to have no score, and write the outputs."""
    scores.format = options.format
    for one in scores.scored:
        if options.on_invalid == "error":
            refuse_invalid(one.errors, scores.ids, place)
        if one.undefined:
            rows = [scores.ids[row] for row in one.undefined]
            warnings.warn(
                f"{one.label}: {len(rows)} {'row has' if len(rows) == 1 else 'rows have'} no value and score null "
                f"({next(iter(one.undefined.values()))}): {some(rows)}",
                stacklevel=5,
            )
    if scores.output is not None:
        scores.output.parent.mkdir(parents=True, exist_ok=True)  # of the nested form; the flat form's folder is there
        if scores.setwise:
            with atomic.whole_file(scores.output.parent / SETWISE_FILE, options.overwrite) as file:
                file.write((json.dumps(scores.setwise, ensure_ascii=False) + "\n").encode())
        if scores.scored:
            scores.write(scores.output, options.overwrite)
    if options.run is not None:
        scores.save(options.run, options.overwrite)
    return scores
