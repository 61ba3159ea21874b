import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gan_jax.data import batches

SIZES = [1, 2, 3, 7, 97, 1797, 60000]


@functools.partial(jax.jit, static_argnums=(2, 3))
def epoch_rows(key, step, count, n):
    return batches.epoch_rows(key, batches.position(step, count, n), count, n)


def permutations(n, keys):
    return np.asarray(jax.jit(jax.vmap(lambda key: batches.permuted(jnp.arange(n), n, key)))(keys))


@pytest.mark.slow
@pytest.mark.parametrize("n", SIZES)
def test_permuted_is_a_bijection(n):
    for permutation in permutations(n, jax.random.split(jax.random.key(n), 3)):
        np.testing.assert_array_equal(np.sort(permutation), np.arange(n))


def test_every_row_comes_once_per_epoch_though_batches_straddle_epochs():
    n, count = 97, 10
    key = jax.random.key(0)
    rows = np.concatenate([epoch_rows(key, step, count, n) for step in range(39)])[: 4 * n].reshape(4, n)
    np.testing.assert_array_equal(np.sort(rows, axis=1), np.tile(np.arange(n), (4, 1)))
    assert len({tuple(epoch) for epoch in rows}) == 4
    other = np.concatenate([epoch_rows(jax.random.key(1), step, count, n) for step in range(10)])[:n]
    assert tuple(other) != tuple(rows[0])


def test_a_batch_larger_than_the_set_holds_whole_epochs():
    rows = np.asarray(epoch_rows(jax.random.key(0), 3, 21, 7)).reshape(3, 7)
    np.testing.assert_array_equal(np.sort(rows, axis=1), np.tile(np.arange(7), (3, 1)))


@pytest.mark.parametrize("step", [0, 1, 2**16 - 1, 2**31 - 1, 2**32 - 1])
@pytest.mark.parametrize(("count", "n"), [(1, 1), (320, 1797), (5 * 4096, 60000), (64, 2**25 - 1)])
def test_position_is_exact_beyond_32_bits(step, count, n):
    epoch, row = batches.position(jnp.uint32(step), count, n)
    assert (int(epoch), int(row)) == (step * count // n % 2**32, step * count % n)


@pytest.mark.parametrize("steps", [(0, 0), (3, 2), (2**31 - 1, 2**31 - 1), (2**31 - 4300000, 4300000)])
@pytest.mark.parametrize(("numbers", "size", "n"), [((5, 100), 64, 1797), ((10_000, 1), 4096, 2**25 - 1)])
def test_the_position_after_steps_of_two_kinds_is_exact(steps, numbers, size, n):
    made = tuple((number, jnp.uint32(count)) for number, count in zip(numbers, steps, strict=True))
    total = size * sum(number * count for number, count in zip(numbers, steps, strict=True))
    epoch, row = batches.position_after(made, size, n)
    assert (int(epoch), int(row)) == (total // n % 2**32, total % n)


def test_minibatches_of_steps_of_two_kinds_follow_one_another():
    """After steps with 1, 3, 1 and 1 of them, a step with 3 has the seventh to the ninth."""
    arrays = {"image": np.zeros((13, 1, 1, 1), np.uint8), "label": np.arange(13, dtype=np.int32)}
    key = jax.random.key(2)
    expected = np.asarray(epoch_rows(key, 0, 36, 13)).reshape(9, 4)[6:]
    found = jax.jit(lambda step: batches.draw(arrays, key, step, 3, 4, ((1, step - 1), (3, 1))).label)(4)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("n", [7, 100])
def test_places_are_uniform_over_keys(n):
    where = permutations(n, jax.random.split(jax.random.key(5), 20000))
    for index in {0, 1, n // 2, n - 1}:
        assert stats.chisquare(np.bincount(where[:, index], minlength=n)).pvalue > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 1797])
def test_neighbours_land_independently(n):
    where = permutations(n, jax.random.split(jax.random.key(6), 2000))
    for other in (1, int(np.ceil(np.sqrt(n)))):  # the next on the permutation's grid, in either direction
        gap = (where[:, other] - where[:, 0]) % n
        assert stats.chisquare(np.bincount(gap // (n // 10), minlength=10)[:10] / _share(n)).pvalue > 1e-4
    correlation = np.corrcoef(where[:, :-1].ravel(), where[:, 1:].ravel())[0, 1]
    assert abs(correlation + 1 / (n - 1)) < 5 / np.sqrt(where[:, 1:].size)  # without replacement: -1 / (n - 1)


def _share(n):
    """How many of the gaps 1..n-1 fall into each of the ten bins, relative to their mean."""
    sizes = np.bincount(np.arange(1, n) // (n // 10), minlength=10)[:10]
    return sizes / sizes.mean()


def test_draw_gathers_what_the_rows_say_and_scales_it():
    image = np.arange(5 * 4 * 4 * 3, dtype=np.uint8).reshape(5, 4, 4, 3)
    label = np.arange(5, dtype=np.int32)
    draw = jax.jit(batches.draw, static_argnums=(3, 4))
    batch = draw({"image": image, "label": label}, jax.random.key(3), 2, 2, 3)
    assert batch.image.shape == (2, 3, 4, 4, 3)
    assert (batch.image.dtype, batch.label.dtype) == (jnp.float32, jnp.int32)
    np.testing.assert_allclose(batch.image, image[np.asarray(batch.label)] / 255 * 2 - 1, atol=1e-6)


@pytest.mark.slow
def test_draw_under_vmap_over_keys_equals_one_by_one():
    arrays = {"image": np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1), "label": np.arange(50, dtype=np.int32)}
    keys = jax.random.split(jax.random.key(0), 4)
    draw = jax.jit(lambda key: batches.draw(arrays, key, 7, 2, 8))
    together = jax.vmap(draw)(keys)
    for i, key in enumerate(keys):
        np.testing.assert_array_equal(together.label[i], draw(key).label)


@pytest.mark.parametrize("xp", [np, jnp])
def test_scaling_is_a_fixed_map_that_round_trips(xp):
    every = xp.arange(256, dtype="uint8")
    unit = batches.to_unit(every)
    assert type(unit) is type(every)
    assert (float(unit[0]), float(unit[255]), unit.dtype) == (-1.0, 1.0, "float32")
    np.testing.assert_array_equal(batches.to_uint8(unit), every)
    assert float(jax.jit(batches.to_unit)(every).max()) == 1.0
    # trap: never stretched by its own minimum and maximum; clipped outside [-1, 1]
    np.testing.assert_array_equal(batches.to_uint8(xp.asarray([0.0, 0.1, -3.0, 3.0])), [128, 140, 0, 255])
