"""What a generator is told besides its latent, and what the critic does with it, by `config.conditional.name`.

A generator's input is [b, latent_dim + classes + continuous]: a latent of N(0, 1), a class one-hot, and codes of
U(-1, 1). The last two are its condition; there is none by default. To add a way, write one `Conditional`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
from numpy.typing import ArrayLike

from gan_jax.networks.conditional import Projection, Recognition, joined


class Inputs(NamedTuple):
    """Sizes of the parts of a generator's input; classes and continuous are 0 where it is told nothing."""

    latent_dim: int
    classes: int = 0
    continuous: int = 0


class Conditional(NamedTuple):
    """A way of conditioning.

    labels: (key, labels of the data [...], classes) -> the classes that the generator is told, [...]. None: none ever.
    is_in_norms: whether it is told by its norms, and not beside its latent.
    is_joined: whether samples have the condition in further channels before the critic sees them.
    head: (inputs, dtype) -> the critic's last part, as in networks/conditional.py, or None.
    loss: (what the critic told of the samples [b, outputs], condition [b, c], inputs, weight of the continuous codes)
      -> scalar, which both players minimise on fakes. None for none.
    is_for_reals: whether the critic minimises it on reals too.
    """

    labels: Callable[..., Any] | None = None
    is_in_norms: bool = False
    is_joined: bool = False
    head: Callable[..., Any] | None = None
    loss: Callable[..., jax.Array] | None = None
    is_for_reals: bool = False

    @property
    def is_told_labels(self) -> bool:
        """Whether the generator is told the classes of the data."""
        return self.labels is labels_of_data

    @property
    def is_told_codes(self) -> bool:
        """Whether it is told codes, which mean what training makes them mean."""
        return self.labels is drawn_labels


def labels_of_data(key, labels, classes):
    """The generator is told the classes of the reals that its samples are judged with."""
    return labels


def drawn_labels(key, labels, classes):
    """As many of U{0, ..., classes - 1}, whatever the data's labels are."""
    return jax.random.randint(key, labels.shape, 0, classes)


def _class_loss(told, condition, inputs, weight):
    return optax.softmax_cross_entropy(told, condition).mean()


def _code_loss(told, condition, inputs, weight):
    """-L_I less the codes' entropy: cross entropy of the class, and w/2 E |c - mean|^2 of codes with deviation 1."""
    k = inputs.classes
    squares = jnp.sum(jnp.square(told[:, k:] - condition[:, k:]), axis=1)
    return optax.softmax_cross_entropy(told[:, :k], condition[:, :k]).mean() + weight * squares.mean() / 2


none = Conditional()
# Labels beside the latent, and in further channels of the critic's samples (Mirza & Osindero 2014, arXiv:1411.1784).
concatenation = Conditional(labels_of_data, is_joined=True)
# AC-GAN (Odena et al. 2017, arXiv:1610.09585): labels beside the latent; the critic names the class.
auxiliary_classifier = Conditional(
    labels_of_data,
    head=lambda inputs, dtype: Recognition(inputs.classes, dtype=dtype),
    loss=_class_loss,
    is_for_reals=True,
)
# Miyato & Koyama 2018 (arXiv:1802.05637): conditional norms in the generator, an inner product in the critic.
projection = Conditional(labels_of_data, is_in_norms=True, head=lambda inputs, dtype: Projection(dtype))
# InfoGAN (Chen et al. 2016, arXiv:1606.03657): no labels, but codes that the critic's trunk must be able to read off.
infogan = Conditional(
    drawn_labels,
    head=lambda inputs, dtype: Recognition(inputs.classes + inputs.continuous, 128, dtype),
    loss=_code_loss,
)


def of(config: ml_collections.ConfigDict) -> tuple[Conditional, Inputs]:
    """The way that a configuration names, and what its generator takes."""
    way, settings = globals()[config.conditional.name], config.conditional
    classes = settings.classes if way.labels else 0
    continuous = settings.continuous if way.is_told_codes else 0
    return way, Inputs(config.network.latent_dim, classes, continuous)


def counts(config: ml_collections.ConfigDict, counted: Callable[[], tuple[int, ...]]) -> tuple[int, ...]:
    """How often the generator is told each class in training, as images of each are `counted`; () for all alike.

    So it is too where it is told no labels, and where batch statistics of its average are to be of all classes alike.
    """
    is_even = config.data.balanced or config.ema_conditions == "even"
    return counted() if of(config)[0].is_told_labels and not is_even else ()


def condition(inputs: Inputs, labels: ArrayLike, key: jax.Array) -> jax.Array:
    """Classes [...] one-hot, and codes drawn from the key beside them: [..., classes + continuous]."""
    if not inputs.classes:
        return jnp.zeros((*np.shape(labels), 0))
    classes = jax.nn.one_hot(jnp.asarray(labels), inputs.classes)
    if not inputs.continuous:
        return classes
    codes = jax.random.uniform(key, (*classes.shape[:-1], inputs.continuous), minval=-1.0)
    return jnp.concatenate([classes, codes], axis=-1)


def for_critic(way: Conditional, samples: jax.Array, condition: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    """(what the critic's first layer takes, what its head takes besides) of samples [b, ...], conditions [b, c]."""
    return joined(samples, condition) if way.is_joined else samples, {"condition": condition} if way.head else {}


def told(way: Conditional, inputs: Inputs, labels: jax.Array, key: jax.Array) -> jax.Array:
    """The conditions [..., classes + continuous] of a training step, for reals of these labels [...]."""
    label_key, code_key = jax.random.split(key)
    given = way.labels(label_key, labels, inputs.classes) if way.labels else labels
    return condition(inputs, given, code_key)
