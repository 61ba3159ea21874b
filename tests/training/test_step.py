"""The step against the same algorithms written as loops in NumPy and PyTorch, given the random numbers that it drew."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import default_config
from gan_jax.data.batches import Batch
from gan_jax.training import step as step_module
from gan_jax.training.state import create_state
from gan_jax.training.step import make_train_step


@pytest.fixture(scope="module", autouse=True)
def compiled_in_half_the_time():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def tiny(shape=(2,), **fields):
    config = default_config("ring" if shape == (2,) else "digits")
    small = {"network.width": 4, "network.depth": 2, "network.latent_dim": 3, "batch_size": 4, "n_critic": 2}
    config.update_from_flattened_dict(small | {name.replace("__", "."): value for name, value in fields.items()})
    return config


def batches(config, steps=1, shape=(2,)):
    rng = np.random.default_rng(0)
    for _ in range(steps):
        rows = (config.n_critic, config.batch_size)
        yield Batch(jnp.asarray(rng.uniform(-1, 1, (*rows, *shape)), jnp.float32), jnp.zeros(rows, jnp.int32))


def numpy(tree):
    return jax.tree.map(np.asarray, tree)


def assert_close(ours, theirs, tolerance=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), ours, theirs)


def minibatches(values):
    """[..., b, d] -> one [b, d] after the other."""
    return np.asarray(values).reshape(-1, *values.shape[-2:])


@pytest.fixture
def draws(monkeypatch):
    """All normal and uniform numbers that compiled code has drawn since, minibatch by minibatch, in its order."""
    drawn = {"normal": [], "uniform": []}

    def spied(kind, function):
        def spy(*args, **kwargs):
            value = function(*args, **kwargs)
            jax.debug.callback(lambda value: drawn[kind].extend(minibatches(value)), value, ordered=True)
            return value

        return spy

    for kind in drawn:
        monkeypatch.setattr(jax.random, kind, spied(kind, getattr(jax.random, kind)))
    return drawn


def run(config, shape=(2,), steps=2, drawn=None):
    """(states from the first on, batches, metrics of the last step)."""
    states, train_step = [create_state(config, shape)], jax.jit(make_train_step(config, shape))
    jax.effects_barrier()
    for values in (drawn or {}).values():
        values.clear()  # what the initialisation drew
    used = list(batches(config, steps, shape))
    for batch in used:
        state, metrics = train_step(states[-1], batch)
        states.append(state)
    jax.effects_barrier()
    return states, used, metrics


def test_wgan_is_algorithm_1_in_numpy(draws):
    """f(x) = w x + c and G(z) = z A + b: every gradient by hand, in float64.

    Only an algorithm with fresh reals and fresh latents for each update of the critic, fakes made inside the
    generator's loss, clipping after each update and PyTorch's RMSprop has this result.
    """
    lr, clip, decay = 0.02, 0.1, 0.15
    config = tiny(network__depth=0, n_critic=3, loss="wasserstein", weight_clip=clip, ema_decay=decay)
    config.update_from_flattened_dict({"optimizer.name": "rmsprop", "optimizer.generator_lr": lr})
    config.optimizer.critic_lr = 2 * lr
    states, used, metrics = run(config, steps=3, drawn=draws)
    latents = iter(draws["normal"])

    def rmsprop(params, squares, gradients, lr):
        for name, g in gradients.items():
            squares[name] = 0.99 * squares[name] + 0.01 * g**2
            params[name] = params[name] - lr * g / (np.sqrt(squares[name]) + 1e-8)

    generator, critic = (
        {name: value.astype(float) for name, value in numpy(net.params["Dense_0"]).items()}
        for net in (states[0].generator, states[0].critic)
    )
    ema = dict(generator)
    squares = dict.fromkeys(generator, 0), dict.fromkeys(critic, 0)
    for t, batch in enumerate(used):
        for real in np.asarray(batch.image, float):
            fake = next(latents) @ generator["kernel"] + generator["bias"]
            slope = (fake.mean(0) - real.mean(0))[:, None]
            estimate = -slope[:, 0] @ critic["kernel"][:, 0]
            rmsprop(critic, squares[1], {"kernel": slope, "bias": np.zeros(1)}, 2 * lr)
            critic = {name: np.clip(value, -clip, clip) for name, value in critic.items()}
        z, w = next(latents), critic["kernel"][:, 0]
        loss = -np.mean((z @ generator["kernel"] + generator["bias"]) @ w) - critic["bias"][0]
        rmsprop(generator, squares[0], {"kernel": -np.outer(z.mean(0), w), "bias": -w}, lr)
        d = min(decay, (1 + t) / (10 + t))
        ema = {name: d * ema[name] + (1 - d) * generator[name] for name in ema}
        ours = states[t + 1]
        assert_close(ours.critic.params["Dense_0"], critic)
        assert_close(ours.generator.params["Dense_0"], generator)
        assert_close(ours.ema["Dense_0"], ema)
    assert next(latents, None) is None
    assert metrics["wasserstein_estimate"] == pytest.approx(estimate, rel=1e-4)
    assert metrics["critic_loss"] == pytest.approx(-estimate, rel=1e-4)
    assert metrics["generator_loss"] == pytest.approx(loss, rel=1e-4)


def test_wgan_gp_is_pytorchs(draws):
    """Perceptrons, Adam, penalty, average: the same weights, reals, latents and interpolation weights."""
    torch = pytest.importorskip("torch")
    config = tiny(loss="wasserstein", penalty__name="gradient_penalty", penalty__weight=3.0, optimizer__b1=0.5)
    config.optimizer.generator_lr, config.optimizer.critic_lr = 1e-3, 2e-3
    states, used, metrics = run(config, drawn=draws)
    latents, weights = ((torch.tensor(value) for value in draws[kind]) for kind in ("normal", "uniform"))

    def network(params, activation):
        linears = []
        for name in sorted(params):
            kernel, bias = (torch.tensor(np.asarray(params[name][key])) for key in ("kernel", "bias"))
            linears += [torch.nn.Linear(*kernel.shape), activation]
            linears[-2].weight.data, linears[-2].bias.data = kernel.T.contiguous(), bias
        return torch.nn.Sequential(*linears[:-1])

    generator = network(states[0].generator.params, torch.nn.ReLU())
    critic = network(states[0].critic.params, torch.nn.LeakyReLU(0.2))
    optimizers = [
        torch.optim.Adam(net.parameters(), lr, betas=(0.5, 0.9)) for net, lr in ((generator, 1e-3), (critic, 2e-3))
    ]
    for batch, state in zip(used, states[1:], strict=True):
        for real in torch.tensor(np.asarray(batch.image)):
            fake, t = generator(next(latents)).detach(), next(weights)
            x_hat = (t * real + (1 - t) * fake).requires_grad_()
            (slopes,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
            penalty = ((slopes.norm(dim=1) - 1) ** 2).mean()
            loss = critic(fake).mean() - critic(real).mean() + 3 * penalty
            optimizers[1].zero_grad()
            loss.backward()
            optimizers[1].step()
        generator_loss = -critic(generator(next(latents))).mean()
        optimizers[0].zero_grad()
        generator_loss.backward()
        optimizers[0].step()
        for net, ours in ((generator, state.generator), (critic, state.critic)):
            for linear, name in zip(net[::2], sorted(ours.params), strict=True):
                assert_close(ours.params[name]["kernel"], linear.weight.detach().T.numpy())
                assert_close(ours.params[name]["bias"], linear.bias.detach().numpy())
    assert metrics["penalty"] == pytest.approx(penalty.item(), rel=1e-4)
    assert metrics["critic_loss"] == pytest.approx(loss.item(), rel=1e-4)
    assert metrics["generator_loss"] == pytest.approx(generator_loss.item(), rel=1e-4)


@pytest.mark.parametrize("penalty", ["none", "gradient_penalty"])
def test_only_the_critics_own_updates_change_its_statistics(draws, penalty):
    """Not the generator's step, not the penalty. Reals and fakes are two minibatches, in this order."""
    config = tiny(network__critic_norm="batch", optimizer__name="sgd", penalty__name=penalty)
    config.optimizer.generator_lr = config.optimizer.critic_lr = 0.0
    (before, after), (batch,), _ = run(config, steps=1, drawn=draws)
    generator, critic = numpy(before.generator.params), numpy(before.critic.params)

    def dense(layer, x):
        return x @ layer["kernel"] + layer.get("bias", 0)

    def fakes(latents):
        for layer in range(2):
            latents = np.maximum(dense(generator[f"Dense_{layer}"], latents), 0)
        return dense(generator["Dense_2"], latents)

    mean, variance = np.zeros(4), np.ones(4)
    for real, latents in zip(batch.image, draws["normal"], strict=False):
        for x in (real, fakes(latents)):
            hidden = dense(critic["Dense_0"], x)
            seen = dense(critic["Dense_1"], np.maximum(hidden, 0.2 * hidden))
            mean, variance = 0.9 * mean + 0.1 * seen.mean(0), 0.9 * variance + 0.1 * seen.var(0)
    running = numpy(after.critic.stats["batch_stats"]["Norm_1"]["BatchNorm_0"])
    assert_close(running, {"mean": mean, "var": variance})
    assert_close(numpy(after.critic.params), critic, tolerance=0)


def test_every_update_draws_fresh_numbers(draws):
    """Seen elsewhere: a key that never advances, so that five updates of the critic share their latents."""
    config = tiny(n_critic=3, loss="wasserstein", penalty__name="gradient_penalty")
    run(config, steps=2, drawn=draws)
    latents, weights = np.concatenate(draws["normal"]), np.concatenate(draws["uniform"])
    assert (latents.shape, weights.shape) == ((2 * (3 + 1) * 4, 3), (2 * 3 * 4, 1))
    assert len(np.unique(latents)) == latents.size
    assert len(np.unique(weights)) == weights.size


@pytest.fixture(scope="module")
def compiled():
    """(config, step, traces): a step of all parts, and a list that grows by one each time it is traced."""
    config = tiny(loss="wasserstein", penalty__name="gradient_penalty", weight_clip=0.05)
    config.optimizer.generator_lr = config.optimizer.critic_lr = 0.01
    pure, traces = make_train_step(config, (2,)), []

    def counted(state, batch):
        traces.append(None)
        return pure(state, batch)

    return config, jax.jit(counted), traces


def test_all_critic_parameters_are_clipped_at_the_end_of_every_step(compiled):
    config, step, _ = compiled
    state = create_state(config, (2,))
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(state.critic.params)) > 0.05
    for batch in batches(config, 3):
        state, _ = step(state, batch)
        assert all(np.abs(leaf).max() <= np.float32(0.05) for leaf in jax.tree.leaves(state.critic.params))


def test_a_run_resumed_from_stored_numbers_is_the_uninterrupted_run(compiled):
    """Nothing is carried but the state, and nothing in it but numbers."""
    config, step, _ = compiled
    three = list(batches(config, 3))
    state = middle = create_state(config, (2,))
    for t, batch in enumerate(three):
        middle = state if t == 1 else middle
        state, _ = step(state, batch)
    stored = numpy(middle.replace(key=jax.random.key_data(middle.key)))
    resumed = jax.tree.map(jnp.asarray, stored)
    resumed = resumed.replace(key=jax.random.wrap_key_data(resumed.key))
    for batch in three[1:]:
        resumed, _ = step(resumed, batch)
    jax.tree.map(np.testing.assert_array_equal, resumed.generator, state.generator)
    jax.tree.map(np.testing.assert_array_equal, resumed.critic, state.critic)
    jax.tree.map(np.testing.assert_array_equal, resumed.ema, state.ema)


@pytest.mark.parametrize("change", [{"step": jnp.int32(7)}, {"key": jax.random.key(7)}])
def test_randomness_is_a_function_of_key_and_step(compiled, change):
    config, step, _ = compiled
    state, (batch,) = create_state(config, (2,)), batches(config)
    same, other = step(state, batch)[1], step(state.replace(**change), batch)[1]
    assert step(state, batch)[1] == same
    assert other["fake_logits"] != same["fake_logits"]
    assert other["penalty"] != same["penalty"]


def test_hyperparameters_change_the_result_and_not_the_program(compiled):
    config, step, traces = compiled
    state, (batch,) = create_state(config, (2,)), batches(config)
    first, _ = step(state, batch)
    for name, value in state.hparams.items():
        other, _ = step(state.replace(hparams=state.hparams | {name: value * 0.5}), batch)
        # In the average's first update, the bound of (1 + 0) / (10 + 0) is the smaller decay.
        leaves = (first.critic, first.generator, first.ema), (other.critic, other.generator, other.ema)
        same = all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, leaves), strict=True))
        assert same == (name == "ema_decay"), name
    assert len(traces) == 1


def test_a_donated_state_trains_on():
    config = tiny()
    state, step = create_state(config, (2,)), jax.jit(make_train_step(config, (2,)), donate_argnums=0)
    for batch in batches(config, 2):
        state, metrics = step(state, batch)
    assert state.step == 2
    assert np.isfinite(metrics["generator_loss"])


def test_one_pass_over_reals_and_fakes_is_two_without_batch_norm(monkeypatch):
    config = tiny(network__critic_norm="layer")
    states, _, _ = run(config)
    monkeypatch.setattr(step_module, "mixes_samples", lambda norm: True)
    by_two, _, _ = run(config)
    assert_close(numpy(states[-1].critic), numpy(by_two[-1].critic), tolerance=1e-4)


@pytest.mark.parametrize(
    ("loss", "network", "norm", "penalty"),
    [  # every two of the four meet, but for batch norm with a penalty
        ("minimax", "mlp", "none", "gradient_penalty"),
        ("minimax", "mlp", "layer", "none"),
        ("minimax", "dcgan", "batch", "none"),
        ("non_saturating", "mlp", "batch", "none"),
        ("non_saturating", "dcgan", "none", "none"),
        ("non_saturating", "dcgan", "layer", "gradient_penalty"),
        ("wasserstein", "mlp", "batch", "none"),
        ("wasserstein", "mlp", "layer", "gradient_penalty"),
        ("wasserstein", "dcgan", "none", "gradient_penalty"),
    ],
)
def test_everything_stays_finite_and_every_kernel_moves(loss, network, norm, penalty):
    config = tiny((8, 8, 1), loss=loss, network__name=network, penalty__name=penalty)
    config.network.critic_norm = config.network.generator_norm = norm
    (first, _, last), _, metrics = run(config, (8, 8, 1))
    everything = metrics, last.generator, last.critic, last.ema
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(everything))
    for before, after in ((first.generator, last.generator), (first.critic, last.critic)):
        moved = jax.tree.map(lambda a, b: a.ndim == 1 or bool((a != b).any()), before.params, after.params)
        assert all(jax.tree.leaves(moved)), moved
