import json
import os
import subprocess
import sys

import pytest

from gan_jax import workdir
from gan_jax.config import default_config, flat
from gan_jax.errors import UserError

FIELDS = flat(default_config())


def test_what_is_stored_is_read_again(tmp_path):
    assert workdir.stored_fields(tmp_path) is None
    workdir.store(tmp_path, FIELDS)
    assert workdir.stored_fields(tmp_path) == FIELDS
    assert os.listdir(tmp_path) == ["config.json"]


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '"text"'])
def test_a_broken_configuration_is_one_line_that_names_the_file(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json") as error:
        workdir.stored_fields(tmp_path)
    assert "\n" not in str(error.value)


def test_a_field_that_was_added_or_removed_since_is_named(tmp_path):
    older = {name: value for name, value in FIELDS.items() if name != "ema_decay"} | {"old_field": 1}
    with pytest.raises(UserError, match="ema_decay") as error:
        workdir.check_same(tmp_path, older, FIELDS)
    assert "old_field" in str(error.value)


def test_steps_may_be_raised_and_not_lowered(tmp_path):
    workdir.check_same(tmp_path, FIELDS, FIELDS | {"steps": FIELDS["steps"] + 1})
    with pytest.raises(UserError, match="steps"):
        workdir.check_same(tmp_path, FIELDS, FIELDS | {"steps": FIELDS["steps"] - 1})


def test_overrides_alone_need_not_name_every_field(tmp_path):
    workdir.check_same(tmp_path, FIELDS, {"loss": FIELDS["loss"]}, partial=True)
    with pytest.raises(UserError, match="loss"):
        workdir.check_same(tmp_path, FIELDS, {"loss": "minimax"}, partial=True)


def test_one_process_at_a_time_may_write(tmp_path):
    code = "import pathlib, sys; from gan_jax import workdir; workdir.claimed(pathlib.Path(sys.argv[1])).__enter__()"
    with workdir.claimed(tmp_path):
        other = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=100)
    assert "in use" in other.stderr
    assert subprocess.run([sys.executable, "-c", code, tmp_path], timeout=100).returncode == 0


def test_the_file_is_json_that_a_person_can_read(tmp_path):
    workdir.store(tmp_path, FIELDS)
    text = (tmp_path / "config.json").read_text()
    assert json.loads(text) == FIELDS
    assert text.count("\n") > len(FIELDS)
