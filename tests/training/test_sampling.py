import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import default_config
from gan_jax.networks import mlp
from gan_jax.training import sampling
from gan_jax.training.conditional import Inputs
from gan_jax.training.game import build_networks
from gan_jax.training.state import create_state


@pytest.fixture(scope="module")
def averaged():
    """(generator, state) whose average is far from the trained parameters, and whose running statistics fit neither."""
    config = default_config("ring")
    fields = {"network.width": 6, "network.depth": 2, "network.latent_dim": 3, "network.generator_norm": "batch"}
    config.update_from_flattened_dict(fields)
    state = create_state(config, (2,))
    state = state.replace(ema=jax.tree.map(lambda leaf: 3 * leaf + 1, state.ema))
    return build_networks(config, (2,))[0], state


def test_latents_are_standard_normal():
    latents = np.asarray(sampling.latents(create_state(default_config("ring"), (2,)), 2000, 5))
    assert latents.shape == (2000, 5)
    np.testing.assert_allclose(latents.mean(0), 0, atol=0.1)
    np.testing.assert_allclose(np.cov(latents.T), np.eye(5), atol=0.12)


@pytest.mark.slow
def test_a_latent_is_a_function_of_key_seed_and_row(averaged):
    """To the last bit but one: the end of a vectorised loop rounds in its own way."""
    _, state = averaged
    many = sampling.latents(state, 100, 3, seed=1)
    np.testing.assert_allclose(sampling.latents(state, 7, 3, seed=1), many[:7], rtol=1e-6)
    np.testing.assert_allclose(sampling.latents(state.replace(step=state.step + 5), 7, 3, seed=1), many[:7], rtol=1e-6)
    assert not np.isin(sampling.latents(state, 100, 3, seed=0), many).any()
    assert not np.isin(sampling.latents(state.replace(key=jax.random.key(9)), 100, 3, seed=1), many).any()


@pytest.mark.slow
def test_batch_statistics_fit_the_averaged_generator(averaged):
    """Else samples in evaluation look like noise: normalised layers have mean 0 and deviation 1 over fresh latents."""
    generator, state = averaged
    variables = sampling.averaged_variables(generator, state, Inputs(3))
    jax.tree.map(np.testing.assert_array_equal, variables["params"], state.ema)
    latents = np.random.default_rng(0).normal(size=(20_000, 3))
    _, seen = generator.apply(variables, latents, train=False, capture_intermediates=True, mutable=["intermediates"])
    for layer in range(2):
        (normed,) = seen["intermediates"][f"Norm_{layer}"]["__call__"]
        scale, shift = (state.ema[f"Norm_{layer}"]["BatchNorm_0"][name] for name in ("scale", "bias"))
        np.testing.assert_allclose(normed.mean(0), shift, atol=0.15 * scale[0])
        np.testing.assert_allclose(normed.std(0), scale, rtol=0.1)


def test_batch_statistics_are_those_of_the_state_alone(averaged):
    generator, state = averaged
    first, again = (sampling.averaged_variables(generator, state, Inputs(3)) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, again)


@pytest.mark.parametrize("counts", [(), (3, 1), (0, 5)])
def test_batch_statistics_are_of_classes_as_often_as_they_were_trained_on(counts):
    """The mean of a first layer, x W + b, is that of its inputs: the last two are the shares of the classes."""
    config = default_config("ring")
    config.update_from_flattened_dict({"network.width": 6, "network.depth": 1, "network.latent_dim": 3})
    config.update_from_flattened_dict({"network.generator_norm": "batch", "conditional.name": "concatenation"})
    config.conditional.classes = 2
    state, takes = create_state(config, (2,)), Inputs(3, 2)
    variables = sampling.averaged_variables(build_networks(config, (2,))[0], state, takes, counts)
    latents = jax.random.normal(jax.random.fold_in(state.key, sampling.CALIBRATION), (1024, 3))
    shares = np.array(counts or (1, 1)) / sum(counts or (1, 1))
    dense = state.ema["Dense_0"]
    expected = np.concatenate([latents.mean(0), shares]) @ dense["kernel"] + dense.get("bias", 0)
    (found,) = (
        leaf for leaf in jax.tree.leaves(variables["batch_stats"]["Norm_0"]) if np.abs(leaf - expected).max() < 1
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("num", "counts", "expected"), [
    (400, (380, 20), [380, 20]),
    (10, (380, 20), [10, 0]),  # 9.5 and 0.5: the first of equal remainders
    (11, (380, 20), [10, 1]),  # 10.45 and 0.55
    (7, (1, 1, 1), [3, 2, 2]),
    (5, (), [2, 2, 1]),
    (6, (0, 4, 2), [0, 4, 2]),
])  # fmt: skip
def test_classes_come_in_proportion(num, counts, expected):
    labels = sampling.proportional_labels(Inputs(2, len(expected)), num, counts)
    assert np.bincount(labels, minlength=len(expected)).tolist() == expected
    if len({*counts}) < 2:
        assert labels.tolist() == [i % len(expected) for i in range(num)]
    elif min(expected) > 0:  # evenly mixed: any run of them is as the whole, but for one
        rare = int(np.argmin(expected))
        seen = np.cumsum(labels == rare)
        assert np.abs(seen - expected[rare] * np.arange(1, num + 1) / num).max() < 1


@pytest.mark.slow
@pytest.mark.parametrize("num", [1, 3, 4, 5, 11])
def test_the_last_smaller_chunk_counts(averaged, monkeypatch, num):
    generator, state = averaged
    monkeypatch.setattr(sampling, "CHUNK", 4)
    latents = np.random.default_rng(0).normal(size=(num, 3)).astype(np.float32)
    variables = sampling.averaged_variables(generator, state, Inputs(3))
    expected = [generator.apply(variables, latent[None], train=False)[0] for latent in latents]
    samples = sampling.samples(generator, state, Inputs(3), jnp.asarray(latents))
    assert (samples.shape, samples.dtype) == ((num, 2), np.float32)
    np.testing.assert_allclose(samples, expected, rtol=1e-4, atol=1e-5)


def test_images_are_mapped_to_uint8_by_a_fixed_map():
    """An image within [-0.5, 0.25] is not stretched by its own minimum and maximum; what is beyond 1 is clipped."""
    image = np.float32([-0.5, 0, 0.25, 0]).reshape(1, 2, 2, 1)
    assert sampling.presentable(image).ravel().tolist() == [64, 128, 159, 128]
    assert sampling.presentable(4 * image).ravel().tolist() == [0, 128, 255, 128]
    assert sampling.presentable(image).dtype == np.uint8
    np.testing.assert_array_equal(sampling.presentable(4 * image.reshape(2, 2)), 4 * image.reshape(2, 2))


@pytest.mark.slow
def test_samples_of_an_image_generator_are_uint8():
    config = default_config("digits")
    config.update_from_flattened_dict({"network.width": 4, "network.depth": 1, "network.latent_dim": 3})
    state = create_state(config, (8, 8, 1))
    samples = sampling.samples(mlp.Generator((8, 8, 1), 4, 1, "batch"), state, Inputs(3), jnp.ones((3, 3)))
    assert (samples.shape, samples.dtype) == ((3, 8, 8, 1), np.uint8)
    assert len(np.unique(samples)) > 10


def test_spherical_interpolation_turns_by_equal_angles_at_constant_length():
    start, end = np.random.default_rng(0).normal(size=(2, 6, 5))
    end *= np.linalg.norm(start, axis=1, keepdims=True) / np.linalg.norm(end, axis=1, keepdims=True)
    path = np.asarray(sampling.paths(Inputs(5), jnp.asarray(start), jnp.asarray(end), 9), float)
    assert path.shape == (6, 9, 5)
    np.testing.assert_allclose(path[:, 0], start, atol=1e-5)
    np.testing.assert_allclose(path[:, -1], end, atol=1e-5)
    lengths = np.linalg.norm(path, axis=2)
    np.testing.assert_allclose(lengths, lengths[:, :1] * np.ones(9), rtol=1e-5)
    angles = np.arccos(np.sum(path[:, 1:] * path[:, :-1], 2) / (lengths[:, 1:] * lengths[:, :-1]))
    np.testing.assert_allclose(angles, angles[:, :1] * np.ones(8), rtol=1e-3)


def test_spherical_interpolation_between_parallel_latents_is_finite():
    latent = jnp.asarray([[1.0, 2.0, -3.0]])
    np.testing.assert_allclose(
        sampling.paths(Inputs(3), latent, latent, 5), np.repeat(latent[:, None], 5, 1), rtol=1e-4
    )
    assert np.isfinite(sampling.paths(Inputs(3), latent, -latent, 5)).all()
