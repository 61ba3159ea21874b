"""Terms beside the adversarial loss, against NumPy's and PyTorch's, value and gradient."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.objectives import critic_terms, generator_terms, terms_in
from gan_jax.training.hyperparameters import MODULES
from tests import shipped

REAL, FAKE = (np.random.default_rng(seed).normal(scale=3, size=16).astype(np.float32) for seed in (0, 1))
KEY = jax.random.key(3)
TERMS = [(player, name) for player, module in MODULES.items() for name in terms_in(module)]


def on_logits(function, *others):
    """(value, gradients by the logits of reals, of fakes) of a function of both, in float64 by PyTorch."""
    torch = pytest.importorskip("torch")
    real, fake = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (REAL, FAKE))
    value = function(torch, real, fake, *others)
    gradients = torch.autograd.grad(value, (real, fake), allow_unused=True)
    return float(value.detach()), [np.zeros(16) if g is None else g.numpy() for g in gradients]


def assert_is(ours, theirs):
    """(value, gradients), to 1e-5."""
    (value, gradients), (expected, slopes) = ours, theirs
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for gradient, slope in zip(gradients, slopes, strict=True):
        np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-6)


def test_drift_is_the_mean_square_of_the_logits_of_reals():
    ours = jax.value_and_grad(lambda real, fake: critic_terms.drift(real), (0, 1))(REAL, FAKE)
    assert_is(ours, on_logits(lambda torch, real, fake: (real**2).mean()))


def test_logit_centring_is_of_pairs_and_not_of_the_means():
    ours = jax.value_and_grad(critic_terms.logit_centring, (0, 1))(REAL, FAKE)
    assert_is(ours, on_logits(lambda torch, real, fake: ((real + fake) ** 2).mean()))
    assert float(ours[0]) > (REAL + FAKE).mean() ** 2 + 1


def test_lecam_pulls_towards_the_averages_of_the_other_side():
    """Over three updates, of which the averages know all; no gradient flows through them."""
    memory, sums, weight = (0.0, 0.0, 0.0), np.zeros(2), 0.0
    for shift in (0.0, 2.0, -1.0):
        real, fake = REAL + np.float32(shift), FAKE - np.float32(shift)
        sums = 0.99 * sums + 0.01 * np.array([real.mean(), fake.mean()])
        weight = 0.99 * weight + 0.01
        a_real, a_fake = sums / weight

        def expected(torch, real, fake, shift=shift, a_real=a_real, a_fake=a_fake):
            of_reals = torch.relu(real + shift - a_fake) ** 2
            return of_reals.mean() + (torch.relu(a_real - (fake - shift)) ** 2).mean()

        def term(real, fake, shift=shift, memory=memory):
            return critic_terms.lecam(real + shift, fake - shift, memory)

        (value, memory), gradients = jax.value_and_grad(term, (0, 1), has_aux=True)(REAL, FAKE)
        assert_is((value, gradients), on_logits(expected))
    np.testing.assert_allclose(memory, [*sums, weight], rtol=1e-4)


def test_lecam_begins_with_the_first_means_themselves():
    value, _ = critic_terms.lecam(jnp.full(4, 2.0), jnp.full(4, -1.0))
    assert float(value) == pytest.approx((2 + 1) ** 2 + (2 + 1) ** 2)


def kernels(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"Conv_0": (3, 3, 2, 5), "Dense_0": (6, 4)}
    return {
        **{name: {"kernel": rng.normal(size=shape).astype(np.float32)} for name, shape in shapes.items()},
        "Norm_0": {"scale": rng.normal(size=(10, 4)).astype(np.float32)},  # a table of a conditional norm
        "head": {"table": {"kernel": rng.normal(size=(10, 4)).astype(np.float32)}},
    }


@pytest.mark.parametrize("module", [critic_terms, generator_terms])
def test_orthogonal_takes_what_rows_have_in_common_and_leaves_embeddings_out(module):
    """Its gradient at weight 1e-4 is that of the authors' code: 1e-4 * 2 (W W^T (1 - I)) W."""
    params, expected = kernels(), 0.0
    value, gradients = jax.value_and_grad(module.orthogonal)(params)
    for name in ("Conv_0", "Dense_0"):
        w = params[name]["kernel"].astype(float)
        rows = w.reshape(-1, w.shape[-1]).T
        products = rows @ rows.T * (1 - np.eye(len(rows)))
        expected += (products**2).sum() / 2
        by_rows = 2 * products @ rows
        np.testing.assert_allclose(gradients[name]["kernel"], by_rows.T.reshape(w.shape), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for left_out in (gradients["Norm_0"], gradients["head"]):
        assert not np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(left_out)]).any()


def test_orthogonal_rows_of_any_length_cost_nothing():
    rows = np.diag([1.0, 3.0, 0.5]).astype(np.float32)
    assert float(critic_terms.orthogonal({"Dense_0": {"kernel": rows}})) == 0


@pytest.mark.parametrize("layers", [(), (3,)])
def test_path_length_of_a_linear_generator(layers):
    """images = w A: J^T y = A y, and with several layers the mean of its squares over them; every other w counts."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    a = rng.normal(size=(*layers, 5, 4 * 4 * 2)).astype(np.float32)
    w = rng.normal(size=(6, *layers, 5)).astype(np.float32)
    curve = np.float32(0.3)

    def images_of(a, w, stride=1):
        flat = jnp.tensordot(w + curve * w**2, a, w.ndim - 1)
        return flat.reshape(len(w), 4, 4, 2)

    def term(a):
        return generator_terms.path_length(functools.partial(images_of, a), w, KEY, 0.5)

    (value, mean), gradient = jax.value_and_grad(term, has_aux=True)(a)

    matrix, some = torch.tensor(a, dtype=torch.float64, requires_grad=True), torch.tensor(w[::2], dtype=torch.float64)
    some.requires_grad_()
    noise = torch.tensor(np.asarray(jax.random.normal(KEY, (3, 4, 4, 2))) / 4, dtype=torch.float64)
    images = torch.tensordot(some + float(curve) * some**2, matrix, w.ndim - 1)
    (slopes,) = torch.autograd.grad((images * noise.reshape(3, -1)).sum(), some, create_graph=True)
    lengths = slopes.square().sum(-1).reshape(3, -1).mean(1).sqrt()
    expected_mean = 0.5 + 0.01 * (lengths.mean() - 0.5)
    expected = ((lengths - expected_mean) ** 2).mean()
    (slope,) = torch.autograd.grad(expected, matrix)
    np.testing.assert_allclose(value, float(expected.detach()), rtol=1e-5)
    np.testing.assert_allclose(mean, float(expected_mean.detach()), rtol=1e-5)
    np.testing.assert_allclose(gradient, slope.numpy(), rtol=1e-4, atol=1e-6)


def test_path_length_of_a_generator_that_ignores_w_is_finite():
    """Its lengths are 0, where the derivative of a bare root is infinite."""

    def term(scale):

        def images_of(w, stride):
            return jnp.tanh(scale * w.sum(1))[:, None, None, None] * jnp.ones((1, 4, 4, 1))

        return generator_terms.path_length(images_of, jnp.ones((4, 3)), KEY)[0]

    value, slope = jax.value_and_grad(term)(0.0)
    assert float(value) == 0
    assert np.isfinite(slope)


# ------------------------------------------------------------------------------- of all, shipped or a user's own


def made(player, name):
    """The term as a function of arrays alone: one scale for logits, parameters and w, which gradients are taken by."""
    function = getattr(MODULES[player], name)
    weights = jnp.asarray(np.random.default_rng(5).normal(size=(5, 4)), jnp.float32)

    def term(scale):
        given = {
            "real_logits": scale * REAL, "fake_logits": scale * FAKE, "fake": scale * jnp.asarray(FAKE.reshape(4, 4)),
            "params": {"Dense_0": {"kernel": scale * weights}}, "w": jnp.asarray(REAL.reshape(4, 4)), "key": KEY,
            "images_of": lambda w, stride=1: jnp.tanh(scale * w @ weights.T)[:, None, None, :],
        }  # fmt: skip
        found = function(**{name: given[name] for name in inspect.signature(function).parameters if name in given})
        return found[0] if isinstance(found, tuple) else found

    return term


@pytest.mark.parametrize(("player", "name"), TERMS)
def test_a_term_is_a_finite_number_and_its_gradient_is_its_slope(player, name):
    term = made(player, name)
    value, gradient = jax.value_and_grad(term)(jnp.float32(0.7))
    assert value.shape == ()
    assert value.dtype == jnp.float32
    if "memory" not in inspect.signature(getattr(MODULES[player], name)).parameters:  # through which no gradient flows
        beside = [float(term(jnp.float32(0.7 + step))) for step in (1e-2, -1e-2)]
        assert float(gradient) == pytest.approx((beside[0] - beside[1]) / 2e-2, rel=1e-2, abs=1e-3)
    for scale in (0.0, 100.0):
        assert np.isfinite(jax.value_and_grad(term)(jnp.float32(scale))).all()


# The terms whose formula has a test above.
TESTED = ("critic.drift", "critic.logit_centring", "critic.lecam", "critic.orthogonal", "generator.orthogonal",
          "generator.path_length")  # fmt: skip


@pytest.mark.parametrize(("player", "name"), TERMS)
def test_a_term_has_a_test_of_its_own_here_and_its_source(player, name):
    term = f"{player}.{name}"
    shipped.needs_row(term, shipped.TERMS, TESTED, "TESTED of tests/objectives/test_terms.py", "a test of its formula")
    if term in shipped.TERMS:
        assert "arXiv:" in getattr(MODULES[player], name).__doc__
