"""The step against the same algorithms written as loops in NumPy and PyTorch, given the random numbers that it drew."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import default_config, f_gans, loss_names, penalty_names, validate
from gan_jax.data.batches import Batch
from gan_jax.objectives import augmentations
from gan_jax.objectives.losses import AdversarialLoss
from gan_jax.training import conditional
from gan_jax.training import game as game_module
from gan_jax.training.game import build_loss, build_networks
from gan_jax.training.hyperparameters import structure
from gan_jax.training.state import create_state
from gan_jax.training.step import make_train_step


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


@pytest.mark.slow
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


@pytest.mark.slow
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
        of_step = []
        for real in torch.tensor(np.asarray(batch.image)):
            fake, t = generator(next(latents)).detach(), next(weights)
            x_hat = (t * real + (1 - t) * fake).requires_grad_()
            (slopes,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
            penalty = ((slopes.norm(dim=1) - 1) ** 2).mean()
            of_step.append(penalty.item())
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
    assert metrics["penalty"] == pytest.approx(np.mean(of_step), rel=1e-4)
    assert metrics["critic_loss"] == pytest.approx(loss.item(), rel=1e-4)
    assert metrics["generator_loss"] == pytest.approx(generator_loss.item(), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("penalty", ["none", "gradient_penalty"])
def test_only_the_critics_own_updates_change_its_statistics(draws, penalty):
    """Not the generator's step, not the penalty. Reals and fakes are two minibatches, in this order."""
    config = tiny(network__critic_norm="batch", optimizer__name="sgd", penalty__name=penalty)
    config.optimizer.generator_lr = config.optimizer.critic_lr = 0.0
    (before, after), (batch,), _ = run(config, steps=1, drawn=draws)
    critic = numpy(before.critic.params)

    def dense(layer, x):
        return x @ layer["kernel"] + layer.get("bias", 0)

    mean, variance = np.zeros(4), np.ones(4)
    for real, latents in zip(batch.image, draws["normal"], strict=False):
        for x in (real, fakes(before, latents)):
            hidden = dense(critic["Dense_0"], x)
            seen = dense(critic["Dense_1"], np.maximum(hidden, 0.2 * hidden))
            mean, variance = 0.9 * mean + 0.1 * seen.mean(0), 0.9 * variance + 0.1 * seen.var(0)
    running = numpy(after.critic.stats["batch_stats"]["Norm_1"]["BatchNorm_0"])
    assert_close(running, {"mean": mean, "var": variance})
    assert_close(numpy(after.critic.params), critic, tolerance=0)


@pytest.mark.slow
@pytest.mark.parametrize(("sigma", "of_a_sample"), [(0.0, 3), (0.5, 3 + 2 + 2)])
def test_every_update_draws_fresh_numbers(draws, sigma, of_a_sample):
    """Seen elsewhere: a key that never advances, so that five updates of the critic share their latents.

    For each sample there are 3 numbers of a latent, and where there is noise, 2 on the real and 2 on the fake.
    """
    config = tiny(n_critic=3, loss="wasserstein", penalty__name="gradient_penalty", noise__sigma=sigma)
    run(config, steps=2, drawn=draws)
    normal, weights = (np.concatenate([np.ravel(part) for part in draws[kind]]) for kind in ("normal", "uniform"))
    assert (normal.size, weights.size) == (2 * (3 + 1) * 4 * of_a_sample, 2 * 3 * 4)
    assert len(np.unique(normal)) == normal.size
    assert len(np.unique(weights)) == weights.size


RATES = "generator_lr", "critic_lr"


@pytest.fixture(scope="module")
def compiled():
    """(config, step, traces): a step of all parts, and a list that grows by one each time it is traced."""
    config = tiny(loss="wasserstein", penalty__name="gradient_penalty", weight_clip=0.05)
    config.optimizer.generator_lr = config.optimizer.critic_lr = 0.01
    config.noise.sigma = 0.1
    scheduled = [config.schedule.noise.sigma, *(config.schedule.optimizer[rate] for rate in RATES)]
    for number, end in zip(scheduled, (0.05, 5e-3, 5e-3), strict=True):
        number.update({"shape": "linear", "start": 1.0, "over": 20.0, "to": end})
    pure, traces = make_train_step(config, (2,)), []

    def counted(state, batch):
        traces.append(None)
        return pure(state, batch)

    return config, jax.jit(counted), traces


@pytest.mark.slow
def test_all_critic_parameters_are_clipped_at_the_end_of_every_step(compiled):
    config, step, _ = compiled
    state = create_state(config, (2,))
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(state.critic.params)) > 0.05
    for batch in batches(config, 3):
        state, _ = step(state, batch)
        assert all(np.abs(leaf).max() <= np.float32(0.05) for leaf in jax.tree.leaves(state.critic.params))


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"step": jnp.int32(7)}, {"key": jax.random.key(7)}])
def test_randomness_is_a_function_of_key_and_step(compiled, change):
    config, step, _ = compiled
    state, (batch,) = create_state(config, (2,)), batches(config)
    same, other = step(state, batch)[1], step(state.replace(**change), batch)[1]
    assert step(state, batch)[1] == same
    assert other["fake_logits"] != same["fake_logits"]
    assert other["penalty"] != same["penalty"]


@pytest.mark.slow
def test_hyperparameters_change_the_result_and_not_the_program(compiled):
    config, step, traces = compiled
    state, (batch,) = create_state(config, (2,)).replace(step=jnp.int32(3)), batches(config)
    state = state.replace(hparams=state.hparams | {"ema_steps": jnp.float32(2)})  # of another run
    first, _ = step(state, batch)
    scheduled = *RATES, "noise_sigma"
    parts = {"b1", "b2", "weight_clip", "penalty_weight", "ema_steps", *scheduled}
    parts |= {f"{name}_{part}" for name in scheduled for part in ("start", "over", "to")}
    assert parts < {*state.hparams}
    for name, value in state.hparams.items():
        assert value > 0 or name not in parts
        other, _ = step(
            state.replace(hparams=state.hparams | {name: value * 0.5 if value else jnp.float32(0.5)}), batch
        )
        # In one of the average's first updates, the bound of (1 + 3 + 2) / (10 + 3 + 2) is the smaller decay.
        leaves = (first.critic, first.generator, first.ema), (other.critic, other.generator, other.ema)
        same = all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, leaves), strict=True))
        assert same == (name not in parts), name
    assert len(traces) == 1


@pytest.mark.slow
def test_a_donated_state_trains_on():
    config = tiny()
    state, step = create_state(config, (2,)), jax.jit(make_train_step(config, (2,)), donate_argnums=0)
    for batch in batches(config, 2):
        state, metrics = step(state, batch)
    assert state.step == 2
    assert np.isfinite(metrics["generator_loss"])


@pytest.mark.slow
def test_one_pass_over_reals_and_fakes_is_two_without_batch_norm(monkeypatch):
    config = tiny(network__critic_norm="layer")
    states, _, _ = run(config)
    monkeypatch.setattr(game_module, "mixes_samples", lambda norm: True)
    by_two, _, _ = run(config)
    assert_close(numpy(states[-1].critic), numpy(by_two[-1].critic), tolerance=1e-4)


def linear(net):
    """(kernel, bias) of a network that is one layer."""
    layer = numpy(net.params["Dense_0"])
    return layer["kernel"].astype(float), layer["bias"].astype(float)


def still(**fields):
    """f(x) = w x + c and G(z) = z A + b, which updates leave as they are."""
    config = tiny(network__depth=0, loss="wasserstein", optimizer__name="sgd", **fields)
    config.optimizer.generator_lr = config.optimizer.critic_lr = 0.0
    return config


def noise_falls_over(steps):
    """Fields with which it falls in a line to nothing; none for 0 steps."""
    parts = {"shape": "linear", "over": float(steps)} if steps else {}
    return {f"schedule__noise__sigma__{part}": value for part, value in parts.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "share"), [(0, 1.0), (2, 0.5)])
def test_noise_is_on_reals_and_fakes_alike_in_both_players_updates(draws, steps, share):
    """In its second step, noise that falls to 0 within two has half of its deviation."""
    sigma = 0.7
    states, used, metrics = run(still(n_critic=1, noise__sigma=sigma, **noise_falls_over(steps)), drawn=draws)
    (w, c), (kernel, bias) = linear(states[-1].critic), linear(states[-1].generator)
    latents, generator_latents, real_noise, fake_noise, *rest = (np.asarray(n, float) for n in draws["normal"][-6:])

    def mean_logit(x, noise):
        return np.mean((x + share * sigma * noise) @ w + c)

    real = np.asarray(used[-1].image[0], float)
    assert metrics["real_logits"] == pytest.approx(mean_logit(real, real_noise), rel=1e-4)
    assert metrics["fake_logits"] == pytest.approx(mean_logit(latents @ kernel + bias, fake_noise), rel=1e-4)
    loss = -mean_logit(generator_latents @ kernel + bias, rest[-1])
    assert metrics["generator_loss"] == pytest.approx(loss, rel=1e-4)
    assert len(np.unique(np.concatenate([real_noise, fake_noise, *rest]))) == 4 * 4 * 2


@pytest.mark.slow
def test_the_reals_of_a_relativistic_generator_have_noise_too(draws):
    config = still(n_critic=1, noise__sigma=0.7)
    config.loss = "relativistic"
    states, used, metrics = run(config, drawn=draws)
    (w, c), (kernel, bias) = linear(states[-1].critic), linear(states[-1].generator)
    _, latents, *_, real_noise, fake_noise = (np.asarray(n, float) for n in draws["normal"][-6:])
    real = (np.asarray(used[-1].image[0], float) + 0.7 * real_noise) @ w + c
    fake = (latents @ kernel + bias + 0.7 * fake_noise) @ w + c
    assert metrics["generator_loss"] == pytest.approx(np.mean(np.logaddexp(0, real - fake)), rel=1e-4)


@pytest.mark.slow
def test_noise_that_has_fallen_to_nothing_leaves_the_step_as_it_was():
    noisy, plain = still(noise__sigma=3.0, **noise_falls_over(1)), still()
    assert_close(run(noisy)[2], run(plain)[2])


@pytest.mark.slow
def test_a_packed_critic_judges_samples_side_by_side(draws):
    """4 samples of 2 numbers in packs of 2: the logits of a linear critic are those of 2 rows of 4."""
    states, used, metrics = run(still(n_critic=1, packing=2, penalty__name="gradient_penalty"), drawn=draws)
    (w, c), (kernel, bias) = linear(states[-1].critic), linear(states[-1].generator)
    assert w.shape == (4, 1)
    latents, generator_latents = (np.asarray(value, float) for value in draws["normal"][-2:])

    def mean_logit(x):
        return np.mean([np.concatenate([x[i], x[i + 1]]) @ w[:, 0] + c[0] for i in (0, 2)])

    assert metrics["real_logits"] == pytest.approx(mean_logit(np.asarray(used[-1].image[0])), rel=1e-4)
    assert metrics["fake_logits"] == pytest.approx(mean_logit(latents @ kernel + bias), rel=1e-4)
    assert metrics["generator_loss"] == pytest.approx(-mean_logit(generator_latents @ kernel + bias), rel=1e-4)
    assert metrics["penalty"] == pytest.approx((np.linalg.norm(w) - 1) ** 2, rel=1e-4)


def test_fakes_are_made_inside_the_generators_loss():
    """Made outside of it, they would give it a gradient of zero. Against f(x) = w x, that of its bias is -w."""
    config = still(n_critic=1)
    config.optimizer.generator_lr = 0.5
    (before, after), _, _ = run(config, steps=1)
    moved = linear(after.generator)[1] - linear(before.generator)[1]
    np.testing.assert_allclose(moved, 0.5 * linear(before.critic)[0][:, 0], rtol=1e-4)


@pytest.mark.slow
def test_the_penalty_is_of_the_same_loss_and_update_as_the_adversarial_term(draws):
    """One step down E f(G(z)) - E f(x) + 5 |w|^2, not two, of which the second begins where the first ends."""
    lr, config = 0.01, still(n_critic=1, penalty__name="zero_centered", penalty__weight=5.0)
    config.optimizer.critic_lr = lr
    (before, after), (batch,), _ = run(config, steps=1, drawn=draws)
    (w, _), (kernel, bias) = linear(before.critic), linear(before.generator)
    slope = (np.asarray(draws["normal"][0], float).reshape(-1, 3) @ kernel + bias).mean(0) - batch.image[0].mean(0)
    np.testing.assert_allclose(linear(after.critic)[0], w - lr * (slope[:, None] + 5 * 2 * w), rtol=1e-5)


def test_generator_updates_follow_each_other_with_fresh_latents(draws):
    """Against a linear critic w the gradient is -E z w, whatever the generator: so the updates add up."""
    lr = 0.5
    config = still(n_critic=1, n_generator=3)
    config.optimizer.generator_lr = lr
    (before, after), _, _ = run(config, steps=1, drawn=draws)
    w, _ = linear(before.critic)
    latents = np.asarray(draws["normal"][-3:], float)
    kernel, bias = linear(before.generator)
    np.testing.assert_allclose(
        linear(after.generator)[0], kernel + lr * latents.mean(1).sum(0)[:, None] * w.T, rtol=1e-4
    )
    np.testing.assert_allclose(linear(after.generator)[1], bias + 3 * lr * w[:, 0], rtol=1e-4)
    assert after.step == 1


@pytest.mark.slow
def test_a_lazy_penalty_comes_every_kth_update_of_the_critic_and_counts_k_times():
    """With 2 updates a step and k = 3, updates 2, 5, 8, ... have it: one each in steps 1 and 2, none in step 0."""
    lr, weight = 0.01, 5.0
    config = still(penalty__name="zero_centered", penalty__every=3, penalty__weight=weight, n_critic=2)
    config.optimizer.critic_lr = lr
    states, used, _ = run(config, steps=3)
    step = jax.jit(make_train_step(config, (2,)))
    for t, batch in enumerate(used):
        state, metrics = step(states[t], batch)
        w, updated = linear(states[t].critic)[0], linear(state.critic)[0]
        unpenalised = still(n_critic=2)
        unpenalised.optimizer.critic_lr = lr
        without = linear(jax.jit(make_train_step(unpenalised, (2,)))(states[t], batch)[0].critic)[0]
        if t == 0:
            assert metrics["penalty"] == 0
            np.testing.assert_array_equal(updated, without)
            continue
        # In step 1 the first of the two updates has it, in step 2 the second one.
        at = w if t == 1 else w + (without - w) / 2
        assert metrics["penalty"] == pytest.approx(3 * np.sum(at**2) / 2, rel=0.05)
        assert np.linalg.norm(updated - without + lr * weight * 3 * 2 * at) < 0.05 * np.linalg.norm(updated - without)


@pytest.mark.slow
def test_each_player_has_its_own_optimiser_and_weight_decay_is_no_new_program():
    """Lion's updates are the rate, up or down, and the decay of all parameters; the critic's go down a gradient."""
    players = {"optimizer__generator_name": "lion", "optimizer__critic_name": "sgd"}
    config = tiny(n_critic=1, optimizer__generator_lr=0.5, **players)
    state, step = create_state(config, (2,)), jax.jit(make_train_step(config, (2,)))
    (batch,), critics = batches(config), []
    for decay in (0.0, 0.25):
        after, _ = step(state.replace(hparams=state.hparams | {"weight_decay": jnp.float32(decay)}), batch)
        for before, found in zip(*map(jax.tree.leaves, (state.generator.params, after.generator.params)), strict=True):
            moved = np.abs(found - (1 - 0.5 * decay) * before)
            np.testing.assert_allclose(moved, np.where(moved > 0.1, 0.5, 0.0), atol=1e-6)
            assert before.ndim == 1 or moved.max() > 0.1
        critics.append(numpy(after.critic.params))
    both = zip(*map(jax.tree.leaves, (state.critic.params, critics[0])), strict=True)
    assert len({*np.concatenate([np.ravel(before - after) for before, after in both]).tolist()}) > 5
    jax.tree.map(np.testing.assert_array_equal, *critics)
    assert step._cache_size() == 1
    decayed = tiny(n_critic=1, optimizer__generator_lr=0.5, optimizer__weight_decay=0.25, **players)
    validate(decayed)
    assert structure(decayed) == structure(config)


@pytest.mark.slow
def test_learning_rates_that_have_fallen_to_nothing_move_nothing():
    config = tiny(loss="wasserstein")
    for rate in RATES:
        config.schedule.optimizer[rate].update({"shape": "linear", "over": 1.0})
    (_, first, second), _, _ = run(config)
    assert_close(numpy(first.critic.params), numpy(second.critic.params), tolerance=0)
    assert_close(numpy(first.generator.params), numpy(second.generator.params), tolerance=0)


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "penalty"), [("none", "gradient_penalty"), ("batch", "none")])
def test_spectral_vectors_improve_once_for_each_update_of_the_critic(norm, penalty):
    """Not once for each pass: batch norm takes two, the penalty one more, and the generator's update another."""
    config = tiny(network__spectral_norm=True, network__critic_norm=norm, penalty__name=penalty, n_critic=3)
    config.optimizer.name, config.optimizer.critic_lr = "sgd", 0.0
    (before, after), _, _ = run(config, steps=1)
    params = jax.tree_util.tree_leaves_with_path(before.critic.params["network"])
    kernels = {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(w, float) for path, w in params}
    assert len(before.critic.stats["spectral"]) == 3
    for name, (_, v) in before.critic.stats["spectral"].items():
        (kernel,) = (w for path, w in kernels.items() if name.endswith(path))
        for _ in range(3):
            u = kernel @ v / np.linalg.norm(kernel @ v)
            v = u @ kernel / np.linalg.norm(u @ kernel)
        assert_close(after.critic.stats["spectral"][name], (u, v))


@pytest.mark.slow
def test_f_gans_report_their_bound_on_the_divergence(draws):
    """E v - E (v^2 / 4 + v) for Pearson, without the penalty."""
    config = tiny(loss="f_gan:pearson", optimizer__name="sgd", n_critic=1, penalty__name="r1")
    config.optimizer.generator_lr = config.optimizer.critic_lr = 0.0
    (state, _), (batch,), metrics = run(config, steps=1, drawn=draws)
    real, fake = logits(state, batch.image[0]), logits(state, fakes(state, draws["normal"][0]))
    assert metrics["divergence_estimate"] == pytest.approx(np.mean(real) - np.mean(fake**2 / 4 + fake), rel=1e-4)
    assert "wasserstein_estimate" not in metrics


@pytest.mark.slow
def test_a_relativistic_generator_is_given_the_reals_of_the_critics_last_update(draws):
    config = tiny(loss="relativistic", optimizer__name="sgd")
    config.optimizer.generator_lr = config.optimizer.critic_lr = 0.0
    (state, _), (batch,), metrics = run(config, steps=1, drawn=draws)
    real, fake = logits(state, batch.image[-1]), logits(state, fakes(state, draws["normal"][-1]))
    assert metrics["generator_loss"] == pytest.approx(np.mean(np.logaddexp(0, real - fake)), rel=1e-4)


def fakes(state, latents):
    """The generator's samples in NumPy: a perceptron without a norm."""
    return perceptron(state.generator.params, latents, lambda x: np.maximum(x, 0))


def logits(state, samples):
    return perceptron(state.critic.params, samples, lambda x: np.maximum(x, 0.2 * x))[:, 0]


def perceptron(params, x, activation):
    *hidden, last = (numpy(params[name]) for name in sorted(params))
    for layer in hidden:
        x = activation(x @ layer["kernel"] + layer["bias"])
    return x @ last["kernel"] + last["bias"]


LOSSES = [*loss_names(), *f_gans()]
# A penalty needs a critic that judges samples one by one; the critic with batch norm takes two passes.
CRITICS = [
    *((network, "none", penalty) for network in ("mlp", "dcgan") for penalty in ["none", *penalty_names()]),
    *((network, "batch", "none") for network in ("mlp", "dcgan")),
]


def chosen(functions, which):
    return lambda *args: jax.lax.switch(which, functions, *args)


@pytest.fixture
def all_losses_at_once(monkeypatch):
    """A step compiled from now on holds every loss, and takes the one whose place in LOSSES is hparams["which"]."""

    def build_any(config, hparams):
        made = [build_loss(with_loss(config, name), hparams) for name in LOSSES]
        return AdversarialLoss(*(chosen([loss[player] for loss in made], hparams["which"]) for player in range(2)))

    monkeypatch.setattr(game_module, "build_loss", build_any)


def with_loss(config, name):
    changed = copy.deepcopy(config)
    changed.loss = name
    validate(changed)
    return changed


@pytest.mark.parametrize(
    ("network", "norm", "penalty"),
    [
        pytest.param(*critic, marks=pytest.mark.slow if critic in CRITICS[::9] else pytest.mark.hours)
        for critic in CRITICS
    ],
)
def test_any_loss_with_any_penalty_and_network_stays_finite_and_moves_every_kernel(
    network, norm, penalty, all_losses_at_once
):
    config = tiny((8, 8, 1), network__name=network, penalty__name=penalty, n_critic=1)
    config.network.critic_norm = config.network.generator_norm = norm
    first, train_step = create_state(config, (8, 8, 1)), jax.jit(make_train_step(config, (8, 8, 1)))
    (batch,) = batches(config, 1, (8, 8, 1))
    seen = set()
    for which, name in enumerate(LOSSES):
        last, metrics = train_step(first.replace(hparams=first.hparams | {"which": which}), batch)
        everything = metrics, last.generator, last.critic, last.ema
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(everything)), name
        for before, after in ((first.generator, last.generator), (first.critic, last.critic)):
            moved = jax.tree.map(lambda a, b: a.ndim == 1 or bool((a != b).any()), before.params, after.params)
            assert all(jax.tree.leaves(moved)), (name, moved)
        seen.add((float(metrics["critic_loss"]), float(metrics["generator_loss"])))
    assert len(seen) > 0.8 * len(LOSSES)  # some agree at logits near 0, and most don't


@pytest.mark.slow
def test_flips_mirror_some_of_the_reals_from_left_to_right():
    """All reals are one image, so their mean logit says how many of 64 the critic saw as they were."""
    config = tiny((8, 8, 1), network__name="dcgan", batch_size=64, n_critic=1, data__flip=True)
    image = np.random.default_rng(0).uniform(-1, 1, (8, 8, 1)).astype(np.float32)
    state = create_state(config, (8, 8, 1))
    batch = Batch(jnp.tile(image, (1, 64, 1, 1, 1)), jnp.zeros((1, 64), jnp.int32))
    _, metrics = jax.jit(make_train_step(config, (8, 8, 1)))(state, batch)
    _, critic = build_networks(config, (8, 8, 1))
    both = np.stack([image, image[:, ::-1]])
    kept, mirrored = critic.apply({"params": state.critic.params}, both, train=False)
    count = 64 * (metrics["real_logits"] - mirrored) / (kept - mirrored)
    assert 16 < count < 48
    assert count == pytest.approx(round(float(count)), abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("packing", [1, 2])
def test_reals_of_a_larger_minibatch_of_fakes_keep_their_classes_and_their_packs(packing, monkeypatch):
    """The generator's update judges each pack of reals as often as it has fakes, and gives the fakes those classes."""
    fields = {"conditional__name": "concatenation", "conditional__classes": 4, "generator_batch": 2, "n_critic": 1}
    config = tiny(loss="relativistic", packing=packing, **fields)
    seen, for_critic = [], conditional.for_critic

    def spy(way, samples, condition):
        jax.debug.callback(lambda *values: seen.append(values), samples, condition, ordered=True)
        return for_critic(way, samples, condition)

    monkeypatch.setattr(conditional, "for_critic", spy)
    reals, labels = np.arange(8, dtype=np.float32).reshape(1, 4, 2), np.arange(4, dtype=np.int32)[None]
    jax.jit(make_train_step(config, (2,)))(create_state(config, (2,)), Batch(jnp.asarray(reals), jnp.asarray(labels)))
    jax.effects_barrier()
    order = [0, 0, 1, 1, 2, 2, 3, 3] if packing == 1 else [0, 1, 0, 1, 2, 3, 2, 3]
    (real, of_reals), (_, of_fakes) = seen[-2:]
    told = np.eye(4)[order].reshape(8 // packing, -1)
    assert sorted(map(tuple, real)) == sorted(map(tuple, reals[0][order].reshape(8 // packing, -1)))
    np.testing.assert_array_equal(of_reals, told)
    np.testing.assert_array_equal(of_fakes, told)


@pytest.mark.slow
def test_both_players_see_all_samples_through_the_augmentation(monkeypatch):
    """Where it makes all images alike, all logits are, and the generator learns nothing."""
    blank = lambda images, key, policy, probability: jnp.zeros_like(images)  # noqa: E731
    monkeypatch.setattr(augmentations, "augment", blank)
    config = tiny((8, 8, 1), network__name="dcgan", augment="color", n_critic=1)
    states, _, metrics = run(config, (8, 8, 1), steps=1)
    assert metrics["real_logits"] == metrics["fake_logits"]
    jax.tree.map(np.testing.assert_array_equal, states[0].generator.params, states[1].generator.params)


@pytest.mark.slow
def test_everything_optional_at_once():
    """Packs, noise, spectral and layer norm, lazy penalty, decay, several generator updates, smoothing, clipping."""
    config = tiny(
        (8, 8, 1), network__name="dcgan", network__critic_norm="layer", network__spectral_norm=True, packing=2
    )
    changes = {"noise.sigma": 0.1, "penalty.name": "r1_r2", "penalty.every": 2, "n_generator": 2}
    changes |= {"smoothing.real": 0.1, "weight_clip": 1.0}
    for number, over, end in [("noise.sigma", 5.0, 0.0), *((f"optimizer.{rate}", 9.0, 1e-4) for rate in RATES)]:
        falling = {"shape": "linear", "over": over, "to": end}
        changes |= {f"schedule.{number}.{part}": value for part, value in falling.items()}
    config.update_from_flattened_dict(changes)
    validate(config)
    states, _, metrics = run(config, (8, 8, 1))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((metrics, states[-1].generator, states[-1].critic)))
