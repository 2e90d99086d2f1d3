"""Mahalanobis metrics learned from labels or pairs: d_M(x1, x2) = sqrt((x1 - x2)' M (x1 - x2)) with M = L'L.

Each learner is a scikit-learn transformer. `components_` is L, and `transform` returns L x for each row x. Euclidean
distances of the transformed rows are d_M, so every index and estimator can be used on them. `get_mahalanobis_matrix()`
is M, for `vicinal.mahalanobis` and `metric="mahalanobis"`.

    learner                 objective                                                   method
    NCA                     neighbours drawn by softmax are of the row's class          scikit-learn's, L-BFGS
    LMNN                    k target neighbours nearer than all others, by a margin     L-BFGS; exact neighbours
    ITML                    similar pairs below, dissimilar pairs above a bound         Bregman projections
    MMC                     dissimilar pairs far apart, similar pairs within a budget   L-BFGS on a scale-free quotient
    RCA                     small variance within chunklets (small groups of rows)      closed form
    LDA                     between-class over within-class variance                    scikit-learn's, closed form
    WithinClassWhitening    small variance within classes                               closed form

The margin of LMNN is 1 in units of squared distance, so scale the columns first (sklearn.preprocessing.StandardScaler).
"""

from vicinal.learn.learner import Mahalanobis
from vicinal.learn.lmnn import LMNN
from vicinal.learn.pairwise import ITML, MMC
from vicinal.learn.scikit_learners import LDA, NCA
from vicinal.learn.whitening import RCA, WithinClassWhitening

LEARNERS: tuple[type[Mahalanobis], ...] = (NCA, LMNN, ITML, MMC, RCA, LDA, WithinClassWhitening)
