import numpy as np
import pytest

from gan_jax.metrics.classes import class_shares


def test_shares_by_hand():
    assert class_shares([0, 2, 2, 1, 2, 2, 0, 2], 4) == [0.25, 0.125, 0.625, 0.0]
    assert class_shares(np.array([1], np.uint8), 2) == [0.0, 1.0]


def test_the_order_does_not_matter_and_they_add_up_to_1():
    classes = np.repeat(np.arange(7, dtype=np.int32), [1, 2, 3, 4, 5, 6, 0])
    shares = class_shares(np.random.default_rng(0).permutation(classes), 7)
    np.testing.assert_allclose(shares, np.array([1, 2, 3, 4, 5, 6, 0]) / 21, rtol=1e-12)
    assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], "n >= 1"),
        ([0.0, 1.0], "integers"),
        ([[0, 1]], r"\[n\]"),
        ([0, 3], r"in \[0, 3\), got 0 to 3"),
        ([-1, 2], r"in \[0, 3\), got -1 to 2"),
    ],
)
def test_refuses(classes, message):
    with pytest.raises(ValueError, match=message):
        class_shares(classes, 3)
