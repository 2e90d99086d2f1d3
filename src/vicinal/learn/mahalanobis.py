"""Mahalanobis metrics learned from labels or pairs: d_M(x1, x2) = sqrt((x1 - x2)' M (x1 - x2)) with M = L'L.

Each is a scikit-learn transformer. `components_` is L, `transform` gives L x for each row x, and the plain Euclidean
distances of what it gives are d_M, so that every index and estimator of ours works on it; `get_mahalanobis_matrix()` is
M, for `vicinal.mahalanobis` and `metric="mahalanobis"`.

    learner                 what it asks for                                            how it is found
    NCA                     neighbours drawn by softmax are of the own class            scikit-learn's, L-BFGS
    LMNN                    k target neighbours nearer than all others, by a margin     L-BFGS; neighbours by our kernel
    ITML                    similar pairs below, dissimilar pairs above a bound         Bregman projections
    MMC                     dissimilar pairs far apart, similar pairs within a budget   L-BFGS on a scale-free quotient
    RCA                     what varies within small groups does not count              closed form
    LDA                     between-class over within-class variance                    scikit-learn's, closed form
    WithinClassWhitening    what varies within classes does not count                   closed form

LMNN's margin is 1 in units of squared distance, so scale the columns first (sklearn.preprocessing.StandardScaler).
"""

from vicinal.learn.base import Mahalanobis
from vicinal.learn.lmnn import LMNN
from vicinal.learn.pairwise import ITML, MMC
from vicinal.learn.scikit_learners import LDA, NCA
from vicinal.learn.whitening import RCA, WithinClassWhitening

LEARNERS: tuple[type[Mahalanobis], ...] = (NCA, LMNN, ITML, MMC, RCA, LDA, WithinClassWhitening)
