"""The benchmark's StyleGAN2 in PyTorch, an opponent and an oracle, computes what the official code does."""

import importlib

import numpy as np
import pytest

from tests.networks import official_stylegan2 as official
from tests.networks.official_stylegan2 import inputs, thinned, weights

FORMS = ("grouped", "scaled")


@pytest.fixture(scope="module")
def torch():
    """On one thread: where others use the cores too, two of them wait for each other more than they work."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def peer(torch):
    return importlib.import_module("benchmarks.stylegan2_peer")


@pytest.fixture(scope="module")
def tensor(torch):
    return lambda array: torch.tensor(np.asarray(array, np.float32))


@pytest.fixture(scope="module")
def small(peer, tensor):
    """A function of settings that gives the official networks of 8 x 8 images, with their weights."""

    def make(**settings):
        networks = peer.make_networks(8, 2, channels=2, latent_dim=4, max_width=3, group=2, **settings)
        classes, is_plain = settings.get("classes", 0), settings.get("critic") == "plain"
        generator_shapes = official.GENERATOR_OF_CLASSES if classes else official.GENERATOR
        critic_shapes = official.CRITIC | ({} if is_plain else official.SKIP)
        critic_shapes = official.CRITIC_OF_CLASSES if classes else critic_shapes
        for network, shapes in zip(networks, (generator_shapes, critic_shapes), strict=True):
            given = {name: tensor(array) for name, array in official.parameters(shapes).items()}
            missing, unexpected = network.load_state_dict(given, strict=False)
            assert not unexpected
            assert all(classes and not name.startswith("mapping") for name in missing)
        return networks

    return make


def assert_official(name, found, atol=2e-6):
    np.testing.assert_allclose(found.detach().numpy(), official.NUMBERS[name], rtol=1e-5, atol=atol)


def one_hot(*classes):
    return np.eye(official.CLASSES)[list(classes)]


def test_the_filter_and_its_resampling(peer, tensor):
    image = tensor(inputs((1, 1, 4, 4)))
    assert_official("taps", peer.TAPS[:2])
    assert_official("upsample2d", thinned(peer.upsample(image)))
    assert_official("downsample2d", peer._blur(image, 1, stride=2))


@pytest.mark.parametrize("form", FORMS)
def test_modulated_convolutions(peer, tensor, form):
    x, style = tensor(inputs((2, 2, 4, 4))), tensor(inputs((2, 2), 1))
    kernel, pointwise = tensor(weights((3, 2, 3, 3))), tensor(weights((3, 2, 1, 1)))
    plain = peer.modulated_conv(x, pointwise, style, is_demodulated=False, form=form)
    assert_official("modulated", thinned(peer.modulated_conv(x, kernel, style, form=form)))
    assert_official("modulated_up", thinned(peer.modulated_conv(x, kernel, style, is_up=True, form=form))[1])
    assert_official("to_rgb", thinned(plain))


@pytest.mark.parametrize("form", FORMS)
def test_a_modulated_convolution_of_unit_styles_without_demodulation_is_the_convolution_that_resamples(
    peer, tensor, form
):
    x, kernel = tensor(inputs((1, 2, 4, 4))), tensor(weights((3, 2, 3, 3)))
    up = peer.modulated_conv(x, kernel, tensor([[1, 1]]), is_demodulated=False, is_up=True, form=form)
    assert_official("conv_up", thinned(up))


@pytest.mark.parametrize(("name", "size"), [("conv_down", 3), ("conv_1x1_down", 1)])
def test_the_critics_downsampling_convolutions(peer, tensor, name, size):
    layer = peer._Conv(2, 3, size, is_down=True, is_plain=True)
    layer.load_state_dict({"weight": tensor(weights((3, 2, size, size)) * np.sqrt(2 * size**2))})
    assert_official(name, layer(tensor(inputs((1, 2, 4, 4)))))


@pytest.mark.parametrize("channels", [1, 2])
def test_the_minibatch_deviation_of_strided_groups(peer, tensor, channels):
    y = peer.append_deviation(tensor(inputs((8, 4, 2, 2))), 4, channels)
    np.testing.assert_array_equal(y[:, :4], inputs((8, 4, 2, 2)))
    np.testing.assert_array_equal(y[:, 4:], y[:, 4:, :1, :1].expand(-1, -1, 2, 2))
    assert_official(f"deviation_{channels}", y[:, 4:, 0, 0])


def test_a_dense_layer_of_a_smaller_learning_rate(peer, tensor):
    layer = peer._Dense(4, 3, 0.01, is_active=True)
    layer.load_state_dict({"weight": tensor(100 * weights((3, 4))), "bias": tensor(100 * weights((3,), 1))})
    assert_official("dense", layer(tensor(inputs((2, 4)))))


def test_the_mapping_network(small, tensor):
    generator, _ = small()
    w = generator.mapping(tensor(inputs((2, 4))))
    assert w.shape == (2, 4, 4)
    for layer in range(4):
        assert_official("mapping", w[:, layer])


def test_the_mapping_network_of_classes(small, tensor):
    generator, _ = small(classes=3)
    w = generator.mapping(tensor(inputs((2, 4))), tensor(one_hot(2, 0)))
    assert_official("mapping_of_classes", w[:, 0])


@pytest.mark.parametrize("form", FORMS)
def test_the_generator(small, tensor, form):
    generator, _ = small(form=form)
    z = tensor(inputs((2, 4)))
    assert_official("generator", thinned(generator(z)))
    noises = [tensor(inputs((r, r), k)) for k, r in enumerate(generator.noise_sizes)]
    assert generator.noise_sizes == [4, 8, 8]
    images = generator.synthesis(tensor(inputs((2, 4, 4), 1)), noises)
    assert_official("generator_of_layers", thinned(images[1]))


@pytest.mark.parametrize("form", FORMS)
def test_path_lengths_and_their_running_mean(peer, small, tensor, form):
    """Of one image at a time: its penalty is (length - mean)^2, and the mean has moved to it by a hundredth."""
    generator, _ = small(form=form)
    w, direction = generator.mapping(tensor(inputs((2, 4)))), tensor(inputs((2, 2, 8, 8), 3) / 8)
    for i, length in enumerate(official.NUMBERS["path_lengths"]):
        mean = tensor(0.5)
        penalty, moved = peer.path_length(generator, w[i : i + 1], None, mean, direction[i : i + 1])
        expected = 0.99 * 0.5 + 0.01 * length
        assert moved.item() == pytest.approx(expected, rel=1e-6)
        assert penalty.item() == pytest.approx((length - expected) ** 2, rel=1e-5)


def test_the_gradient_of_path_length_goes_through_the_running_mean_too(peer, small, tensor):
    """By differences of the penalty, for the one number in const that they are asked of."""
    generator, _ = small()
    generator = generator.double()
    z, direction = tensor(inputs((2, 4))).double(), tensor(inputs((2, 2, 8, 8), 3) / 8).double()

    def penalty(change):
        generator.const.data[1, 2, 3] += change
        found, _ = peer.path_length(generator, generator.mapping(z), None, tensor(0.5).double(), direction)
        generator.const.data[1, 2, 3] -= change
        return found

    penalty(0.0).backward()
    expected = (penalty(1e-5) - penalty(-1e-5)).item() / 2e-5
    assert generator.const.grad[1, 2, 3].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("critic", {}), ("critic_clamped", {"clamp": 1}), ("critic_plain", {"critic": "plain"})],
)
def test_critics(small, tensor, name, settings):
    _, critic = small(**settings)
    assert_official(name, critic(tensor(5 * inputs((4, 2, 8, 8)))))


def test_a_critic_of_classes(small, tensor):
    _, critic = small(classes=3)
    logits = critic(tensor(5 * inputs((4, 2, 8, 8))), tensor(one_hot(2, 0, 1, 0)))
    assert_official("critic_of_classes", logits)


def test_r1_is_the_mean_of_squared_slopes(peer, small, tensor):
    _, critic = small()
    found = peer.r1(critic, tensor(5 * inputs((4, 2, 8, 8))))
    assert found.item() == pytest.approx(np.mean(official.NUMBERS["squared_slopes"]), rel=1e-5)


# counted in the official networks of `auto`, `stylegan2` and `cifar`
@pytest.mark.parametrize(
    ("size", "width", "settings", "expected"),
    [
        (32, 512, {}, (19_947_539, 21_507_073)),
        (256, 64, {}, (23_191_522, 24_001_089)),
        (32, 1024, {"mapping_layers": 8}, (21_523_475, 21_507_073)),
        (64, 512, {"mapping_layers": 8}, (27_032_600, 26_488_833)),
        (1024, 32, {"mapping_layers": 8}, (30_370_060, 29_012_513)),
        (1024, 32, {}, (28_794_124, 29_012_513)),
        (32, 1024, {"critic": "plain"}, (19_947_539, 20_720_641)),
        (32, 1024, {"critic": "plain", "classes": 10}, (20_215_315, 23_089_664)),
    ],
)
def test_there_are_as_many_parameters_as_in_the_official_networks(
    torch, peer, monkeypatch, size, width, settings, expected
):
    monkeypatch.setattr(torch, "randn", torch.empty)  # no need to draw them
    networks = peer.make_networks(size, width, **settings)
    assert tuple(sum(p.numel() for p in network.parameters()) for network in networks) == expected


def test_a_layers_styles_start_at_one_its_noise_at_zero_and_its_weights_at_unit_variance(torch, peer):
    torch.manual_seed(0)
    generator, critic = peer.make_networks(8, 32, latent_dim=64)
    parameters = dict(generator.named_parameters()) | dict(critic.named_parameters())
    for name, parameter in parameters.items():
        if name.endswith(("bias", "strength")):
            assert (parameter == (1 if "style" in name else 0)).all(), name
        elif parameter.numel() > 1000:
            assert parameter.std().item() == pytest.approx(100 if "mapping" in name else 1, rel=0.1), name


def test_mixing_takes_the_layers_from_the_cutoff_on_of_the_other(peer, tensor):
    w, other = tensor(inputs((2, 4, 3))), tensor(weights((2, 4, 3)))
    expected = np.where(np.arange(4)[:, None] < 3, inputs((2, 4, 3)), weights((2, 4, 3)))
    np.testing.assert_array_equal(peer.mix(w, other, 3), expected)


@pytest.mark.parametrize("probability", [0, 1])
def test_styles_are_mixed_by_their_probability(torch, peer, probability):
    """Layers from the first on share one w; mixed, the last has another; and each sample its own."""
    torch.manual_seed(0)
    generator, _ = peer.make_networks(16, 4, latent_dim=8)
    cutoffs = set()
    for _ in range(20):
        w = peer.mixed_styles(generator, 3, None, probability)
        is_first = (w == w[:, :1]).all(2)
        assert (is_first == is_first[:1]).all()
        assert (w[0] != w[1]).all()
        cutoffs.add(tuple(is_first[0].tolist()))
    mixed = {tuple(i < cutoff for i in range(6)) for cutoff in range(1, 6)}
    assert cutoffs == (mixed if probability else {(True,) * 6})


def test_losses_are_softplus_of_signed_logits(peer, tensor):
    real, fake = np.array([-3.0, 0.5, 2.0]), np.array([1.0, -0.25, 4.0])
    found = peer.critic_loss(tensor(real), tensor(fake)).item()
    assert found == pytest.approx(np.mean(np.log1p(np.exp(-real))) + np.mean(np.log1p(np.exp(fake))), rel=1e-6)
    assert peer.generator_loss(tensor(fake)).item() == pytest.approx(np.mean(np.log1p(np.exp(-fake))), rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_terms_have_updates_of_their_own_in_their_intervals(torch, peer, monkeypatch, form):
    """Path length in every second step, R1 in every fourth; the generator's updates, then the critic's."""
    torch.manual_seed(0)
    generator, critic = peer.make_networks(8, 4, latent_dim=8, form=form)
    updates = []
    monkeypatch.setattr(peer, "_update", lambda optimizer, loss: updates.append((optimizer, loss.item())))
    real = torch.randn(4, 3, 8, 8)
    step = peer.make_step(generator, critic, lambda: (real, None), path_every=2, r1_every=4)
    counts = []
    for _ in range(5):
        step()
        owners = [optimizer.param_groups[0]["params"][0] is generator.const for optimizer, _ in updates]
        counts.append(owners)
        updates.clear()
    both, path, neither = [True, True, False, False], [True, True, False], [True, False]
    assert counts == [both, neither, path, neither, both]


def test_training_moves_every_weight_and_the_critic_tells_real_from_fake(torch, peer):
    """Reals are of one colour, and told from fakes of untrained weights by 20 updates."""
    torch.manual_seed(0)
    generator, critic = peer.make_networks(8, 4, latent_dim=8)
    before = [parameter.clone() for network in (generator, critic) for parameter in network.parameters()]
    real = torch.full((4, 3, 8, 8), 0.5)
    step = peer.make_step(generator, critic, lambda: (real, None), learning_rate=1e-3)
    for _ in range(20):
        step()
    after = [parameter for network in (generator, critic) for parameter in network.parameters()]
    assert all((a != b).any() for a, b in zip(before, after, strict=True) if a.numel() > 1)
    with torch.no_grad():
        fake = generator(torch.randn(4, 8))
        assert critic(real).mean() > critic(fake).mean()


@pytest.mark.parametrize(("every", "c"), [(4, 0.8), (16, 16 / 17)])
def test_the_rate_and_betas_of_a_lazy_term(torch, peer, every, c):
    _, critic = peer.make_networks(8, 4, latent_dim=8)
    (group,) = peer.lazy_adam(critic, 0.0025, every).param_groups
    assert group["lr"] == pytest.approx(0.0025 * c)
    assert group["betas"] == pytest.approx((0, 0.99**c))
    assert group["eps"] == 1e-8


@pytest.mark.parametrize("settings", [{"size": 4}, {"size": 24}, {"critic": "skip"}, {"form": "fused"}])
def test_what_it_does_not_have_is_refused(peer, settings):
    with pytest.raises(ValueError, match="power of two"):
        peer.make_networks(**{"size": 8, "width": 4} | settings)
