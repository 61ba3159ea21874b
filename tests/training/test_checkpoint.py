import math

import jax.numpy as jnp
import pytest

from gan_jax.training import checkpoint


@pytest.mark.slow
@pytest.mark.parametrize("worst", [math.nan, math.inf, None])
def test_an_evaluation_that_is_not_finite_is_never_the_best(tmp_path, small_carry, worst):
    state, sums = small_carry
    with checkpoint.open_checkpoints(tmp_path) as manager:
        for step, frechet in enumerate((worst, 2.0, worst, 3.0, worst, worst, worst), start=1):
            checkpoint.save(manager, (state.replace(step=jnp.int32(step)), sums), {}, {"frechet_distance": frechet})
    with checkpoint.open_checkpoints(tmp_path) as manager:
        assert sorted(manager.all_steps()) == [2, 5, 6, 7]
        assert checkpoint.find_step(manager, "best") == 2
        assert checkpoint.restore_newest(manager, (state, sums))[0] == 7
