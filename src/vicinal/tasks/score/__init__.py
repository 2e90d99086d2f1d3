"""The main job: a data set and its embeddings in, a file of scores out."""

from vicinal.tasks.score.dataset import append_dataset, score_dataset
from vicinal.tasks.score.results import Run, Scored, summary

__all__ = ["Run", "Scored", "append_dataset", "score_dataset", "summary"]
