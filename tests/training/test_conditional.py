"""Conditional steps against PyTorch's autograd with the same weights and draws, and what generators are told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gan_jax.config import default_config
from gan_jax.data.batches import Batch
from gan_jax.errors import UserError
from gan_jax.training import conditional, sampling
from gan_jax.training.conditional import Inputs
from gan_jax.training.game import build_networks
from gan_jax.training.state import create_state
from gan_jax.training.step import make_train_step

WAYS = ("concatenation", "auxiliary_classifier", "projection", "infogan")
CLASSES, BATCH, WIDTH, RATE, WEIGHT = 3, 6, 5, 0.1, 0.7


def small(way):
    """One hidden layer, plain gradient descent, WGAN-GP: all that a condition touches, and little else."""
    config = default_config("ring")
    fields = {"loss": "wasserstein", "penalty.name": "gradient_penalty", "penalty.weight": 2.0, "optimizer.name": "sgd"}
    sizes = {"network.width": WIDTH, "network.depth": 1, "network.latent_dim": 2, "batch_size": BATCH}
    told = {"conditional.name": way, "conditional.classes": CLASSES, "network.generator_norm": "batch"}
    config.update_from_flattened_dict(fields | sizes | told)
    config.optimizer.generator_lr = config.optimizer.critic_lr = RATE
    if way in ("auxiliary_classifier", "infogan"):
        config.conditional.weight = WEIGHT
    if way == "infogan":
        config.conditional.continuous, config.conditional.continuous_weight = 2, 0.3
    return config


@pytest.fixture
def draws(monkeypatch):
    """What compiled code draws, in order, by kind."""
    drawn = {"normal": [], "uniform": [], "randint": []}
    for kind in drawn:
        function = getattr(jax.random, kind)

        def spy(*args, kind=kind, function=function, **kwargs):
            value = function(*args, **kwargs)
            jax.debug.callback(lambda value: drawn[kind].append(np.asarray(value)), value, ordered=True)
            return value

        monkeypatch.setattr(jax.random, kind, spy)
    return drawn


class Twin:
    """The same game in PyTorch: parameters by the names of ours, functions written from the papers."""

    def __init__(self, torch, way, state):
        self.torch, self.way = torch, way

        def tensors(tree):
            leaves = jax.tree_util.tree_leaves_with_path(tree)
            named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
            return {name: torch.tensor(np.asarray(leaf), requires_grad=True) for name, leaf in named.items()}

        self.g, self.c = tensors(state.generator.params), tensors(state.critic.params)

    def generate(self, latents, told):
        torch, inputs = self.torch, latents if self.way == "projection" else self.torch.cat([latents, told], 1)
        x = torch.nn.functional.batch_norm(inputs @ self.g["Dense_0/kernel"], None, None, training=True, eps=1e-5)
        scale, bias = self.g["Norm_0/scale" if self.way == "projection" else "Norm_0/BatchNorm_0/scale"], None
        if self.way == "projection":
            label = told.argmax(1)
            scale, bias = scale[label], self.g["Norm_0/bias"][label]
        else:
            bias = self.g["Norm_0/BatchNorm_0/bias"]
        return torch.relu(x * scale + bias) @ self.g["Dense_1/kernel"] + self.g["Dense_1/bias"]

    def judge(self, x, told):
        c, functional = self.c, self.torch.nn.functional
        inputs = self.torch.cat([x, told], 1) if self.way == "concatenation" else x
        features = functional.leaky_relu(inputs @ c["Dense_0/kernel"] + c["Dense_0/bias"], 0.2)
        logits = (features @ c["Dense_1/kernel"] + c["Dense_1/bias"])[:, 0]
        if self.way == "projection":
            embedded = functional.embedding(told.argmax(1), c["head/table/kernel"])
            return logits + (embedded * features).sum(1), None
        if self.way == "concatenation":
            return logits, None
        if self.way == "infogan":
            features = functional.leaky_relu(features @ c["head/Dense_0/kernel"] + c["head/Dense_0/bias"], 0.1)
        last = "head/Dense_1" if self.way == "infogan" else "head/Dense_0"
        return logits, features @ c[f"{last}/kernel"] + c[f"{last}/bias"]

    def recognition(self, answer, told):
        """Of InfoGAN: -log Q(c|x) less constants, Q categorical times Gaussian of deviation 1, the latter weighted."""
        functional = self.torch.nn.functional
        loss = functional.cross_entropy(answer[:, :CLASSES], told[:, :CLASSES].argmax(1))
        if self.way == "infogan":
            normal = self.torch.distributions.Normal(answer[:, CLASSES:], 1.0)
            density = normal.log_prob(told[:, CLASSES:]) + 0.5 * np.log(2 * np.pi)
            loss = loss - 0.3 * density.sum(1).mean()
        return loss

    def step(self, params, loss):
        gradients = self.torch.autograd.grad(loss, list(params.values()))
        for name, gradient in zip(list(params), gradients, strict=True):
            params[name] = (params[name] - RATE * gradient).detach().requires_grad_()

    def critic_step(self, real, latents, told, t):
        fake = self.generate(latents, told).detach()
        (real_logits, real_answer), (fake_logits, fake_answer) = self.judge(real, told), self.judge(fake, told)
        x = (t * real + (1 - t) * fake).requires_grad_()
        (slopes,) = self.torch.autograd.grad(self.judge(x, told)[0].sum(), x, create_graph=True)
        loss = fake_logits.mean() - real_logits.mean() + 2.0 * ((slopes.norm(dim=1) - 1) ** 2).mean()
        if fake_answer is not None:
            loss = loss + WEIGHT * self.recognition(fake_answer, told)
        if self.way == "auxiliary_classifier":
            loss = loss + WEIGHT * self.recognition(real_answer, told)
        self.step(self.c, loss)
        return loss.detach()

    def generator_step(self, latents, told):
        logits, answer = self.judge(self.generate(latents, told), told)
        loss = -logits.mean() + (0 if answer is None else WEIGHT * self.recognition(answer, told))
        self.step(self.g, loss)
        return loss.detach()


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_step_is_pytorchs(way, draws):
    """Labels of the reals for their fakes, in both updates; penalties are of samples alone, whatever is joined to them.

    InfoGAN has codes of its own in each update, and no label. With gradient descent, parameters show gradients.
    """
    torch = pytest.importorskip("torch")
    config = small(way)
    state = create_state(config, (2,))
    jax.effects_barrier()
    for values in draws.values():
        values.clear()
    rng = np.random.default_rng(0)
    real, labels = rng.normal(size=(1, BATCH, 2)).astype(np.float32), np.array([[0, 2, 1, 1, 2, 0]], np.int32)
    after, metrics = jax.jit(make_train_step(config, (2,)))(state, Batch(jnp.asarray(real), jnp.asarray(labels)))
    jax.effects_barrier()
    latents = [torch.tensor(x.reshape(BATCH, 2)) for x in draws["normal"]]
    told = [np.eye(CLASSES, dtype=np.float32)[label] for label in (labels[0], labels[0])]
    if way == "infogan":
        codes = [x.reshape(BATCH, 2) for x in draws["uniform"] if x.shape[-1] == 2]
        drawn = [np.eye(CLASSES, dtype=np.float32)[x.reshape(BATCH)] for x in draws["randint"]]
        assert (np.abs(codes) <= 1).all()
        assert not np.array_equal(codes[0], codes[1])
        told = [np.concatenate(pair, 1) for pair in zip(drawn, codes, strict=True)]
    told = [torch.tensor(x) for x in told]
    (t,) = [torch.tensor(x) for x in draws["uniform"] if x.shape == (BATCH, 1)]
    twin = Twin(torch, way, state)
    losses = [twin.critic_step(torch.tensor(real[0]), latents[0], told[0], t), twin.generator_step(latents[1], told[1])]
    assert float(metrics["critic_loss"]) == pytest.approx(float(losses[0]), rel=1e-5, abs=1e-5)
    assert float(metrics["generator_loss"]) == pytest.approx(float(losses[1]), rel=1e-5, abs=1e-5)
    for params, theirs in ((after.generator.params, twin.g), (after.critic.params, twin.c)):
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            np.testing.assert_allclose(leaf, theirs[name].detach(), rtol=1e-4, atol=1e-5, err_msg=name)


def test_conditional_norms_start_as_plain_ones():
    params = create_state(small("projection"), (2,)).generator.params["Norm_0"]
    assert params["scale"].shape == params["bias"].shape == (CLASSES, WIDTH)
    assert (np.asarray(params["scale"]) == 1).all()
    assert (np.asarray(params["bias"]) == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mlp", pytest.param("dcgan", marks=pytest.mark.hours)])
@pytest.mark.parametrize("way", WAYS)
def test_a_class_changes_what_is_generated(network, way):
    """Whichever way it is told; of conditional norms, once they have learned something."""
    config = default_config()
    config.network.name, config.network.width, config.conditional.name = network, 4, way
    state = create_state(config, (8, 8, 1))
    (_, takes), (generator, _) = conditional.of(config), build_networks(config, (8, 8, 1))
    moved = jax.tree.map(lambda w: w + jax.random.normal(jax.random.key(w.size), w.shape), state.ema)
    state = state.replace(ema=moved)
    same_latents = sampling.inputs(takes, state, 4, labels=[3, 3, 5, 5]).at[:, : takes.latent_dim].set(1.0)
    images = sampling.outputs(generator, state, takes, same_latents)
    np.testing.assert_allclose(images[0], images[1], atol=1e-5)
    assert np.abs(images[1] - images[2]).max() > 1e-3


@pytest.mark.slow
def test_classes_come_in_turn_or_as_asked_for_and_codes_are_uniform():
    state, takes = create_state(default_config("ring"), (2,)), Inputs(2, 3, 4)
    inputs = np.asarray(sampling.inputs(takes, state, 300, seed=1))
    assert inputs.shape == (300, 9)
    np.testing.assert_array_equal(inputs[:, 2:5], np.eye(3)[np.arange(300) % 3])
    assert -1 < inputs[:, 5:].min() < -0.95 < 0.95 < inputs[:, 5:].max() < 1
    assert np.abs(inputs[:, 5:].mean(0)).max() < 5 * np.sqrt(1 / 3 / 300)
    asked = np.asarray(sampling.inputs(takes, state, 300, seed=1, labels=np.full(300, 2)))
    np.testing.assert_array_equal(asked[:, 2:5], np.eye(3)[np.full(300, 2)])
    np.testing.assert_array_equal(asked[:, :2], inputs[:, :2])


@pytest.mark.parametrize("truncation", [0.5, 1.5])
def test_truncated_latents_are_of_a_truncated_normal(truncation):
    state = create_state(default_config("ring"), (2,))
    latents = np.asarray(sampling.inputs(Inputs(40), state, 200, truncation=truncation)).ravel()
    assert np.abs(latents).max() <= truncation
    assert stats.kstest(latents, stats.truncnorm(-truncation, truncation).cdf).pvalue > 1e-3


@pytest.mark.parametrize("truncation", [-1.0, 1e-40, float("nan"), float("inf")])
def test_there_is_no_such_truncation(truncation):
    with pytest.raises(UserError, match=f"truncation={truncation}: give 0 for none, or a number from 1e-6 on"):
        sampling.inputs(Inputs(40), None, 2, truncation=truncation)


def test_a_grid_has_a_class_in_each_row():
    num, labels, columns = sampling.grid(Inputs(2, 5))
    assert num == 5 * columns
    assert all(len(set(row)) == 1 for row in labels.reshape(5, columns))
    assert sorted(labels[::columns]) == list(range(5))
    assert len(sampling.grid(Inputs(2, 1000))[1]) == 20 * columns
    assert sampling.grid(Inputs(2)) == (64, None, None)


@pytest.mark.slow
def test_ends_of_a_path_have_one_class():
    state, takes = create_state(default_config("ring"), (2,)), Inputs(3, 4)
    start, end = sampling.inputs(takes, state, 8).reshape(2, 4, 7)
    path = np.asarray(sampling.paths(takes, start, end, 5))
    assert path.shape == (4, 5, 7)
    np.testing.assert_allclose(path[:, 0], start, atol=1e-5)
    np.testing.assert_allclose(path[:, -1, :3], end[:, :3], atol=1e-5)
    assert (path[:, :, 3:] == np.asarray(start)[:, None, 3:]).all()
