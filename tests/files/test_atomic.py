import os
import subprocess
import sys

import numpy as np
import pytest

from gan_jax.files import atomic


def test_writes_replaces_and_makes_folders(tmp_path):
    path = tmp_path / "new" / "file"
    atomic.write(path, b"old")
    atomic.write(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    atomic.write(path, b"old")

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        atomic.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_what_killed_processes_left_is_removed_and_what_others_are_writing_is_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    others = [f".file.{os.getppid()}", ".hidden.txt", "file.1", ".lock"]
    for name in (f".file.{dead.pid}", ".file.99999999999999999999", f".other.png.{os.getpid()}", *others):
        (tmp_path / name).write_text("half")
    atomic.remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(others)


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_are_read_as_they_were_written(tmp_path, compressed):
    arrays = {"images": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "kernel_0": np.array([np.nan, 1e-30])}
    atomic.write_arrays(tmp_path / "new" / "a.npz", arrays, compressed)
    found = atomic.read_arrays(tmp_path / "new" / "a.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_what_is_no_npz_file_is_a_value_error_in_one_line(tmp_path):
    atomic.write_arrays(tmp_path / "whole.npz", {"a": np.arange(1000)})
    whole = (tmp_path / "whole.npz").read_bytes()
    np.save(tmp_path / "array.npy", np.arange(3))
    np.savez(tmp_path / "pickled.npz", a=np.array([{}]))
    contents = [b"", b"text", whole[:100], whole[:-30], whole[:200] + b"\xff" + whole[201:]]
    contents += [(tmp_path / name).read_bytes() for name in ("array.npy", "pickled.npz")]
    for content in contents:
        (tmp_path / "damaged.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"not an \.npz file") as refused:
            atomic.read_arrays(tmp_path / "damaged.npz")
        assert "\n" not in str(refused.value)
    with pytest.raises(FileNotFoundError):
        atomic.read_arrays(tmp_path / "absent.npz")
