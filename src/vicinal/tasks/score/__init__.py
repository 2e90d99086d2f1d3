"""Scores of a data set by its neighbours.

config     arguments and YAML files -> a Plan (settings: values that know where they were written)
inputs     the vectors, references and groups of a plan, checked
passes     one neighbour search for each distinct Question of the plan
values     neighbours -> the values of each scorer
results    Scores: the values, their records and tables
runs       kept runs: folders that a report and later rows start from
scoring    `score`, which goes through these phases
scorers    `KNNScorer`: an array in, the mean distances out
"""

from vicinal.tasks.score.plan import Plan
from vicinal.tasks.score.results import Scored, Scores
from vicinal.tasks.score.scoring import score

__all__ = ["Plan", "Scored", "Scores", "score"]
