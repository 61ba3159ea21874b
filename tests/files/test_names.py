"""Names that a file system holds and that some library, encoding or terminal does not take as they are."""

import os
import pathlib
import re
import shutil

import orbax.checkpoint as ocp
import pytest

import gan_jax
from gan_jax import main
from gan_jax.data import images, prepare
from gan_jax.errors import UserError
from gan_jax.files import names

NO_UTF8 = os.fsdecode(b"caf\xe9")
# Names, and what the message of their refusal says of them.
PATTERNS = {
    "a[1]": "'[' in",
    "a*": "'*' in",
    "a?b": "'?' in",
    "a\\b": "'\\' in",
    "gs:": "'gs:' in",
    NO_UTF8: r"caf\xe9",
}
ODD = "a]{b}#:~%20\n\t\x1b[é$x_{$".replace("[", "")
EXPERIMENT = pathlib.Path(__file__).parents[2] / "experiments" / "wgan_gp.py"


def refused(capsys):
    """The one line on standard error."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    return line


@pytest.mark.parametrize(("name", "words"), PATTERNS.items())
@pytest.mark.parametrize("below", ["", "/run"])
def test_a_workdir_that_orbax_cannot_read_again_is_refused_before_it_is_made(name, words, below, command, capsys):
    for flags in ([], [f"--sweep={EXPERIMENT}"], ["--mode=sample"]):
        command("wgan_gp.py:ring", f"--workdir={name}{below}", *flags, code=2)
        line = refused(capsys)
        assert line.startswith(f"gan_jax: --workdir={ascii(name)[1:-1] if name == NO_UTF8 else name}")
        assert words in line
        assert line.endswith("rename that folder, or give another --workdir")
    assert not os.path.exists(name)


def test_a_folder_above_the_workdir_counts_and_so_it_does_for_a_relative_one(tmp_path, monkeypatch):
    (tmp_path / "a[1]").mkdir()
    monkeypatch.chdir(tmp_path / "a[1]")
    with pytest.raises(UserError, match=re.escape("takes '[' in")):
        names.check_workdir("runs/plain")
    with pytest.raises(UserError, match=re.escape("takes '[' in")):
        gan_jax.load("runs/plain")


@pytest.mark.parametrize("folder", ["/gs/a", "/s3/a", "/az/a", "/hf"])
def test_folders_that_orbax_takes_for_a_cloud(folder):
    with pytest.raises(UserError, match=f"takes '{folder[1:3]}' in"):
        names.check_workdir(folder)
    names.check_workdir(f"/home{folder}")


@pytest.mark.parametrize(
    "name", ["a]", "a{b}", "a:b", "a%20b", " a ", "-a", "~a", "日本", "a\nb", "gs", "a" * 255, ODD]
)
def test_other_names_are_not_refused(name):
    names.check_workdir(name)
    names.check_data_dir(name)


@pytest.mark.slow
def test_a_run_in_a_folder_of_an_odd_name(command, capsys, records):
    """Trained, resumed, sampled, evaluated, loaded and compared, and nothing of it upsets a terminal."""
    command("wgan_gp.py:ring", f"--workdir={ODD}", steps=20)
    command("wgan_gp.py:ring", f"--workdir={ODD}", steps=40)
    assert [record["step"] for record in records(f"{ODD}/metrics.jsonl")] == [10, 20, 30, 40]
    for flags in (["--mode=sample"], ["--mode=evaluate", "--metrics=frechet"]):
        command("wgan_gp.py:ring", f"--workdir={ODD}", *flags, steps=40)
    assert gan_jax.load(ODD).state.step == 40
    assert main.main(["gan_jax", "--mode=compare", ODD]) == 0
    out = capsys.readouterr().out
    assert repr(ODD)[1:-1] in out
    assert out.replace("\n", "").isprintable()


@pytest.mark.slow
def test_an_experiment_of_an_odd_name(command, tmp_path):
    """It is the title of pictures: no mathematics, and no text that a font could not be asked for."""
    for name in ("a$x_{$", NO_UTF8):
        shutil.copy(EXPERIMENT, tmp_path / f"{name}.py")
        command(f"{tmp_path / name}.py:ring", "--workdir=run", steps=10, sample_every=10)
        assert pathlib.Path("run/samples/step_0000010.png").exists()
        shutil.rmtree("run")


@pytest.mark.slow
def test_runs_in_folders_that_are_no_utf8_are_compared(command, capsys):
    """Nothing of orbax's is read: where they were trained they had other names."""
    command("wgan_gp.py:ring", "--workdir=run", steps=10)
    shutil.copytree("run", f"{NO_UTF8}/a[1]")
    assert main.main(["gan_jax", "--mode=compare", "run", NO_UTF8, f"--out={NO_UTF8}/page.html"]) == 0
    assert r"caf\udce9/a[1]" in capsys.readouterr().out
    for file in ("page.html", "page.csv"):
        assert r"caf\udce9/a[1]" in pathlib.Path(NO_UTF8, file).read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "a[1]"])
def test_the_first_checkpoint_is_read_back(name, command, capsys, monkeypatch):
    """Whatever hides it: here that its folder's name is not checked."""
    monkeypatch.setattr(names, "check_workdir", lambda folder: None)
    opened = []
    restore = ocp.CheckpointManager.restore
    monkeypatch.setattr(
        ocp.CheckpointManager, "restore", lambda *args, **rest: (opened.append(args[1]), restore(*args, **rest))[1]
    )
    command("wgan_gp.py:ring", f"--workdir={name}", steps=40, code=0 if name == "plain" else 2)
    assert set(opened) == {20}
    if name != "plain":
        line = capsys.readouterr().err.splitlines()[-1]
        assert "a[1]/checkpoints/20 is damaged" in line
        assert "it was just written" in line


def test_a_colon_in_a_path(command, capsys, tmp_path):
    """An experiment's path ends at it, since ml_collections splits there; that of a sweep need not."""
    folder = tmp_path / "a:b"
    folder.mkdir()
    shutil.copy(EXPERIMENT, folder / "wgan_gp.py")
    command(f"{folder}/wgan_gp.py:ring", code=2)
    assert "a path ends at its first ':'" in refused(capsys)
    assert names.parted(f"{folder}/wgan_gp.py") == (f"{folder}/wgan_gp.py", "")
    assert names.parted("no.py:x:y") == ("no.py", "x:y")


@pytest.mark.slow
def test_a_colon_in_the_path_of_a_sweep(command, tmp_path):
    folder = tmp_path / "a:b"
    folder.mkdir()
    (folder / "seeds.py").write_text("def get_sweep(first='0'):\n    return [{'seed': int(first)}]\n")
    command("wgan_gp.py:ring", f"--sweep={folder}/seeds.py:7", "--workdir=sweep", steps=10)
    assert '"seed": 7' in pathlib.Path("sweep/000/config.json").read_text()


@pytest.mark.parametrize("name", ["a[1]", "a*", "a?b", NO_UTF8])
def test_folders_in_which_tfds_finds_nothing_are_refused(name, fakes, tmp_path, monkeypatch):
    """With brackets a set was prepared again and again; for a* one that lay in another folder was read."""
    folder = str(tmp_path / name)
    with pytest.raises(UserError, match="rename that folder, or give another --dir"):
        prepare.prepare("mnist", str(fakes[0]), folder)
    with pytest.raises(UserError, match=r"rename that folder, or give another data\.dir"):
        images.open_images("mnist", folder, 0, "train")
    assert not os.path.exists(folder)
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", folder)
    with pytest.raises(UserError, match="give another TFDS_DATA_DIR"):
        images.open_images("mnist", "", 0, "train")


@pytest.mark.parametrize("name", ["a{b}:\\\n", "~a"])
def test_a_tfds_folder_of_an_odd_name(name, fakes, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "CHECKSUMS", fakes[1])
    monkeypatch.chdir(tmp_path)
    prepare.prepare("mnist", str(fakes[0]), name)
    assert images.open_images("mnist", name, 0, "test").count == 8


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_is_said_fits_any_encoding(encoding, tmp_path, monkeypatch):
    with open(tmp_path / "out", "w", encoding=encoding) as file:
        monkeypatch.setattr("sys.stdout", file)
        names.say(f"wrote {NO_UTF8}", "日本\x1b[2J")
    expected = "日本" if encoding == "utf-8" else r"\u65e5\u672c"
    assert (tmp_path / "out").read_bytes().decode(encoding) == f"wrote caf\\udce9\n{expected}\\x1b[2J\n"
