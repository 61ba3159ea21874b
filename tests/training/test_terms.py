"""Several terms in one step, lazy ones of both kinds, and what they remember: against PyTorch's autograd and Adam."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import default_config, validate
from gan_jax.data.batches import Batch
from gan_jax.objectives import generator_terms
from gan_jax.training import contracts, game, judging, terms
from gan_jax.training.state import create_state
from gan_jax.training.step import make_train_step, updates

SMALL = {"network.width": 5, "network.depth": 2, "network.latent_dim": 3, "batch_size": 8, "loss": "non_saturating"}


def small(**fields):
    config = default_config("ring")
    config.update_from_flattened_dict(SMALL | {name.replace("__", "."): value for name, value in fields.items()})
    validate(config)
    return config


def batches(steps, n_critic=1):
    rng = np.random.default_rng(0)
    rows = n_critic, 8
    for _ in range(steps):
        yield Batch(jnp.asarray(rng.uniform(-1, 1, (*rows, 2)), jnp.float32), jnp.zeros(rows, jnp.int32))


def run(config, steps):
    """(states from the first on, batches, metrics of each step)."""
    states, lines, train_step = [create_state(config, (2,))], [], jax.jit(make_train_step(config, (2,)))
    used = list(batches(steps, config.n_critic))
    for batch in used:
        state, metrics = train_step(states[-1], batch)
        states.append(state)
        lines.append(jax.tree.map(float, metrics))
    return states, used, lines


def fakes_of(config, state, batch):
    """What the generator makes for each of the critic's updates of a step: [n_critic, b, 2]."""
    played = game.make(config, (2,))
    for_critic, _, _ = updates(played, state, batch)
    generator = state.generator
    return np.stack([
        judging.generated(played, generator.params, generator.collections, inputs, jax.random.key(0))[0]
        for inputs in for_critic.inputs
    ])  # fmt: skip


class Critic:
    """The perceptron in PyTorch, in float64: its parameters in the order of ours."""

    def __init__(self, torch, params):
        self.torch = torch
        self.weights = [
            torch.tensor(np.asarray(leaf, np.float64), requires_grad=True)
            for layer in ("Dense_0", "Dense_1", "Dense_2")
            for leaf in (params[layer]["kernel"], params[layer]["bias"])
        ]

    def __call__(self, x):
        *hidden, (last, bias) = zip(self.weights[::2], self.weights[1::2], strict=True)
        for kernel, shift in hidden:
            x = self.torch.nn.functional.leaky_relu(x @ kernel + shift, 0.2)
        return (x @ last + bias)[:, 0]

    def norms(self, x):
        """Squares of the norms of its gradients at x."""
        x = x.detach().requires_grad_()
        (slopes,) = self.torch.autograd.grad(self(x).sum(), x, create_graph=True)
        return (slopes**2).sum(1)

    def alikeness(self):
        def of(kernel):
            products = kernel.T @ kernel
            return ((products - self.torch.diag(self.torch.diag(products))) ** 2).sum() / 2

        return sum(of(kernel) for kernel in self.weights[::2])

    def assert_is(self, params, rtol=1e-5):
        ours = [params[layer][name] for layer in ("Dense_0", "Dense_1", "Dense_2") for name in ("kernel", "bias")]
        for mine, theirs in zip(ours, self.weights, strict=True):
            np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=rtol, atol=1e-6)


def both(torch, config, state, batch):
    """Reals and fakes of a step's only update of the critic."""
    return (torch.tensor(np.asarray(x, np.float64)) for x in (batch.image[0], fakes_of(config, state, batch)[0]))


def adversarial(torch, real, fake):
    return torch.nn.functional.softplus(-real).mean() + torch.nn.functional.softplus(fake).mean()


def test_several_terms_at_once_are_added_with_their_weights_and_each_has_its_line():
    torch = pytest.importorskip("torch")
    weights = {"penalty": 0.5, "second_penalty": 0.25, "critic_drift": 0.1, "critic_logit_centring": 0.2,
               "critic_lecam": 0.3, "critic_orthogonal": 0.01}  # fmt: skip
    groups = {f"critic__{name.removeprefix('critic_')}__weight": w for name, w in weights.items() if "critic_" in name}
    config = small(
        penalty__name="r1", penalty__weight=0.5, second_penalty__name="r2", second_penalty__weight=0.25,
        optimizer__name="sgd", optimizer__critic_lr=0.1, **groups,
    )  # fmt: skip
    states, (batch,), (line,) = run(config, 1)
    critic = Critic(torch, states[0].critic.params)
    real, fake = (
        torch.tensor(np.asarray(x, np.float64)) for x in (batch.image[0], fakes_of(config, states[0], batch)[0])
    )
    of_reals, of_fakes = critic(real), critic(fake)
    mean_real, mean_fake = of_reals.mean().item(), of_fakes.mean().item()
    values = {
        "penalty": critic.norms(real).mean() / 2,
        "second_penalty": critic.norms(fake).mean() / 2,
        "critic_drift": (of_reals**2).mean(),
        "critic_logit_centring": ((of_reals + of_fakes) ** 2).mean(),
        "critic_lecam": (torch.relu(of_reals - mean_fake) ** 2 + torch.relu(mean_real - of_fakes) ** 2).mean(),
        "critic_orthogonal": critic.alikeness(),
    }
    total = adversarial(torch, of_reals, of_fakes) + sum(weights[name] * values[name] for name in weights)
    for name, value in {**values, "critic_loss": total}.items():
        assert line[name] == pytest.approx(value.item(), rel=1e-4), name
    gradients = torch.autograd.grad(total, critic.weights)
    for weight, gradient in zip(critic.weights, gradients, strict=True):
        weight.data -= 0.1 * gradient
    critic.assert_is(states[1].critic.params)


@pytest.mark.parametrize("own_step", [False, True])
def test_a_lazy_term_shares_an_update_or_has_a_step_of_its_own(own_step):
    """Of its own: as in StyleGAN2, Adam's rate times k / (k + 1) and its decays to that power, for all steps."""
    torch = pytest.importorskip("torch")
    config = small(
        penalty__name="r1", penalty__weight=0.7, penalty__every=2, penalty__own_step=own_step, n_critic=1,
        optimizer__critic_lr=0.02, optimizer__b1=0.5, optimizer__b2=0.9,
    )  # fmt: skip
    states, used, lines = run(config, 4)
    critic = Critic(torch, states[0].critic.params)
    c = 2 / 3 if own_step else 1
    optimizer = torch.optim.Adam(critic.weights, lr=0.02 * c, betas=(0.5**c, 0.9**c))
    for step, (state, batch) in enumerate(zip(states[:-1], used, strict=True)):
        real, fake = (
            torch.tensor(np.asarray(x, np.float64)) for x in (batch.image[0], fakes_of(config, state, batch)[0])
        )
        is_due, penalty = step % 2 == 1, torch.tensor(0.0)
        loss = adversarial(torch, critic(real), critic(fake))
        if is_due and not own_step:
            penalty = 2 * critic.norms(real).mean() / 2
            loss = loss + 0.7 * penalty
        take(optimizer, loss)
        if is_due and own_step:
            penalty = 2 * critic.norms(real).mean() / 2
            take(optimizer, 0.7 * penalty)
        assert lines[step]["penalty"] == pytest.approx(penalty.item(), rel=1e-4)
        critic.assert_is(states[step + 1].critic.params, rtol=1e-4)


def take(optimizer, loss):
    """A parameter that a term does not depend on has a gradient of 0 there, and not none: its moments go on."""
    (group,) = optimizer.param_groups
    gradients = zip(group["params"], loss_gradients(loss, group["params"]), strict=True)
    for weight, gradient in gradients:
        weight.grad = gradient
    optimizer.step()


def loss_gradients(loss, weights):
    found = pytest.importorskip("torch").autograd.grad(loss, weights, allow_unused=True)
    return [
        0 * weight.detach() if gradient is None else gradient for weight, gradient in zip(weights, found, strict=True)
    ]


def test_steps_of_their_own_with_two_intervals_are_taken_at_the_rate_of_them_all():
    """A half and a third of a step more in each update: c = 1 / (1 + 1/2 + 1/3) = 6/11."""
    two = [terms.Term(str(k), lambda real: real, "penalty_weight", k, True) for k in (2, 3)]
    hparams = {"generator_lr": 1.1, "critic_lr": 2.2, "b1": 0.5, "b2": 0.9, "ema_decay": 0.7}
    found = terms.of_steps(two, hparams)
    expected = {"generator_lr": 0.6, "critic_lr": 1.2, "b1": 0.5 ** (6 / 11), "b2": 0.9 ** (6 / 11), "ema_decay": 0.7}
    assert found == pytest.approx(expected)
    assert terms.of_steps([], hparams) is hparams


@pytest.mark.slow
def test_another_term_changes_no_random_number_of_the_first():
    """A term's key follows from its name."""
    alone = small(penalty__name="zero_centered", penalty__weight=0.0)
    others = {"second_penalty__name": "dragan", "critic__drift__weight": 1e-30, "critic__orthogonal__weight": 1e-30}
    beside = small(penalty__name="zero_centered", penalty__weight=0.0, second_penalty__weight=0.0, **others)
    (one,), (other,) = (run(config, 1)[2] for config in (alone, beside))
    assert one["penalty"] == pytest.approx(other["penalty"], rel=1e-5)
    same = small(penalty__name="zero_centered", second_penalty__name="zero_centered")
    (both,) = run(same, 1)[2]
    assert both["penalty"] != both["second_penalty"]


@pytest.mark.slow
def test_the_generators_terms_are_its_own():
    """Orthogonal rows under plain descent, at a rate at which the loss itself moves next to nothing."""
    config = small(optimizer__name="sgd", optimizer__generator_lr=1e-3, generator__orthogonal__weight=10.0)
    states, _, lines = run(config, 20)
    found = [line["generator_orthogonal"] for line in lines]
    assert found[-1] < 0.5 * found[0]
    assert "generator_orthogonal" not in run(small(), 1)[2][0]
    w = [np.asarray(layer["kernel"]) for layer in states[0].generator.params.values()]
    products = [(kernel.T @ kernel) * (1 - np.eye(kernel.shape[1])) for kernel in w]
    assert found[0] == pytest.approx(sum((p**2).sum() / 2 for p in products), rel=1e-4)


@pytest.mark.parametrize("own_step", [False, True])
def test_a_term_of_the_generator_may_take_its_samples(monkeypatch, own_step):
    """Which are those of its update, at parameters that next to do not move."""
    monkeypatch.setattr(generator_terms, "orthogonal", lambda fake: jnp.mean(jnp.abs(fake)))
    term = {"generator__orthogonal__weight": 1.0, "generator__orthogonal__own_step": own_step}
    config = small(optimizer__name="sgd", optimizer__generator_lr=1e-30, packing=2, **term)
    contracts.check(config, (2,))
    states, (batch,), (line,) = run(config, 1)
    played, state = game.make(config, (2,)), states[0].generator
    _, of_generator, _ = updates(played, states[0], batch)
    made, _ = judging.generated(played, state.params, state.collections, of_generator.inputs[0], jax.random.key(0))
    assert line["generator_orthogonal"] == pytest.approx(np.abs(made).mean(), rel=1e-5)


def test_a_share_of_the_minibatch_is_every_fourth_sample():
    config = small(penalty__name="r1", penalty__share=0.25, penalty__weight=0.0)
    states, (batch,), (line,) = run(config, 1)
    torch = pytest.importorskip("torch")
    some = torch.tensor(np.asarray(batch.image[0][::4], np.float64))
    assert line["penalty"] == pytest.approx(
        Critic(torch, states[0].critic.params).norms(some).mean().item() / 2, rel=1e-4
    )


def test_finite_differences_judge_a_sample_once_more_and_not_twice():
    """D(x) is that of the pass for the loss: one more pass forward for each of both, and no second derivative."""
    fields = {"penalty__name": "r1_r2", "penalty__weight": 0.1}
    products = []
    for estimator in ("exact", "finite_difference"):
        config = small(penalty__estimator=estimator, **fields)
        step = jax.jit(make_train_step(config, (2,)))
        text = step.lower(create_state(config, (2,)), next(batches(1))).as_text()
        products.append(text.count("stablehlo.dot_general"))
    without = jax.jit(make_train_step(small(), (2,))).lower(create_state(small(), (2,)), next(batches(1))).as_text()
    layers, passes = 3, 2
    forward_and_back = passes * (3 * layers - 1)  # logits, gradients by weights, and by all inputs but the samples
    assert products[1] - without.count("stablehlo.dot_general") == forward_and_back
    assert products[0] > products[1]


@pytest.mark.slow
@pytest.mark.parametrize("spectral", [False, True])
@pytest.mark.parametrize("own_step", [False, True])
def test_both_judgements_of_a_finite_difference_are_of_one_critic(own_step, spectral):
    """A perceptron is linear but for kinks: a tenth of sigma finds nearly the same slopes, where D is the same in both.

    Were it another, if only by one iteration of a spectral norm, their difference over sigma would be 100 times larger.
    """
    fields = {"penalty__name": "r1_r2", "penalty__own_step": own_step, "network__spectral_norm": spectral}
    found = [
        run(small(penalty__estimator="finite_difference", penalty__sigma=sigma, **fields), 1)[2][0]["penalty"]
        for sigma in (1e-2, 1e-3)
    ]
    assert found[1] == pytest.approx(found[0], rel=0.2)
    exact = run(small(**fields), 1)[2][0]["penalty"]
    assert 0.1 * exact < found[1] < 10 * exact  # of 8 samples


def test_terms_of_one_own_step_share_one_judgement():
    """Drift, centring and LeCam all ask for logits; one pass more is enough for them."""
    counts = []
    for names in (("drift",), ("drift", "logit_centring", "lecam")):
        fields = {f"critic__{name}__{part}": value for name in names for part, value in
                  (("weight", 0.1), ("every", 2), ("own_step", True))}  # fmt: skip
        step = jax.jit(make_train_step(small(**fields), (2,)))
        text = step.lower(create_state(small(**fields), (2,)), next(batches(1))).as_text()
        counts.append(text.count("stablehlo.dot_general"))
    assert counts[0] == counts[1]


REMEMBERING = {"critic__lecam__weight": 0.1, "critic__lecam__every": 2, "generator__path_length__weight": 2.0,
               "generator__path_length__every": 4, "generator__path_length__own_step": True,
               "penalty__name": "r1", "penalty__every": 3, "penalty__own_step": True}  # fmt: skip


@pytest.mark.slow
def test_what_terms_remember_is_a_part_of_the_run(goes_on_bit_for_bit, records):
    """A run that was raised to its steps later has the bits of one that was not stopped."""
    goes_on_bit_for_bit("ns_gan.py:ring", **REMEMBERING)
    (*_, last) = records("whole/metrics.jsonl")
    assert last["critic_lecam"] > 0
    assert last["generator_path_length"] > 0


@pytest.mark.slow
def test_a_term_can_be_turned_on_in_a_run_that_has_begun(command, records, capsys):
    """It remembers nothing yet, and its line begins there; turned off again, it is gone."""
    command("ns_gan.py:ring", "--workdir=run", steps=25)
    command("ns_gan.py:ring", "--workdir=run", steps=45, critic__lecam__weight=0.1)
    assert "critic.lecam.weight 0.0 -> 0.1" in capsys.readouterr().out
    command("ns_gan.py:ring", "--workdir=run", steps=60)
    has_line = {record["step"]: "critic_lecam" in record for record in records("run/metrics.jsonl")}
    assert has_line == {10: False, 20: False, 30: True, 40: True, 50: False, 60: False}
