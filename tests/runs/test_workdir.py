import json
import os
import subprocess
import sys

import pytest

from gan_jax.config import default_config, flat
from gan_jax.errors import UserError
from gan_jax.runs import workdir

FIELDS = flat(default_config())


def test_what_is_stored_is_read_again(tmp_path):
    assert workdir.stored_fields(tmp_path) is None
    workdir.store(tmp_path, FIELDS, [])
    assert workdir.stored_fields(tmp_path) == FIELDS
    assert os.listdir(tmp_path) == ["config.json"]


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '"text"'])
def test_a_broken_configuration_is_one_line_that_names_the_file(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json") as error:
        workdir.stored_fields(tmp_path)
    assert "\n" not in str(error.value)


def test_the_history_is_read_again_and_what_is_no_history_is_named(tmp_path):
    lines = [{"step": 0, "init_from": "there"}, {"step": 3, "changed": {"ema_decay": [0.9, 0.99]}}]
    workdir.store(tmp_path, FIELDS, lines)
    assert workdir.read_history(tmp_path) == lines
    assert workdir.beginnings(lines) == lines[:1]
    for changed in ("3", "[3]", '{"a": 3}', '{"a": [1, 2, 3]}'):
        (tmp_path / "history.jsonl").write_text(f'{{"step": 0}}\n{{"step": 3, "changed": {changed}}}\n')
        with pytest.raises(UserError, match="line 2 does not say what was changed"):
            workdir.read_history(tmp_path)


def test_a_checkpoint_of_step_0_is_one(tmp_path):
    assert not workdir.has_checkpoint(tmp_path)
    (tmp_path / "checkpoints/0").mkdir(parents=True)
    assert workdir.has_checkpoint(tmp_path)
    assert workdir.latest_step(tmp_path) == 0


def test_one_process_at_a_time_may_write(tmp_path):
    code = (
        "import pathlib, sys; from gan_jax.runs import workdir; workdir.claimed(pathlib.Path(sys.argv[1])).__enter__()"
    )
    with workdir.claimed(tmp_path):
        other = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=100)
    assert "in use" in other.stderr
    assert subprocess.run([sys.executable, "-c", code, tmp_path], timeout=100).returncode == 0


def test_the_file_is_json_that_a_person_can_read(tmp_path):
    workdir.store(tmp_path, FIELDS, [])
    text = (tmp_path / "config.json").read_text()
    assert json.loads(text) == FIELDS
    assert text.count("\n") > len(FIELDS)
