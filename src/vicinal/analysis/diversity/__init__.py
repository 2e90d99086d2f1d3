"""Measures of the diversity of a whole set of vectors: pure functions of arrays, in float64.

similarities : the similarity of two rows, and what is summed over all rows at once
average      : the mean similarity over pairs (APS)
vendi        : the Vendi score, exact or by a Nystrom estimate with bounds
log_det      : the logarithm of the determinant of the cosine matrix
novel_sum    : NovelSum
spread       : the radius, sums of distances to centroids, the entropy of a partition, and the coverage by a subset

None of them holds a matrix of n x n numbers above the size that it names.
"""
