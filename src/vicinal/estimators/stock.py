"""scikit-learn's nearest-neighbour estimators, with neighbours from exact search: change one import.

Each class is a subclass of the class of the same name in sklearn.neighbors, with its parameters, attributes and
methods. Only the search for neighbours differs (`search.py`).
"""

from sklearn import neighbors

from vicinal.estimators.search import KNeighborsSearch, RadiusNeighborsSearch


class NearestNeighbors(KNeighborsSearch, RadiusNeighborsSearch, neighbors.NearestNeighbors):
    """scikit-learn's NearestNeighbors with exact search.

    Examples
    --------
    >>> NearestNeighbors(n_neighbors=1).fit([[0.0], [1.0], [3.0]]).kneighbors([[0.9]])[1]
    array([[1]])
    """


class KNeighborsClassifier(KNeighborsSearch, neighbors.KNeighborsClassifier):
    """scikit-learn's KNeighborsClassifier with exact search.

    Examples
    --------
    >>> KNeighborsClassifier(n_neighbors=1).fit([[0.0], [1.0], [3.0]], ["a", "a", "b"]).predict([[2.9]]).tolist()
    ['b']
    """


class KNeighborsRegressor(KNeighborsSearch, neighbors.KNeighborsRegressor):
    """scikit-learn's KNeighborsRegressor with exact search.

    Examples
    --------
    >>> KNeighborsRegressor(n_neighbors=2).fit([[0.0], [1.0], [3.0]], [0.0, 1.0, 9.0]).predict([[2.9]]).tolist()
    [5.0]
    """


class RadiusNeighborsClassifier(RadiusNeighborsSearch, neighbors.RadiusNeighborsClassifier):
    """scikit-learn's RadiusNeighborsClassifier with exact search.

    Examples
    --------
    >>> RadiusNeighborsClassifier(radius=1.5).fit([[0.0], [1.0], [3.0]], [0, 0, 1]).predict_proba([[2.0]])
    array([[0.5, 0.5]])
    """


class RadiusNeighborsRegressor(RadiusNeighborsSearch, neighbors.RadiusNeighborsRegressor):
    """scikit-learn's RadiusNeighborsRegressor with exact search.

    Examples
    --------
    >>> RadiusNeighborsRegressor(radius=1.5).fit([[0.0], [1.0], [3.0]], [0.0, 1.0, 9.0]).predict([[2.0]]).tolist()
    [5.0]
    """


class KNeighborsTransformer(KNeighborsSearch, neighbors.KNeighborsTransformer):
    """scikit-learn's KNeighborsTransformer with exact search.

    Examples
    --------
    >>> KNeighborsTransformer(n_neighbors=1).fit_transform([[0.0], [1.0], [3.0]]).toarray().tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    """


class LocalOutlierFactor(KNeighborsSearch, neighbors.LocalOutlierFactor):
    """scikit-learn's LocalOutlierFactor with exact search.

    Examples
    --------
    >>> LocalOutlierFactor(n_neighbors=2).fit_predict([[0.0], [0.1], [0.2], [9.0]]).tolist()
    [1, 1, 1, -1]
    """

    _float32_distances = True
