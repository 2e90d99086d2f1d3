"""The kernel of torch's devices: products of codes with proven bounds on a GPU; what they leave is measured in float64.

    rows      distinct ones only, cut in tiles; a tile lies on a device as it was given and as codes (`tiles`)
    codes     int8 or bfloat16 of centred rows, with the length of what they lose (`codes` has the proof)
    compare   each pair of tiles once, in blocks: one matrix product, one score a pair, those that pass are gathered
              (`products`, `pairs`)
    measure   the gathered pairs, from differences, in the order of `metrics.lane_sum`, so to the same bits (`measure`)
    keep      each row's k nearest by (distance, row) (`lists`); only they come back
    devices   any number, each with other pairs of tiles; if one fails, the processor does the rest (`driver`, `rest`)

It runs on torch's CPU device too, which is how it is tested; the native kernel is faster there.
"""

from vicinal.knn.kernels.torch.kernel import Torch

__all__ = ["Torch"]
