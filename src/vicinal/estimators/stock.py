"""scikit-learn's estimators of neighbours, keyword for keyword, on our exact kernel: change one import.

Parameters, attributes and methods are those of the classes of the same names in sklearn.neighbors, which they are
subclasses of; what differs is who finds the neighbours (`search.py`).
"""

from sklearn import neighbors

from vicinal.estimators.search import KNeighborsSearch, RadiusNeighborsSearch


class NearestNeighbors(KNeighborsSearch, RadiusNeighborsSearch, neighbors.NearestNeighbors):
    """scikit-learn's NearestNeighbors on the exact kernel.

    >>> NearestNeighbors(n_neighbors=1).fit([[0.0], [1.0], [3.0]]).kneighbors([[0.9]])[1]
    array([[1]])
    """


class KNeighborsClassifier(KNeighborsSearch, neighbors.KNeighborsClassifier):
    """scikit-learn's KNeighborsClassifier on the exact kernel.

    >>> KNeighborsClassifier(n_neighbors=1).fit([[0.0], [1.0], [3.0]], ["a", "a", "b"]).predict([[2.9]]).tolist()
    ['b']
    """


class KNeighborsRegressor(KNeighborsSearch, neighbors.KNeighborsRegressor):
    """scikit-learn's KNeighborsRegressor on the exact kernel.

    >>> KNeighborsRegressor(n_neighbors=2).fit([[0.0], [1.0], [3.0]], [0.0, 1.0, 9.0]).predict([[2.9]]).tolist()
    [5.0]
    """


class RadiusNeighborsClassifier(RadiusNeighborsSearch, neighbors.RadiusNeighborsClassifier):
    """scikit-learn's RadiusNeighborsClassifier on the exact kernel.

    >>> RadiusNeighborsClassifier(radius=1.5).fit([[0.0], [1.0], [3.0]], [0, 0, 1]).predict_proba([[2.0]])
    array([[0.5, 0.5]])
    """


class RadiusNeighborsRegressor(RadiusNeighborsSearch, neighbors.RadiusNeighborsRegressor):
    """scikit-learn's RadiusNeighborsRegressor on the exact kernel.

    >>> RadiusNeighborsRegressor(radius=1.5).fit([[0.0], [1.0], [3.0]], [0.0, 1.0, 9.0]).predict([[2.0]]).tolist()
    [5.0]
    """


class KNeighborsTransformer(KNeighborsSearch, neighbors.KNeighborsTransformer):
    """scikit-learn's KNeighborsTransformer on the exact kernel.

    >>> KNeighborsTransformer(n_neighbors=1).fit_transform([[0.0], [1.0], [3.0]]).toarray().tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    """


class LocalOutlierFactor(KNeighborsSearch, neighbors.LocalOutlierFactor):
    """scikit-learn's LocalOutlierFactor on the exact kernel.

    >>> LocalOutlierFactor(n_neighbors=2).fit_predict([[0.0], [0.1], [0.2], [9.0]]).tolist()
    [1, 1, 1, -1]
    """

    _float32_distances = True
