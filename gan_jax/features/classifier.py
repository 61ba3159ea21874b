"""A small image classifier, trained here in a minute, whose features and classes stand in for those of a large network.

For sets on which Inception says little: small, grey, far from photographs. A Fréchet distance of its features is not an
FID: `Classifier.protocol` says what it is, and goes beside every number.
"""

import functools
import hashlib
import os
import pathlib
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.typing import ArrayLike
from numpy.typing import NDArray

from gan_jax.features import cache, extraction
from gan_jax.networks.conv import Conv
from gan_jax.reports import progress

VERSION = 1  # to be raised by whatever changes a feature: network, training, pixels
FEATURES = 64  # few enough that a thousand images and more fix their covariance
BATCH, EPOCHS, MIN_STEPS, LEARNING_RATE = 128, 2, 600, 6e-3
_BLOCK = 50  # steps of one compiled loop, after which the bar moves
_INIT = nn.initializers.he_normal()


class Classifier(NamedTuple):
    """A trained classifier.

    name: of the set it was trained on. params: of the network, NumPy arrays. accuracy: in [0, 1], on images that it was
    not trained on. num_classes: k. shape: (h, w, c) of the images it takes.
    """

    name: str
    params: Any
    accuracy: float
    num_classes: int
    shape: tuple[int, ...]

    @property
    def protocol(self) -> str:
        """What features of it are, in words, to be printed beside every number made of them.

        With the first digits of a hash of its weights: trained on another machine, it is another network.
        """
        digest = hashlib.sha256(b"".join(leaf.tobytes() for leaf in jax.tree.leaves(self.params))).hexdigest()[:8]
        name = f"gan_jax classifier v{VERSION} on {self.name}"
        return f"{name}, {FEATURES} features, accuracy {self.accuracy:.3f} ({digest})"


@jax.enable_x64(False)
def train_classifier(
    name: str, images: ArrayLike, labels: ArrayLike, test_images: ArrayLike, test_labels: ArrayLike, seed: int = 0
) -> Classifier:
    """A classifier trained on `images`, its accuracy measured on `test_images`; the same seed gives the same bits.

    Three 3x3 convolutions of stride 2 to 32, 64 and 64 channels, a dense layer to 64 features, one to k logits, with
    ReLUs between. AdamW with a one-cycle learning rate for 2 epochs, and no fewer than 600 steps of 128 images.

    Args:
      name: of the set; it becomes part of the protocol.
      images: uint8 [n, h, w, c], n >= 1.
      labels: their classes [n], integers from 0; the largest is k - 1.
      test_images: uint8 [m, h, w, c], m >= 1, none of them among `images`.
      test_labels: theirs [m], integers in [0, k).
      seed: of the initial weights and the order of the images, in [0, 2^31).

    Returns:
      The classifier. On a machine of another kind its weights differ by round-off that training amplifies.

    Raises:
      ValueError: images that are not uint8 [n, h, w, c], of different shapes or none; labels that are not one integer
        in [0, k) for each image.

    """
    images, labels = np.asarray(images), np.asarray(labels)
    test_images, test_labels = np.asarray(test_images), np.asarray(test_labels)
    _check_images(images, images.shape[1:])
    _check_images(test_images, images.shape[1:])
    _check_labels(labels, len(images))
    _check_labels(test_labels, len(test_images), num_classes=int(labels.max()) + 1)
    params = _trained(name, images, labels.astype(np.int32), seed)
    classifier = Classifier(name, params, 0.0, int(labels.max()) + 1, images.shape[1:])
    predicted = features_and_logits(classifier, test_images)[1].argmax(axis=1)
    return classifier._replace(accuracy=float(np.mean(predicted == test_labels)))


@jax.enable_x64(False)
def features_and_logits(classifier: Classifier, images: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The features before the last layer, and the logits, of images uint8 [n, h, w, c], n >= 1.

    Each image's are its own: they depend neither on the other images nor on their number, but for round-off.

    Returns:
      features: float32 [n, 64], in [0, inf).
      logits: float32 [n, k]; their softmax is the probability of each class.

    Raises:
      ValueError: images that are not uint8, not of the classifier's shape, or none.

    """
    images = np.asarray(images)
    _check_images(images, classifier.shape)
    found = extraction.extract(network(classifier), lambda start, stop: images[start:stop], len(images))
    assert found.logits is not None
    return found.features, found.logits


def network(classifier: Classifier) -> extraction.Network:
    """The classifier as a feature network, of that protocol's name."""
    params = jax.device_put(classifier.params)
    return extraction.Network(classifier.protocol, functools.partial(_forward, classifier.num_classes, params), True)


def save(path: str | os.PathLike[str], classifier: Classifier) -> None:
    """Writes the classifier as NumPy's .npz, whole or not at all, where `cache.keep` does so."""
    about = {key: np.asarray(value) for key, value in classifier._asdict().items() if key != "params"}
    params = flax.traverse_util.flatten_dict(classifier.params, sep="/")
    cache.keep(pathlib.Path(path), {"version": np.asarray(VERSION)} | about | params)


@jax.enable_x64(False)
def load(path: str | os.PathLike[str], name: str, shape: tuple[int, ...]) -> Classifier | None:
    """The classifier of the set `name`, of images of that shape, that `save` wrote; None as for `cache.kept`."""

    def made_of(arrays):
        found = _from_arrays(arrays)
        if (found.name, found.shape) != (name, shape):
            raise ValueError(f"a classifier of {found.name}, {found.shape}, not of {name}, {shape}")
        return found

    return cache.kept(pathlib.Path(path), made_of)


def _from_arrays(arrays):
    """The classifier in a file, whose arrays must be those of the network."""
    if (version := int(arrays["version"])) != VERSION:
        raise ValueError(f"a classifier of version {version}, not {VERSION}")
    name, accuracy, num_classes = str(arrays["name"]), float(arrays["accuracy"]), int(arrays["num_classes"])
    shape = tuple(map(int, arrays["shape"]))
    expected = flax.traverse_util.flatten_dict(jax.eval_shape(lambda: _initial(num_classes, shape, 0)), sep="/")
    params = {key: arrays[key] for key in expected}
    for key, like in expected.items():
        if (params[key].shape, params[key].dtype) != (like.shape, like.dtype):
            raise ValueError(f"{key} is {params[key].dtype} {params[key].shape}, not {like.dtype} {like.shape}")
    return Classifier(name, flax.traverse_util.unflatten_dict(params, sep="/"), accuracy, num_classes, shape)


def _check_images(images, shape):
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != shape or not len(images):
        wanted = f"[n, {', '.join(map(str, shape))}]" if len(shape) == 3 else "[n, h, w, c]"
        raise ValueError(f"images must be uint8 {wanted} with n >= 1, got {images.dtype} {images.shape}")


def _check_labels(labels, num, num_classes=None):
    is_whole = labels.shape == (num,) and np.issubdtype(labels.dtype, np.integer)
    if not is_whole or labels.min() < 0 or (num_classes is not None and labels.max() >= num_classes):
        below = "" if num_classes is None else f" and < {num_classes}"
        raise ValueError(f"labels must be {num} integers >= 0{below}, got {labels.dtype} {labels.shape}")


class _Network(nn.Module):
    """Images uint8 [n, h, w, c] -> features [n, 64] and logits [n, k]."""

    num_classes: int

    @nn.compact
    def __call__(self, images):
        x = images.astype(jnp.float32) / 255
        for width in (32, 64, 64):
            x = nn.relu(Conv(width, kernel_size=3, stride=2, kernel_init=_INIT)(x))
        features = nn.relu(nn.Dense(FEATURES, kernel_init=_INIT)(x.reshape(len(x), -1)))
        return features, nn.Dense(self.num_classes)(features)


@functools.partial(jax.jit, static_argnums=0)
def _forward(num_classes, params, images):
    return _Network(num_classes).apply({"params": params}, images)


def _initial(num_classes, shape, seed):
    return _Network(num_classes).init(jax.random.key(seed), jnp.zeros((1, *shape), jnp.uint8))["params"]


def _trained(name, images, labels, seed):
    """The network's parameters after training, as NumPy arrays."""
    num_classes = int(labels.max()) + 1
    rows = _order(len(images), seed)
    transform = optax.adamw(optax.cosine_onecycle_schedule(len(rows), LEARNING_RATE))
    params = _initial(num_classes, images.shape[1:], seed)
    carry = params, transform.init(params)
    images, labels = jax.device_put((images, labels))
    descend = _descent(transform, num_classes)
    with progress.counting(f"training a classifier of {name}", len(rows), "steps") as add:
        for start in range(0, len(rows), _BLOCK):
            carry = jax.block_until_ready(descend(carry, images, labels, rows[start : start + _BLOCK]))
            add(_BLOCK)
    return jax.tree.map(np.asarray, carry[0])


def _order(num, seed):
    """The rows of the set that make up every batch, epoch after epoch: int32 [steps, b]."""
    steps = max(-(-EPOCHS * num // BATCH), MIN_STEPS)
    steps = -(-steps // _BLOCK) * _BLOCK
    rng = np.random.default_rng(seed)
    epochs = np.tile(np.arange(num, dtype=np.int32), (-(-steps * BATCH // num), 1))
    return rng.permuted(epochs, axis=1).reshape(-1)[: steps * BATCH].reshape(steps, BATCH)


def _descent(transform, num_classes):
    """(carry, images, labels, rows [steps, b]) -> carry, one step of the optimiser for each batch, compiled."""

    @jax.jit
    def descend(carry, images, labels, rows):
        def step(carry, batch_rows):
            params, opt_state = carry
            gradients = jax.grad(_loss)(params, num_classes, images[batch_rows], labels[batch_rows])
            updates, opt_state = transform.update(gradients, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), None

        return jax.lax.scan(step, carry, rows)[0]

    return descend


def _loss(params, num_classes, images, labels):
    logits = _forward(num_classes, params, images)[1]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
