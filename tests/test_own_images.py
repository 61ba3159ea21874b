"""The whole program on a user's own folder: what it says of it, remembers, and compares."""

import pathlib

import jax
import numpy as np
import pytest
from PIL import Image

from gan_jax import main
from gan_jax.data import sources
from gan_jax.runs import trained

CONDITIONAL = {"conditional__name": "concatenation", "conditional__classes": 2, "network__name": "mlp",
               "eval_features": "pixels"}  # fmt: skip


def write(name, shade):
    path = pathlib.Path("shop", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(name)).integers(0, 40, (8, 8), dtype=np.uint8)
    Image.fromarray(shade + noise).save(path)


@pytest.fixture
def shop(command):
    """Thirty bags and six shoes, in the folder in which the command is given."""
    for number in range(30):
        write(f"bags/{number}.png", 20)
    for number in range(6):
        write(f"shoes/{number}.png", 200)


def train(command, *flags, **fields):
    command("gan.py:folder", "--workdir=run", *flags, data__dir="shop", **(CONDITIONAL | fields))


@pytest.mark.slow
def test_a_run_remembers_its_set_and_says_what_has_changed(shop, command, records, capsys):
    pathlib.Path("shop/notes.txt").write_text("text")
    train(command, steps=20)
    said = capsys.readouterr()
    line = (
        "folder shop, train: 36 images of 8 x 8 x 1; 2 classes: bags (30), shoes (6); left out: "
        "1 file that is no image (notes.txt)"
    )
    assert line in said.out.splitlines()
    (kept,) = records("run/data.jsonl")
    assert (kept["step"], kept["classes"], kept["counts"], len(kept["digest"])) == (0, ["bags", "shoes"], [30, 6], 64)
    train(command, "--mode=evaluate", steps=20)
    same = capsys.readouterr()
    assert line in same.out
    assert "warning" not in same.err
    write("shoes/new.png", 200)
    train(command, "--mode=evaluate", steps=20)
    warning = "37 images instead of 36; 7 of shoes instead of 6"
    assert f"gan_jax: warning: folder shop is not the set that run knows: {warning}" in capsys.readouterr().err
    first, second = (record["protocol"] for record in records("run/evaluation.jsonl"))
    assert (first["digest"], first["samples"]) == (kept["digest"][:12], 36)
    assert (second["digest"] != first["digest"], second["samples"]) == (True, 37)
    assert len(records("run/data.jsonl")) == 1  # as long as it isn't trained on
    train(command, steps=40)
    warning = f"warning: folder shop has changed since run was trained on it: {warning}"
    assert warning in capsys.readouterr().err
    assert [record["step"] for record in records("run/data.jsonl")] == [0, 20]
    train(command, steps=40)
    assert "warning" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_that_is_told_classes_goes_on_with_these_alone(shop, command, capsys):
    train(command, steps=20)
    pathlib.Path("shop/shoes").rename("shop/accessories")
    train(command, steps=40, code=2)
    error = capsys.readouterr().err
    assert "classes accessories, bags instead of bags, shoes; give that one, or another --workdir" in error
    train(command, "--mode=sample", "--num=4", steps=20)  # needs no data


@pytest.mark.slow
def test_images_of_another_size_are_another_set(shop, command, capsys):
    train(command, steps=20)
    for path in pathlib.Path("shop").rglob("*.png"):
        Image.new("L", (6, 6)).save(path)
    train(command, steps=40, code=2)
    assert "6 x 6 x 1 instead of 8 x 8 x 1; give that one, or another --workdir" in capsys.readouterr().err


@pytest.mark.slow
def test_classes_have_their_names_wherever_they_are_shown(shop, command, capsys, records):
    train(command, steps=20, eval_every=20, eval_metrics="frechet,intra_class")
    (record,) = records("run/evaluation.jsonl")
    assert (record["classes"], len(record["intra_class_frechets"])) == (["bags", "shoes"], 2)
    with Image.open("run/samples/step_0000020.png") as image:
        assert np.asarray(image.convert("L"))[:, :4].min() == 255  # a margin, with names in it
    capsys.readouterr()
    train(command, "--mode=sample", "--num=12", steps=20)
    with np.load("run/samples/samples.npz") as arrays:
        assert arrays["classes"].tolist() == ["bags", "shoes"]
        assert np.bincount(arrays["labels"]).tolist() == [10, 2]  # as it was trained
    train(command, "--mode=sample", "--num=4", "--label=shoes", "--overwrite", steps=20)
    assert "of class 1 (shoes)" in capsys.readouterr().out
    with np.load("run/samples/samples.npz") as arrays:
        assert arrays["labels"].tolist() == [1] * 4
    train(command, "--mode=sample", "--label=hats", "--overwrite", steps=20, code=2)
    assert "label='hats': give bags, shoes, or a whole number from 0 to 1" in capsys.readouterr().err
    train(command, "--mode=evaluate", "--metrics=frechet,intra_class", steps=20)
    assert "intra_class_frechets     bags " in capsys.readouterr().out
    train(command, "--mode=export", steps=20)
    assert "classes bags, shoes" in capsys.readouterr().out
    model = trained.load("run")
    assert (model.classes, model.counts, model.label("shoes"), model.label(0)) == (("bags", "shoes"), (30, 6), 1, 0)
    np.testing.assert_array_equal(model.sample(3, label="shoes"), model.sample(3, label=1))


@pytest.mark.slow
def test_a_name_that_is_a_number_is_a_name(shop, command):
    pathlib.Path("shop/bags").rename("shop/10")
    pathlib.Path("shop/shoes").rename("shop/1")
    train(command, steps=20)
    model = trained.load("run")
    assert (model.classes, model.label("1"), model.label(1), model.label("10")) == (("1", "10"), 0, 1, 1)


@pytest.mark.slow
def test_an_evaluation_says_nothing_of_what_was_trained_on(shop, command, records):
    """Of a run from before sets were remembered, say: evaluated against another set, it goes on with its own."""
    train(command, steps=20)
    pathlib.Path("run/data.jsonl").unlink()
    pathlib.Path("other/a").mkdir(parents=True)
    Image.new("L", (8, 8)).save("other/a/1.png")
    Image.new("L", (8, 8), 9).save("other/a/2.png")
    command("gan.py:folder", "--workdir=run", "--mode=evaluate", data__dir="other", steps=20, **CONDITIONAL)
    assert not pathlib.Path("run/data.jsonl").exists()
    train(command, steps=40)
    assert [record["classes"] for record in records("run/data.jsonl")] == [["bags", "shoes"]]


@pytest.mark.slow
def test_classes_are_alike_by_their_names(shop, command, records, capsys):
    """A generator of bags and shoes that is compared with hats and shoes: label 0 is another class there."""
    train(command, steps=20)
    pathlib.Path("shop/bags").rename("shop/hats")
    train(command, "--mode=evaluate", "--metrics=frechet", steps=20)
    assert records("run/evaluation.jsonl")[-1]["protocol"]["conditions"] == "as trained"
    train(command, "--mode=evaluate", "--metrics=frechet,intra_class", steps=20, code=2)
    assert "classes are bags, shoes of samples and hats, shoes of reals: give those alike" in capsys.readouterr().err


@pytest.mark.slow
def test_statistics_of_the_average_do_not_depend_on_how_it_is_evaluated(shop, command, records):
    train(command, steps=20)
    for flags in (["--conditions=even"], ["--config.eval_conditions=even"]):
        train(command, "--mode=evaluate", "--metrics=frechet", *flags, steps=20)
    first, second = records("run/evaluation.jsonl")
    assert first == second
    assert first["protocol"]["conditions"] == "even"


@pytest.mark.slow
def test_a_class_that_is_gone_is_named(shop, command, capsys):
    train(command, steps=20)
    for path in pathlib.Path("shop/shoes").iterdir():
        path.rename(pathlib.Path("shop/bags", f"shoe{path.name}"))
    train(command, steps=40, code=2)
    assert "classes none instead of bags, shoes; give that one" in capsys.readouterr().err


@pytest.mark.slow
def test_runs_of_one_set_compare_wherever_it_lies(shop, command, capsys):
    train(command, steps=20, eval_every=20)
    pathlib.Path("shop").rename("moved")
    command("gan.py:folder", "--workdir=again", data__dir="moved", seed=1, steps=20, eval_every=20, **CONDITIONAL)
    assert main.main(["gan_jax", "--mode=compare", "run", "again", "--out=page.html"]) == 0


@pytest.mark.slow
def test_other_classes_of_the_run_that_one_begins_from_are_said(shop, command, capsys):
    train(command, steps=20)
    pathlib.Path("shop/bags").rename("shop/hats")
    command("gan.py:folder", "--workdir=new", "--init_from=run", data__dir="shop", steps=20, **CONDITIONAL)
    assert "was told the classes bags, shoes, and these are hats, shoes" in capsys.readouterr().err


@pytest.mark.slow
def test_a_set_that_is_streamed_is_counted_where_classes_are_told(shop, command, records):
    train(command, steps=20, data__memory_mb=0.0)
    assert [record["counts"] for record in records("run/data.jsonl")] == [[30, 6]]
    assert trained.load("run").counts == (30, 6)
    with pytest.MonkeyPatch.context() as patch:  # which takes its time for a million images: once is enough
        patch.setattr(sources, "read_labels", lambda images: pytest.fail("the labels were read again"))
        train(command, steps=40, data__memory_mb=0.0)


@pytest.mark.slow
def test_the_metrics_command_asks_a_run_for_classes_as_the_reals_have_them(shop, command, capsys):
    from gan_jax.metrics import __main__ as metrics

    train(command, steps=20)
    flags = ["--metrics=frechet", "--features=pixels", "--num=18"]
    assert metrics.main(["run", "shop", *flags]) == 0
    assert "conditions as the reals" in capsys.readouterr().out


@pytest.mark.parametrize(("fields", "words"), [
    ({"data__background": "mauvish"}, "config.data.background='mauvish': give a colour, as white or #80ff00"),
    ({"data__background": "#80ff0080"}, "give a colour"),
    ({"data__reading": 3}, "from 1 to 2"),
    ({"eval_conditions": "odd"}, "as_reals, even"),
])  # fmt: skip
def test_fields_of_sets_are_checked(shop, command, capsys, fields, words):
    train(command, steps=20, code=2, **fields)
    assert words in capsys.readouterr().err
    assert not pathlib.Path("run").exists()


@pytest.mark.slow
def test_reals_of_evaluations_are_read_once(shop, command, records, monkeypatch):
    """So a folder that is unmounted while the run trains ends nothing."""
    from gan_jax.runs import outputs

    evaluate = outputs.evaluate

    def unmounted(*arguments):
        if pathlib.Path("shop").exists():
            pathlib.Path("shop").rename("elsewhere")
        return evaluate(*arguments)

    monkeypatch.setattr(outputs, "evaluate", unmounted)
    train(command, steps=40, eval_every=20)
    assert [record["protocol"]["reals"] for record in records("run/evaluation.jsonl")] == [36, 36]


@pytest.mark.slow
@pytest.mark.parametrize(
    "network", ["dcgan", *(pytest.param(name, marks=pytest.mark.hours) for name in ("resnet", "sn_cnn"))]
)
@pytest.mark.parametrize("sides", [(24, 16), pytest.param((64, 96), marks=pytest.mark.hours)])
def test_images_that_are_not_square_are_trained_on_sampled_evaluated_and_exported(command, records, network, sides):
    pathlib.Path("wide").mkdir()
    for number in range(16):
        noise = np.random.default_rng(number).integers(0, 255, (*sides, 3), dtype=np.uint8)
        Image.fromarray(noise).save(f"wide/{number}.png")
    fields = {"network__name": network, "network__width": 2, "data__dir": "wide", "steps": 2, "eval_features": "pixels",
              "checkpoint_every": 2, "sample_every": 2, "log_every": 2, "eval_samples": 16}  # fmt: skip
    for flags in ([], ["--mode=sample", "--num=3"], ["--mode=evaluate"], ["--mode=export"]):
        command("gan.py:folder", "--workdir=run", *flags, **fields)
    samples = np.load("run/samples/samples.npz")["images"]
    assert (samples.shape, samples.dtype) == ((3, *sides, 3), np.uint8)
    assert records("run/evaluation.jsonl")[-1]["protocol"]["samples"] == 16
    exported = jax.export.deserialize(bytearray(pathlib.Path("run/generator.jax_export").read_bytes()))
    assert exported.call(np.zeros((5, 4), np.float32)).shape == (5, *sides, 3)


@pytest.mark.slow
def test_what_is_advised_for_pictures_of_another_size_goes_through(command, capsys):
    pathlib.Path("wide").mkdir()
    for number in range(16):
        Image.new("RGB", (70, 50), (number, 0, 0)).save(f"wide/{number}.png")
    given = {"network__width": 2, "data__dir": "wide", "steps": 1, "log_every": 1, "checkpoint_every": 1}
    command("gan.py:folder", "--workdir=run", code=2, network__name="dcgan", **given)
    advice = "give --config.data.image_size=48, which crops to a square, or --config.network.name=mlp"
    assert capsys.readouterr().err.splitlines()[-1].endswith(advice)
    command("gan.py:folder", "--workdir=cropped", network__name="dcgan", data__image_size=48, **given)
    command("gan.py:folder", "--workdir=perceptron", network__name="mlp", **given)
