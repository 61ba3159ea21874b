"""What docs/security.md says of files that others made: nothing in them is run, what they unpack to is bounded."""

import ast
import functools
import gzip
import hashlib
import io
import os
import pathlib
import pickle
import re
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from gan_jax.comparing import comparison
from gan_jax.config import default_config, flat
from gan_jax.data import fitting, prepare
from gan_jax.data.images import open_images, read_images
from gan_jax.errors import UserError, shown
from gan_jax.features import archive, cache, classifier, extraction, inception
from gan_jax.files import atomic
from gan_jax.reports import page, scalars, tracking
from gan_jax.runs import workdir

PACKAGE = pathlib.Path(__file__).parents[1] / "gan_jax"
NOT_IMPORTED = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "yaml", "torch"}
NOT_CALLED = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "yaml.load", "jsonpickle",
              "pickle.load", "pickle.loads", "pandas.read_pickle", "np.fromfile"}  # fmt: skip
NOT_NAMED = {"extractall", "unpack_archive", "allow_pickle", "subprocess", "read_pickle"}


@functools.cache
def syntax():
    """(file, node) of all that the package's code is made of."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return [(path.relative_to(PACKAGE), node) for path in paths for node in ast.walk(ast.parse(path.read_text()))]


@functools.cache
def calls():
    """(file, name of the function, the call)."""
    return [(str(path), ast.unparse(node.func), node) for path, node in syntax() if isinstance(node, ast.Call)]


def imported(node):
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    return {node.module.split(".")[0]} if isinstance(node, ast.ImportFrom) and node.module else set()


@pytest.mark.slow
def test_nothing_is_imported_that_unpickles():
    assert [(str(path), found) for path, node in syntax() if (found := imported(node) & NOT_IMPORTED)] == []


def test_nothing_is_called_that_runs_a_text_or_unpacks_without_bounds():
    found = [(path, name) for path, name, _ in calls()]
    assert [call for call in found if call[1] in NOT_CALLED or call[1].split(".")[-1] in NOT_NAMED] == []


def test_where_pickles_might_be_allowed_they_are_not():
    given = [keyword for _, _, call in calls() for keyword in call.keywords]
    allowed = [ast.unparse(keyword.value) for keyword in given if keyword.arg == "allow_pickle"]
    assert allowed
    assert set(allowed) == {"False"}


def test_numpy_loads_arrays_in_one_place_alone():
    """Which bounds them."""
    loads = [str(path) for path, node in syntax() if isinstance(node, ast.Attribute) and node.attr == "read_array"]
    assert loads == ["files/atomic.py"]
    assert not {"np.load", "numpy.load", "np.genfromtxt", "np.loadtxt", "jnp.load"} & {name for _, name, _ in calls()}


def test_images_are_opened_where_their_formats_are_named():
    found = [(path, call) for path, name, call in calls() if name == "Image.open"]
    assert len(found) == 3
    for path, call in found:
        assert "formats" in [keyword.arg for keyword in call.keywords], path


def test_json_is_parsed_where_it_is_bounded():
    """In the evaluation of a checkpoint of before, orbax wrote NaN, which `atomic.read_json` refuses."""
    parsers = {path for path, name, _ in calls() if name in ("json.loads", "json.load")}
    assert parsers == {"files/atomic.py", "runs/scores.py"}


# ------------------------------------------------------------------------------------------------------- pickles


class Trap:
    """A pickle of it makes a folder where it is opened."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trap():
    """An .npz file of pickled arrays, under all names that any reader asks for."""
    array = np.array([Trap()], object)
    names = ["images", "features", "logits", "version", "name", "kernel_0", "bias_0"]
    np.savez("trap.npz", **dict.fromkeys(names, array))
    return pathlib.Path("trap.npz")


def test_the_trap_springs_where_pickles_are_allowed(trap):
    with np.load(trap, allow_pickle=True) as file:
        assert file["images"].shape == (1,)
    assert pathlib.Path("sprung").is_dir()


def test_no_reader_of_arrays_opens_a_pickle(trap, monkeypatch):
    monkeypatch.setenv("GAN_JAX_CACHE", str(pathlib.Path("cache").absolute()))
    with pytest.raises(ValueError, match="holds a pickle, which is not opened"):
        atomic.read_arrays(trap)
    assert classifier.load(trap, "digits", (8, 8, 1)) is None
    kept = cache.folder() / "inception" / "7ff4a85c3a6378f0.npz"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(trap.read_bytes())
    with pytest.raises(UserError, match="holds something else"):
        inception.load()
    with pytest.raises(UserError, match="none of the published weights"):
        inception.load(str(trap))
    with pytest.raises(UserError, match=r"begins like neither|data\.pkl"):
        archive.read_tensors(trap)
    assert not pathlib.Path("sprung").exists()


def test_features_in_the_cache_that_are_a_pickle_are_computed_anew(trap, monkeypatch):
    monkeypatch.setenv("GAN_JAX_CACHE", str(pathlib.Path("cache").absolute()))
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
    network = extraction.Network(
        "sums", lambda x: (x.reshape(len(x), -1).sum(axis=1, keepdims=True), None), False, True
    )
    path = extraction.part_path(network, images)
    path.parent.mkdir(parents=True)
    path.write_bytes(trap.read_bytes())
    found = extraction.extract(network, lambda i, j: images[i:j], 3).features
    assert found[:, 0].tolist() == [6, 22, 38]
    assert not pathlib.Path("sprung").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_in_the_place_of_weights_is_not_run(protocol):
    with zipfile.ZipFile("w.pt", "w") as packed:
        packed.writestr("w/data.pkl", pickle.dumps({"a": Trap()}, protocol))
    pathlib.Path("legacy.pt").write_bytes(archive._LEGACY + pickle.dumps({"a": Trap()}, protocol))
    for path in ("w.pt", "legacy.pt"):
        with pytest.raises(UserError, match="cannot be read as PyTorch weights"):
            archive.read_tensors(path)
    assert not pathlib.Path("sprung").exists()


# --------------------------------------------------------------------------------------------------------- bounds


def test_what_is_large_may_be_read_and_what_is_larger_than_its_file_explains_may_not(monkeypatch):
    """Features and weights of an FID are far below the first bound; images, which pack little, below the second."""
    assert atomic.MOST_UNPACKED > 50_000 * 2048 * 4
    monkeypatch.setattr(atomic, "MOST_UNPACKED", 10_000)
    rng = np.random.default_rng(0)
    arrays = {"images": rng.integers(0, 4, (100, 32, 32, 3), np.uint8), "zeros": np.zeros(100)}
    atomic.write_arrays("a.npz", arrays, compressed=True)
    found = atomic.read_arrays("a.npz")
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    atomic.write_arrays("b.npz", {"zeros": np.zeros(10**6)}, compressed=True)
    with pytest.raises(ValueError, match=r"8,000,128 bytes when unpacked, out of \d,\d\d\d"):
        atomic.read_arrays("b.npz")


def test_arrays_of_any_kind_are_what_numpy_reads():
    arrays = {"a": np.arange(6).reshape(2, 3), "f": np.asfortranarray(np.eye(3)), "s": np.array("words"),
              "0": np.float32(3), "e": np.zeros((0, 2)), "b": np.array([True])}  # fmt: skip
    np.savez("a.npz", **arrays)
    with np.load("a.npz", allow_pickle=False) as file:
        expected = dict(file)
    found = atomic.read_arrays("a.npz")
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)


@pytest.mark.parametrize("pixels", [(9460, 9460), (13_000, 13_000)])
def test_a_picture_beyond_the_bound_is_refused_and_not_warned_of(pixels):
    """Run by itself: in tests, every warning is an error. Its 89 million pixels take 100 kB as a file."""
    Image.new("1", pixels).save("large.png")
    code = (
        "import io, pathlib\nfrom gan_jax.data import fitting\nfrom gan_jax.errors import UserError\n"
        "try:\n    fitting.opened(io.BytesIO(pathlib.Path('large.png').read_bytes()), 'image 3 of a set')\n"
        "except UserError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert "image 3 of a set is not a readable image (Image size" in done.stdout
    assert page.thumbnail("large.png") == ""


def test_the_bound_of_a_picture_is_that_of_pillow():
    assert Image.MAX_IMAGE_PIXELS == 89_478_485


def test_postscript_is_no_picture_whatever_it_is_called():
    Image.new("RGB", (8, 8)).save("a.eps")
    os.rename("a.eps", "a.png")
    with pytest.raises(UserError, match=r"a\.png is not a readable image"):
        fitting.opened("a.png", "a.png")
    assert page.thumbnail("a.png") == ""


def test_images_may_be_links_and_loops_are_not_followed(tmp_path):
    (tmp_path / "images/a").mkdir(parents=True)
    (tmp_path / "store").mkdir()
    Image.new("L", (4, 4), 7).save(tmp_path / "store/1.png")
    (tmp_path / "images/a/1.png").symlink_to(tmp_path / "store/1.png")
    (tmp_path / "images/a/up").symlink_to("..")
    images = open_images("folder", str(tmp_path / "images"), 0, "train")
    pixels, labels = read_images(images, np.arange(len(images)))
    assert (pixels[:, 0, 0, 0].tolist(), labels.tolist()) == ([7], [0])


def cifar_archive(content, kind=tarfile.REGTYPE):
    """cifar10's archive with that content in each of its files."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as packed:
        for name in prepare.CHECKSUMS["cifar10"]:
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.type, member.linkname, member.size = kind, "/etc/passwd", len(content)
            packed.addfile(member, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: cifar_archive(bytes(300_000)), "more than 1,000,000 bytes when unpacked"),
        (lambda: cifar_archive(b"", tarfile.SYMTYPE), "is not the published file of cifar10"),
        (lambda: cifar_archive(b"", tarfile.LNKTYPE), "is not the published file of cifar10"),
        (lambda: cifar_archive(b"", tarfile.DIRTYPE), "is not the published file of cifar10"),
        (lambda: gzip.compress(b"x" * 2000), "is not the published archive"),
        (lambda: b"x" * 2_000_000, "has more than 1,000,000 bytes"),
    ],
)
def test_originals_that_are_not_the_published_ones_are_not_unpacked(monkeypatch, capsys, make, words):
    monkeypatch.setattr(prepare, "LARGEST", 10**6)
    pathlib.Path("cifar-10-binary.tar.gz").write_bytes(make())
    assert prepare.main(["cifar10", "--originals=.", "--dir=tfds"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert os.listdir() == ["cifar-10-binary.tar.gz"]


def test_originals_are_compared_before_they_are_unpacked(monkeypatch, capsys):
    """What gzip makes of them is then known too."""
    bomb = gzip.compress(bytes(10**7))
    for name in prepare.CHECKSUMS["mnist"]:
        pathlib.Path(name).write_bytes(bomb)
    monkeypatch.setattr(gzip, "decompress", lambda content: pytest.fail("it was unpacked"))
    assert prepare.main(["mnist", "--originals=.", "--dir=tfds"]) == 2
    assert "is not the published file" in capsys.readouterr().err
    assert hashlib.sha256(bomb).hexdigest() not in prepare.CHECKSUMS["mnist"].values()


# ---------------------------------------------------------------------------------------------- what is shown


def test_a_line_holds_no_control_characters_and_has_an_end():
    text = shown("a\nb\r\x1b]0;title\x07 \u202e é " + "x" * 10**6 + " end")
    assert text.startswith(r"a\nb\r\x1b]0;title\x07 \u202e é xxx")
    assert text.endswith("x end")
    assert len(text) < 4000
    assert text.isprintable()
    assert len(shown("\x00" * 10**6)) < 4000


@pytest.mark.parametrize("value", ["1" * 20, "-" + "1" * 20, "NaN", "Infinity", "[" * 10**5, '{"a":' * 10**5])
def test_json_that_python_takes_and_others_do_not(value):
    with pytest.raises(ValueError, match=r"64 bits|no number|nested"):
        atomic.parse_json(value.encode())


def test_json_that_is_too_long(monkeypatch):
    monkeypatch.setattr(atomic, "MOST_JSON", 100)
    pathlib.Path("a.json").write_text('"' + "x" * 200 + '"')
    with pytest.raises(ValueError, match="more than 100 bytes"):
        atomic.read_json("a.json")


def test_lines_are_not_added_to_what_a_link_leads_to():
    pathlib.Path("elsewhere").write_text('{"step": 1}')
    pathlib.Path("metrics.jsonl").symlink_to("elsewhere")
    with pytest.raises(UserError, match="is a link"):
        scalars.append("metrics.jsonl", {"step": 2})
    assert pathlib.Path("elsewhere").read_text() == '{"step": 1}'


def test_a_file_that_is_written_takes_the_place_of_a_link():
    pathlib.Path("elsewhere").write_text("theirs")
    pathlib.Path("config.json").symlink_to("elsewhere")
    atomic.write("config.json", b"ours")
    assert (pathlib.Path("elsewhere").read_text(), pathlib.Path("config.json").read_text()) == ("theirs", "ours")


@pytest.mark.parametrize(
    "name", ["../../x", "/etc", "huggingface:mnist", "mnist/data_dir=x", "mnist/..", "Mnist", "a b", ""]
)
def test_the_name_of_a_set_is_no_path_and_no_place_to_fetch_code_from(name):
    with pytest.raises(UserError, match="no name of a set"):
        open_images(name, "", 0, "train")


MARKUP = "<script>alert(1)<!--&</script>"


def test_the_page_shows_markup_as_it_is():
    """In the names of folders, in configurations and in records."""
    for number, end in enumerate("ab"):
        folder = pathlib.Path("runs", MARKUP.replace("/", "_") + end)
        workdir.store(folder, flat(default_config("ring")) | {"loss": MARKUP + end, MARKUP: MARKUP + end}, [])
        scalars.append(folder / "metrics.jsonl", {"step": 10, "critic_loss": number})
        record = {"step": 10, MARKUP: number, "protocol": {MARKUP: MARKUP + end}}
        scalars.append(folder / "evaluation.jsonl", record)
    page.write("page.html", comparison.compare([pathlib.Path("runs")], None, True))
    text = pathlib.Path("page.html").read_text()
    template = (PACKAGE / "reports/page.html").read_text()
    for mark in ("<script", "</script", "<!--"):
        assert text.count(mark) == template.count(mark)
    assert r"\u003cscript\u003ealert(1)" in text
    script = template[template.index("<script") :]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|DOMParser", script)


@pytest.mark.parametrize("content", [b"../../x", b"a/b", b"", b"x" * 200, b"a\nb", b"\xff\xfe", b".."])
def test_an_id_for_wandb_is_no_path(content):
    pathlib.Path("wandb_id").write_bytes(content)
    with pytest.raises(UserError, match="holds no id of a run"):
        tracking.stored_id(".")


def test_an_id_that_wandb_made_is_taken():
    for run_id in ("3f2a9c1b", "sweep-agent_1.2"):
        pathlib.Path("wandb_id").write_text(run_id)
        assert tracking.stored_id(".") == run_id
