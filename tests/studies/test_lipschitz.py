import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gan_jax.networks import mlp
from gan_jax.studies import lipschitz

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def numbers():
    return lipschitz.measure(width=32, depth=2, steps=300, deep_width=64, deep_depth=5, deep_steps=200, samples=2000)


def test_fakes_are_the_data_with_noise_of_unit_variance_on_the_papers_scale():
    for name, radius in (("ring", np.sqrt(2)), ("grid", np.sqrt(2))):
        real, fake = (
            np.asarray(points, np.float64) for points in lipschitz.real_and_fake(name, jax.random.key(0), 20000)
        )
        assert np.abs(real).max() == pytest.approx(radius, abs=0.1)
        # Of centred data, the noise adds its variance to each axis.
        np.testing.assert_allclose(fake.var(axis=0), real.var(axis=0) + 1, rtol=0.05)
        # They are other points: of the same ones, real would be in both and fall out of the difference.
        np.testing.assert_allclose((fake - real).var(axis=0), 2 * real.var(axis=0) + 1, rtol=0.05)


def test_layer_gradients_are_products_of_the_layers():
    """Of a critic with positive weights on positive samples, all layers are linear: the gradient is their product."""
    network, samples = mlp.Critic(width=5, depth=2, norm="none"), jnp.ones((4, 2))
    params = jax.tree.map(jnp.abs, network.init(jax.random.key(1), samples, train=True)["params"])
    kernels = [np.asarray(params[f"Dense_{index}"]["kernel"], np.float64) for index in range(3)]
    expected = [np.linalg.norm(kernels[1] @ kernels[2]), np.linalg.norm(kernels[2]), 1.0]
    np.testing.assert_allclose(lipschitz.layer_gradients(network, params, samples), expected, rtol=1e-5)


def test_layer_gradients_pass_the_leaky_relus():
    """Where all that a layer adds up is negative, each nonlinearity takes four fifths of the gradient away."""
    network, samples = mlp.Critic(width=5, depth=2, norm="none"), jnp.ones((4, 2))
    params = jax.tree.map(jnp.abs, network.init(jax.random.key(1), samples, train=True)["params"])
    positive = lipschitz.layer_gradients(network, params, samples)
    np.testing.assert_allclose(
        lipschitz.layer_gradients(network, params, -samples), positive * [0.04, 0.2, 1], rtol=1e-5
    )


def test_clipped_weights_pile_up_at_the_ends(numbers):
    """They start spread evenly: of such, 1 % lie within 1 % of the ends."""
    shares = {name: deep["share_at_ends"] for name, deep in numbers["deep"].items()}
    assert shares["clip 0.1"] > 0.3
    assert shares["penalty"] < 0.01
    for name, deep in numbers["deep"].items():
        assert np.sum(deep["share_of_weights"]) == pytest.approx(1, rel=1e-3), name  # and none lies beyond them


def test_gradients_explode_or_vanish_under_clipping_and_stay_under_the_penalty(numbers):
    factor = {name: 10 ** deep["log10_per_layer_back"] for name, deep in numbers["deep"].items()}
    assert factor["clip 0.1"] > 1.3
    assert factor["clip 0.01"] < 0.5
    assert factor["clip 0.001"] < 0.05
    assert 0.7 < factor["penalty"] < 1.4
    for name, deep in numbers["deep"].items():
        assert deep["gradients"][-1] == pytest.approx(1), name
        assert len(deep["gradients"]) == 6


@pytest.mark.hours
def test_penalised_critics_find_most_of_the_distance_as_they_are_and_clipped_ones_do_not():
    """At the study's own size: after fewer steps the penalised critic of the grid is not there yet."""
    numbers = lipschitz.measure(deep_depth=1, deep_steps=1)
    for name, surface in numbers["surfaces"].items():
        share = {kind: surface[kind]["estimate"] / surface["w1"] for kind in ("clipped", "penalised")}
        assert 0 < share["clipped"] < 0.3, name
        assert 0.6 < share["penalised"] < 1.05, name
        assert surface["penalised"]["mean_gradient"] == pytest.approx(1, abs=0.3), name


def test_table_names_what_it_holds(numbers):
    table = lipschitz.table(numbers)
    for name in (
        "8 Gaussians, clipped",
        "25 Gaussians, penalised",
        "swiss roll",
        "clip 0.001",
        "penalty",
        "share of W1",
    ):
        assert name in table


def test_draws(tmp_path, numbers):
    lipschitz.draw(tmp_path / "lipschitz.png", numbers)
    with Image.open(tmp_path / "lipschitz.png") as image:
        assert 1000 < image.width < 2200
        assert 500 < image.height < 1200
