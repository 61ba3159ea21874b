"""Resizing as matrices: rows and columns of an image are each multiplied by one, so a resizer is a function (n, size).

The numbers that come out of a feature network depend on it: Parmar et al. 2022 (arXiv:2104.11222) measured 11 points of
FID between resizers.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NAMES = ("tf1", "clean")


def tf1(n: int, size: int) -> NDArray[np.float32]:
    """TensorFlow 1's `resize_bilinear`, that of the FID's authors: float32 [size, n].

    Pixel i of the result is read at i n / size, without the half pixel's shift that others have, between its two
    neighbours, and at the border from the last pixel alone. Where it shrinks it skips pixels, and aliases.
    """
    # In float32 as in TensorFlow, whose positions near a whole number would else fall on the other side of it.
    position = np.arange(size, dtype=np.float32) * np.float32(n / size)
    low = np.floor(position).astype(int)
    matrix = np.zeros((size, n), np.float32)
    np.add.at(matrix, (np.arange(size), low), 1 - (position - low))
    np.add.at(matrix, (np.arange(size), np.minimum(low + 1, n - 1)), position - low)
    return matrix


def clean(n: int, size: int) -> NDArray[np.float32]:
    """PIL's bicubic filter, which smooths where it shrinks: float32 [size, n]. The choice of Parmar et al. 2022.

    The result may leave [0, 255] and is to be clipped.
    """
    return np.asarray(Image.fromarray(np.eye(n, dtype=np.float32)).resize((n, size), Image.Resampling.BICUBIC))
