"""Minibatches of a set that lies on the device: which rows make up step t, as a pure function of (key, step).

Nothing is shuffled and nothing is stored. The set is read as an endless sequence of epochs, each a permutation of its
own; step t takes the next n_critic * batch_size places of it, and each place computes its own row of the set. A resumed
run thus needs no position in the data, and a population of keys draws its minibatches under `vmap`. Where steps have
bursts of updates among them, how many there were of either kind is a function of t too.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.data import bursts

Made = tuple[tuple[int, Any], ...]
MAX_ROWS = 2**25  # of a set that `draw` can take: beyond it the uint32 arithmetic of `position` would overflow
_ROUNDS = 16  # of the permutation: 8 pass every statistic of the tests at n = 100 and above, 16 at n = 5 and 6 too


class Batch(NamedTuple):
    """The minibatches of one step: one for each of the critic's updates.

    image: [n_critic, b, h, w, c], float32 in [-1, 1] ([n_critic, b, 2] in data units for points); a stream gives uint8.
    label: int32 [n_critic, b], the class, or the component of a mixture; zeros where the set has no labels.
    """

    image: jax.Array
    label: jax.Array


def draw(
    arrays: dict[str, Any], key: jax.Array, step: jax.Array, n_critic: int, batch_size: int, made: Made = ()
) -> Batch:
    """The minibatches of step `step`, pure and made for `jit` and `vmap`; n_critic and batch_size are static.

    arrays: {"image": uint8 [n, h, w, c], "label": int32 [n]}, n < 2^25. step: an integer in [0, 2^32). made: what
    `bursts.made` gives of the steps before, where these did not all have n_critic minibatches.
    """
    n = arrays["image"].shape[0]
    made = made or bursts.made(bursts.NONE, n_critic, step)
    rows = epoch_rows(key, position_after(made, batch_size, n), n_critic * batch_size, n)
    image, label = jnp.asarray(arrays["image"])[rows], jnp.asarray(arrays["label"])[rows]
    return Batch(
        to_unit(image.reshape(n_critic, batch_size, *image.shape[1:])),
        label.reshape(n_critic, batch_size).astype(jnp.int32),
    )


def epoch_rows(key: jax.Array, start: tuple[jax.Array, jax.Array], count: int, n: int) -> jax.Array:
    """`count` rows of the endless concatenation of epochs of a set of n, from a `position` in it on: int32 [count].

    Epoch e is the permutation `permuted(., n, fold_in(key, e))`.
    """
    epoch, first = start
    place = first + jnp.arange(count, dtype=jnp.uint32)
    keys = jax.vmap(lambda e: jax.random.fold_in(key, e))(epoch + place // n)
    return jax.vmap(lambda index, k: permuted(index, n, k))(place % n, keys)


def position_after(made: Made, size: int, n: int) -> tuple[jax.Array, jax.Array]:
    """`position` after steps that each took so many minibatches of this size: `divmod(sum number * steps * size, n)`.

    made: ((number, steps), ...), at most 100 of them.
    """
    epochs, places = zip(*(position(steps, number * size, n) for number, steps in made), strict=True)
    place = sum(places)
    return sum(epochs) + place // n, place % n


def position(step: jax.Array, count: int, n: int) -> tuple[jax.Array, jax.Array]:
    """`divmod(step * count, n)`, as uint32, where the product itself may exceed 32 bits.

    The step is split into eight digits of four bits, step = sum_i d_i 16^i; with (q_i, r_i) = divmod(16^i * count, n)
    the result follows from sum_i d_i q_i and sum_i d_i r_i < 120 n. Exact for every step in [0, 2^32) and n < 2^25;
    an epoch beyond 2^32 wraps around.
    """
    step = jnp.asarray(step).astype(jnp.uint32)
    epoch = rest = jnp.uint32(0)
    for i in range(8):
        digit = (step >> (4 * i)) & 15
        q, r = divmod(16**i * count, n)
        epoch, rest = epoch + digit * jnp.uint32(q % 2**32), rest + digit * jnp.uint32(r)
    return epoch + rest // n, rest % n


def permuted(index: jax.Array, n: int, key: jax.Array) -> jax.Array:
    """Where the permutation of {0, ..., n-1} that belongs to `key` sends `index` (any shape), point by point: int32.

    A Feistel network on the grid {0..a-1} x {0..b-1}, a = ceil(sqrt n), b = ceil(n / a): in turn one coordinate is
    shifted (modulo its range) by a keyed hash of the other, which is invertible whatever the hash is. The grid has
    fewer than a places too many; who lands on one of them walks on until back inside (cycle walking: Black and Rogaway
    2002, "Ciphers with arbitrary finite domains"). n is static, 1 <= n < 2^31.
    """
    a = int(np.ceil(np.sqrt(n)))
    b = -(-n // a)
    round_keys = jax.random.bits(key, (_ROUNDS,), jnp.uint32)

    def network(x):
        left, right = x // b, x % b
        for i in range(0, _ROUNDS, 2):
            left = (left + _hash(right, round_keys[i]) % a) % a
            right = (right + _hash(left, round_keys[i + 1]) % b) % b
        return left * b + right

    start = network(jnp.asarray(index).astype(jnp.uint32))
    walked = jax.lax.while_loop(lambda x: jnp.any(x >= n), lambda x: jnp.where(x >= n, network(x), x), start)
    return walked.astype(jnp.int32)


def _hash(x, key):
    """The finaliser of MurmurHash3 (Appleby 2011) of x ^ key, on uint32."""
    x = x ^ key
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def to_unit(image):
    """uint8 -> float32 in [-1, 1]: x / 127.5 - 1. NumPy in, NumPy out; JAX in, JAX out."""
    # XLA divides by multiplying with the reciprocal, which sends 255 to 1.0000001: hence the clip.
    return (image.astype("float32") / 127.5 - 1).clip(-1, 1)


def to_uint8(image):
    """[-1, 1] -> uint8: round((x + 1) * 127.5), clipped to [0, 255]; undoes `to_unit` exactly. NumPy or JAX.

    The map is fixed: an image is never stretched by its own minimum and maximum.
    """
    return ((image.astype("float32") + 1) * 127.5).round().clip(0, 255).astype("uint8")
