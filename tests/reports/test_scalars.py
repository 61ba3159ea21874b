import json
import math

import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.errors import UserError
from gan_jax.reports import scalars


def strict(text):
    """Reads JSON as the standard has it: no NaN, no Infinity."""

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_one_object_a_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    records = [{"step": 1, "critic_loss": 0.1}, {"step": 2, "protocol": {"samples": 5, "name": "é\n"}}]
    for record in records:
        scalars.append(path, record)
    assert [strict(line) for line in path.read_text().split("\n")[:-1]] == records
    assert scalars.read(path) == records


def test_numbers_that_are_not_finite_become_null(tmp_path):
    path = tmp_path / "metrics.jsonl"
    scalars.append(path, {"step": 1, "a": math.nan, "b": {"c": [math.inf, 1.0]}, "d": np.float32("-inf")})
    assert strict(path.read_text()) == {"step": 1, "a": None, "b": {"c": [None, 1.0]}, "d": None}


def test_numpy_and_jax_values(tmp_path):
    path = tmp_path / "metrics.jsonl"
    scalars.append(path, {"step": np.int64(3), "a": np.float32(0.5), "b": jnp.array(2.0), "c": np.arange(2)})
    assert scalars.read(path) == [{"step": 3, "a": 0.5, "b": 2.0, "c": [0, 1]}]


def test_a_half_line_is_ignored_and_cut_off_by_the_next_one(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2, "critic_l')
    assert scalars.read(path) == [{"step": 1}]
    scalars.append(path, {"step": 3})
    assert path.read_bytes() == b'{"step": 1}\n{"step": 3}\n'


def test_a_file_with_only_half_a_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"ste')
    assert scalars.read(path) == []
    scalars.append(path, {"step": 1})
    assert scalars.read(path) == [{"step": 1}]


def test_truncate_after_keeps_bytes(tmp_path):
    path = tmp_path / "metrics.jsonl"
    kept = b'{ "step":1,  "a": 1.50e0}\n{"step": 2}\n'
    path.write_bytes(kept + b'{"step": 3}\n{"step": 4}\n{"st')
    scalars.truncate_after(path, 2)
    assert path.read_bytes() == kept


def test_truncate_after_may_leave_nothing(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 3}\n')
    scalars.truncate_after(path, 2)
    assert path.read_bytes() == b""


def test_no_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    scalars.truncate_after(path, 5)
    assert scalars.read(path) == []
    assert not path.exists()


@pytest.mark.parametrize("line", ["hello", "[1]", "3", '{"a": 1}', '{"step": "1"}'])
def test_a_broken_line_is_named_and_left_alone(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    content = f'{{"step": 1}}\n{line}\n{{"step": 3}}\n'
    path.write_text(content)
    with pytest.raises(UserError, match=r"metrics.jsonl, line 2") as caught:
        scalars.read(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError):
        scalars.truncate_after(path, 1)
    assert path.read_text() == content


def test_a_record_needs_a_step(tmp_path):
    with pytest.raises(ValueError, match="step"):
        scalars.append(tmp_path / "metrics.jsonl", {"critic_loss": 1.0})
    assert not list(tmp_path.iterdir())
