"""A long run saves thousands of checkpoints."""

import gc
import sys

import jax.numpy as jnp
import pytest
import tensorstore

from gan_jax.runs import checkpoint, memory


@pytest.mark.slow
def test_a_save_leaves_next_to_nothing_in_memory(tmp_path, small_carry):
    """Of what Python has in memory, in blocks; orbax and tensorstore by themselves leave over 200."""
    state, sums = small_carry
    blocks = {}
    with checkpoint.open_checkpoints(tmp_path) as manager:
        for step in range(1, 31):
            checkpoint.save(manager, (state.replace(step=jnp.int32(step)), sums), {})
            if step in (10, 30):
                checkpoint.wait(manager)
                gc.collect()
                blocks[step] = sys.getallocatedblocks()
    assert (blocks[30] - blocks[10]) / 20 < 60


def test_places_are_answered_as_tensorstore_does():
    specs = [tensorstore.KvStore.Spec({"driver": "file", "path": f"/tmp/{name}/"}) for name in ("a", "b\n'é", "a")]
    expected = [[spec.to_json(), spec.to_json(include_defaults=True)] for spec in specs]
    with memory.without_leaks():
        for _ in range(2):
            found = [[spec.to_json(), spec.to_json(include_defaults=True)] for spec in specs]
            assert found == expected
            found[0][0].clear()  # an answer is the caller's own
    assert [spec.to_json() for spec in specs] == [first for first, _ in expected]
    assert expected[0][0] != expected[0][1]
