"""What a trained StyleGAN2 is asked for: truncation in w, mixed styles, interpolation in w, on the command line too."""

import pathlib

import numpy as np
import pytest
from jax import export
from PIL import Image

import gan_jax
from gan_jax.errors import UserError

STYLED = {
    "network__name": "stylegan2", "network__generator_norm": "none", "network__critic_norm": "none",
    "network__width": 2, "network__max_width": 4, "network__depth": 1, "network__latent_dim": 4,
    "network__minibatch_deviation": 4, "n_critic": 1, "penalty__name": "r1", "penalty__every": 4,
    "penalty__own_step": True, "generator__path_length__weight": 2.0, "generator__path_length__every": 2,
    "generator__path_length__own_step": True, "ema_half_life": 100.0, "conditional__name": "projection",
    "loss": "non_saturating", "penalty__weight": 1.0,
}  # fmt: skip


@pytest.mark.slow
def test_a_run_trains_resumes_and_shows_its_styles(command, goes_on_bit_for_bit, records, drawn_in_full, capsys):
    goes_on_bit_for_bit("ns_gan.py", **STYLED)
    last = records("whole/metrics.jsonl")[-1]
    assert last["penalty"] >= 0
    assert last["generator_path_length"] > 0
    model = gan_jax.load("whole")
    check_truncation(model)
    check_mixed(model)
    check_interpolation(model)
    for flags in (["--mix", "--cutoff=2"], ["--interpolate", "--space=w"], ["--num=8", "--psi=0.5", "--cutoff=1"]):
        command("ns_gan.py", "--workdir=whole", "--mode=sample", "--out=shown", *flags, steps=40, **STYLED)
    mixed = np.asarray(Image.open("shown/mixed.png"))
    assert mixed.shape[0] / mixed.shape[1] == pytest.approx(6 / 9, rel=0.1)
    shown = np.load("shown/samples.npz")["images"]
    np.testing.assert_array_equal(shown, model.truncated(0.5, 1).sample(8))
    command("ns_gan.py", "--workdir=whole", "--mode=export", "--psi=0.5", "--cutoff=1", steps=40, **STYLED)
    said = capsys.readouterr().out
    assert "samples.png, psi 0.5, cutoff 1" in said
    assert "generator.jax_export, psi 0.5, cutoff 1: float32" in said
    again = export.deserialize(bytearray(pathlib.Path("whole/generator.jax_export").read_bytes()))
    floats = np.asarray(again.call(model.inputs(8)))
    np.testing.assert_allclose(np.clip((floats + 1) * 127.5, 0, 255).round(), shown, atol=1)
    fields = STYLED | {"steps": 40}
    measure = ["--mode=evaluate", "--metrics=path", "--features=pixels", "--num=64"]
    command("ns_gan.py", "--workdir=whole", *measure, "--psi=0.5", **fields)
    command("ns_gan.py", "--workdir=whole", *measure, **fields)
    halved, full = records("whole/evaluation.jsonl")[-2:]
    assert halved["protocol"]["psi"] == 0.5
    assert "psi" not in full["protocol"]
    assert "64 straight lines in w" in halved["protocol"]["path"]
    assert 0 < halved["path_length"] < full["path_length"]


def check_truncation(model):
    inputs = model.inputs(64)
    w, layers = model.w(inputs), model.generator.layers
    assert w.shape == (64, layers, 4)
    halved, coarse = model.w(inputs, 0.5), model.truncated(0.5, 1).w(inputs)
    np.testing.assert_allclose(halved.std(0), w.std(0) / 2, rtol=1e-4)
    np.testing.assert_array_equal(coarse[:, 1:], w[:, 1:])
    np.testing.assert_array_equal(coarse[:, 0], halved[:, 0])
    at_mean = model.truncated(0.0).w(inputs)
    np.testing.assert_allclose(at_mean, np.broadcast_to(at_mean[:1, :1], at_mean.shape), rtol=1e-6)
    np.testing.assert_array_equal(model.truncated(0.5).generate(inputs), model.made_of(halved))
    np.testing.assert_array_equal(model.truncated(0.5).w(inputs, 1.0), w)
    np.testing.assert_array_equal(model.truncated(0.5).truncated(1.0).w(inputs), w)
    for wrong in (w[:0], w[:, :1], w[:, 0]):
        with pytest.raises(UserError, match=rf"give \[n, {layers}, 4\], such as"):
            model.made_of(wrong)
    with pytest.raises(UserError, match=r"inputs of shape \(3, 5\): give \[n, 14\]"):
        model.w(np.zeros((3, 5)))
    refused = {
        ("0.5",): "from -10 to 10",
        (float("nan"),): "from -10 to 10",
        (0.5, layers + 1): f"from 0 to {layers}",
        (1.0, 1): "cutoff=1 with psi=1, which leaves w as it is",
    }
    for given, words in refused.items():
        with pytest.raises(UserError, match=words):
            model.truncated(*given)


def check_mixed(model):
    """Coarse layers of the row, fine ones of the column; what was made of one sample alone is at the borders."""
    table = model.mix(2, 3, cutoff=1)
    assert table.shape == (3, 4, 8, 8, 1)
    inputs = model.inputs(5)
    w = model.w(inputs)
    np.testing.assert_array_equal(table[0, 0], 255)
    np.testing.assert_array_equal(table[1:, 0], alike(model, w[:2]))
    np.testing.assert_array_equal(table[0, 1:], alike(model, w[2:]))
    mixed = np.stack([np.concatenate([w[i, :1], w[2 + j, 1:]]) for i in (0, 1) for j in (0, 1, 2)])
    np.testing.assert_array_equal(table[1:, 1:].reshape(6, 8, 8, 1), alike(model, mixed))


def alike(model, w):
    """Each in the first place, which has the same noise."""
    return np.concatenate([model.made_of(one[None]) for one in w])


def check_interpolation(model):
    w = model.w(model.inputs(4))
    rows = model.interpolate(2, 3, space="w")
    np.testing.assert_allclose(rows[:, 0].astype(int), alike(model, w[:2]), atol=1)
    middle = np.stack([w[i] + 0.5 * (w[2 + i] - w[i]) for i in (0, 1)])
    np.testing.assert_allclose(rows[:, 1].astype(int), alike(model, middle), atol=1)
    with pytest.raises(UserError, match="space='v': give 'z' or 'w'"):
        model.interpolate(2, 3, space="v")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--mix", "--interpolate"], "--interpolate with --mix: each is a picture of its own; leave one of them out"),
        (["--mix", "--num=3"], "--num with --mix"),
        (["--mix", "--images"], "--images with --mix"),
        (["--space=w"], "--space=w without --interpolate: give that too, or leave it out"),
        (["--cutoff=2"], "--cutoff=2 without --psi or --mix: give one of them too, or leave it out"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(flags, words, command, capsys):
    command("ns_gan.py", "--workdir=run", "--mode=sample", *flags, code=2)
    assert words in capsys.readouterr().err
