"""Whether a checkpoint still holds what was saved: orbax compares no checksums, and a disk may return other bits.

With each checkpoint lies a record of its arrays, their types, shapes and checksums, which are computed where the arrays
are. The record has a checksum of its own.
"""

import json
import pathlib
import zlib
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.errors import UserError
from gan_jax.files import atomic


class DamagedError(UserError):
    """A checkpoint isn't what was saved. The text says which, and how that was found."""


def described(about: dict[str, Any], items: dict[str, Any]) -> dict[str, Any]:
    """`about`, with a record of the arrays in `items`, sealed."""
    return sealed(about | {"arrays": arrays(items, checksums(items))})


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """The content, which is JSON, with a checksum over all of it."""
    return content | {"checksum": _checksum(content)}


def read_about(checkpoint: pathlib.Path) -> Any:
    """The record in the folder of a checkpoint, read without orbax, and not checked."""
    return atomic.read_json(checkpoint / "about" / "metadata")


def check_seal(content: Any) -> None:
    """Raises DamagedError where what was sealed is not as it was written."""
    if not isinstance(content, dict) or content.get("checksum") != _checksum(_without(content, "checksum")):
        raise DamagedError("the checksum of its record differs")


def check_structure(about: dict[str, Any], items: dict[str, Any]) -> None:
    """Raises UserError where the arrays of the record have other names, types or shapes than these.

    Then the checkpoint is none of this configuration, and nothing is wrong with it.
    """
    stored = {name: array[:2] for name, array in about["arrays"].items() if name.split("/")[0] in items}
    given = {name: array[:2] for name, array in arrays(items, None).items()}
    if differing := sorted(name for name in {**stored, **given} if stored.get(name) != given.get(name)):
        first = differing[0]
        raise UserError(
            f"it holds another network, or is of another version of this program: {first} is {_kind(stored.get(first))}"
            f" there, {_kind(given.get(first))} here, and so for {len(differing)} arrays; give another --workdir"
        )


def check_arrays(about: dict[str, Any], items: dict[str, Any]) -> None:
    """Raises DamagedError where an array is not what was saved."""
    for name, (_, _, checksum) in arrays(items, checksums(items)).items():
        if checksum != about["arrays"][name][2]:
            raise DamagedError(f"the checksum of {name} differs")


def check_evaluation(about: dict[str, Any], evaluation: dict[str, Any] | None) -> None:
    """Raises DamagedError where the evaluation that orbax wrote with the checkpoint is not what was saved."""
    if about["evaluation"] != _checksum(evaluation):
        raise DamagedError("the checksum of its evaluation differs")


def arrays(items: dict[str, Any], sums: list[int] | None) -> dict[str, list[Any]]:
    """[type, shape, checksum] of every array, by its path; without checksums (0) where none are given."""
    leaves = jax.tree_util.tree_leaves_with_path(items)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    kinds = [[str(leaf.dtype), list(leaf.shape)] for _, leaf in leaves]
    return {name: [*kind, total] for name, kind, total in zip(names, kinds, sums or [0] * len(names), strict=True)}


def checksums(items: dict[str, Any]) -> list[int]:
    """A number below 2^32 for every array: another one where any single word of it is another."""
    return [int(total) for total in jax.device_get(_checksums(items))]


@jax.jit
def _checksums(items):
    return jnp.stack([_weighted_sum(leaf) for leaf in jax.tree.leaves(items)])


def _weighted_sum(leaf):
    """Of 32-bit words, modulo 2^32. An odd weight has an inverse there: no change of one word is lost."""
    words = _words(leaf).reshape(-1)
    return jnp.sum(words * (2 * jax.lax.iota(jnp.uint32, words.size) + 1), dtype=jnp.uint32)


def _words(leaf):
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if leaf.dtype == bool:
        return leaf.astype(jnp.uint32)
    narrow = {1: jnp.uint8, 2: jnp.uint16}.get(leaf.dtype.itemsize, jnp.uint32)
    return jax.lax.bitcast_convert_type(leaf, narrow).astype(jnp.uint32)


def _checksum(content: Any) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def _without(about, name):
    return {key: value for key, value in about.items() if key != name}


def _kind(array):
    return f"{array[0]}{array[1]}" if array else "absent"
