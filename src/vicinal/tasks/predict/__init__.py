"""Predictions for whole sets from one neighbour pass: classes, values, outliers, the best number of neighbours.

classify, regress : predict the label or the value of queries from the rows nearest to them
outliers          : score how isolated each row is
choose_k          : the leave-one-out score of every number of neighbours
voting            : what classify and regress share
curve             : the leave-one-out scores
classes           : checks of class sizes
"""
