import json
import math
import pathlib
import zlib

import flax
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from gan_jax.errors import UserError
from gan_jax.runs import checkpoint, scores
from gan_jax.training.state import NetState


@flax.struct.dataclass
class State:
    """Of a run that is hardly one: checkpoints ask for its step, its players, and for which numbers it has."""

    step: jax.Array
    weights: jax.Array
    generator: NetState = NetState({}, {}, ())
    critic: NetState = NetState({}, {}, ())
    hparams: dict = flax.struct.field(default_factory=dict)


def carry(step):
    """With a sum for each metric, and the step at which it was first broken."""
    sums = {"totals": {"loss": jnp.float32(2)}, "broken": {"loss": jnp.int32(-1)}}
    return State(jnp.int32(step), jnp.arange(5.0) + step), sums


def saved(folder, evaluations):
    """A folder with the checkpoints of steps 1, 2, ..., each followed by its evaluation, where there is one."""
    with checkpoint.open_checkpoints(folder) as manager:
        for step, record in enumerate(evaluations, start=1):
            checkpoint.save(manager, carry(step), {"shape": [2]})
            checkpoint.wait(manager)
            if record:
                scores.write(folder / "checkpoints" / str(step), record)


def steps_and_best(folder, is_read_only):
    with checkpoint.open_checkpoints(folder, is_read_only) as manager:
        step, (state, _) = checkpoint.restore_newest(manager, carry(0))
        np.testing.assert_array_equal(state.weights, np.arange(5.0) + step)
        return sorted(manager.all_steps()), checkpoint.find_step(manager, "best")


@pytest.mark.parametrize("worst", [math.nan, math.inf, None])
def test_an_evaluation_that_is_not_finite_is_never_the_best(tmp_path, worst):
    saved(tmp_path, [{"frechet_distance": number} for number in (worst, 2.0, worst, 3.0, worst, worst, worst)])
    assert steps_and_best(tmp_path, False) == ([2, 5, 6, 7], 2)


def test_where_none_is_finite_there_is_no_best(tmp_path):
    saved(tmp_path, [{"frechet_distance": math.nan}] * 5)
    with pytest.raises(UserError, match="no checkpoint was evaluated to a finite number"):
        steps_and_best(tmp_path, True)


def test_the_best_of_another_protocol_is_not_kept_for_long(tmp_path):
    """Of the last three all are kept; before them 2 is the best as they were evaluated, and 1 of the other protocol."""
    numbers = [(0.1, "pixels"), (2.0, "inception"), (3.0, "inception"), (4.0, "inception"), (5.0, "inception")]
    saved(tmp_path, [{"frechet_distance": number, "protocol": {"features": name}} for number, name in numbers])
    assert steps_and_best(tmp_path, True) == ([2, 3, 4, 5], 2)


def test_evaluations_are_no_part_of_what_a_checkpoint_is(tmp_path):
    """It is as good without, and with another one, and goes where its folder goes."""
    saved(tmp_path, [{"frechet_distance": 1.0}, {"frechet_distance": 2.0}])
    folder = tmp_path / "checkpoints"
    (folder / "1" / "evaluation.json").unlink()
    (folder / "2" / "evaluation.json").write_text("{")
    with checkpoint.open_checkpoints(tmp_path) as manager:
        assert int(checkpoint.restore(manager, 1, state=carry(0)[0])["state"].step) == 1
        assert checkpoint.restore_newest(manager, carry(0))[0] == 2
        assert "evaluation" not in checkpoint.about(manager, 2)
    saved(tmp_path / "more", [{"frechet_distance": 9.0 - step} for step in range(6)])
    assert {path.name for path in (tmp_path / "more/checkpoints").iterdir()} == {"4", "5", "6"}


def test_what_a_killed_process_left_of_an_evaluation_is_removed(tmp_path):
    saved(tmp_path, [{"frechet_distance": 1.0}])
    left = tmp_path / "checkpoints" / "1" / ".evaluation.json.99999999"
    left.write_text("{")
    with checkpoint.open_checkpoints(tmp_path, is_read_only=True):
        assert left.exists()
    with checkpoint.open_checkpoints(tmp_path) as manager:
        assert not left.exists()
        assert checkpoint.find_step(manager, "best") == 1


# ----------------------------------------------------------------------------- folders of before


def crc(content):
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def array_record(leaf):
    """[type, shape, sum of its 32-bit words, each times an odd number, modulo 2^32]."""
    words = np.asarray(leaf).reshape(-1).view(np.uint32).astype(object)
    return [str(leaf.dtype), list(leaf.shape), int(sum((2 * i + 1) * word for i, word in enumerate(words)) % 2**32)]


def saved_as_before(folder, evaluations):
    """As this program wrote them once: the evaluation an item of orbax's, its checksum in `about`."""
    options = ocp.CheckpointManagerOptions(best_fn=lambda metrics: metrics["frechet_distance"], best_mode="min")
    with ocp.CheckpointManager(folder.absolute() / "checkpoints", options=options) as manager:
        for step, record in enumerate(evaluations, start=1):
            state, sums = carry(step)
            leaves = {"state/step": state.step, "state/weights": state.weights}
            leaves |= {f"sums/{part}/{name}": sum_ for part, of in sums.items() for name, sum_ in of.items()}
            about = {"shape": [2], "arrays": {name: array_record(leaf) for name, leaf in leaves.items()}}
            about["evaluation"] = crc(record)
            items = {
                "state": ocp.args.StandardSave(state),
                "sums": ocp.args.StandardSave(sums),
                "about": ocp.args.JsonSave(about | {"checksum": crc(about)}),
            }
            manager.save(step, args=ocp.args.Composite(**items), metrics=record)
            manager.wait_until_finished()


@pytest.mark.parametrize("is_read_only", [True, False])
def test_checkpoints_of_before_open_and_have_their_best(tmp_path, is_read_only):
    protocol = {"features": "pixels"}
    numbers = (math.nan, 3.0, 1.0, 2.0)
    saved_as_before(tmp_path, [{"frechet_distance": number, "protocol": protocol} for number in numbers])
    assert steps_and_best(tmp_path, is_read_only) == ([1, 2, 3, 4], 3)


def test_a_damaged_evaluation_of_before_leaves_the_checkpoint(tmp_path, capsys):
    saved_as_before(tmp_path, [{"frechet_distance": 1.0}, {"frechet_distance": 2.0}, {"frechet_distance": 3.0}])
    for step, content in ((1, '{"frechet_distance": 0.5}'), (2, "{")):
        (tmp_path / "checkpoints" / str(step) / "metrics" / "metrics").write_text(content)
    assert steps_and_best(tmp_path, False) == ([1, 2, 3], 3)
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_run_of_before_goes_on_and_its_best_is_kept_by_one_protocol(tmp_path):
    old, new = {"features": "pixels"}, {"features": "inception"}
    saved_as_before(tmp_path, [{"frechet_distance": 1.0, "protocol": old}, {"frechet_distance": 5.0, "protocol": old}])
    with checkpoint.open_checkpoints(tmp_path) as manager:
        for step in range(3, 7):
            checkpoint.save(manager, carry(step), {"shape": [2]})
            checkpoint.wait(manager)
            if step == 5:
                scores.write(
                    pathlib.Path(manager.directory, "5"), {"step": 5, "frechet_distance": 9.0, "protocol": new}
                )
            assert sorted(manager.all_steps())[0] == (1 if step <= 5 else 4)
    assert steps_and_best(tmp_path, False) == ([4, 5, 6], 5)
