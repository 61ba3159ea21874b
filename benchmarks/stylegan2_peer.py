"""StyleGAN2 in PyTorch, as its users have it: an opponent for benchmarks, and another implementation to test by.

Karras et al. 2020, arXiv 1912.04958, and the training of 2006.06676, written anew, in float32 and with PyTorch's own
operations. Weights are named as in `names_and_shapes` and kept as PyTorch keeps them: kernels [out, in, height, width],
matrices [out, in]. To copy those of another implementation: `network.load_state_dict({name: tensor})`.

Like ours, but without what only ours does in every step: no average of the generator or of w, no metrics, no flips.
"""

import itertools
import math

import torch
from torch import nn
from torch.nn import functional

TAPS = torch.outer(torch.tensor([1.0, 3.0, 3.0, 1.0]), torch.tensor([1.0, 3.0, 3.0, 1.0])) / 64


def make_networks(
    size,
    width,
    channels=3,
    latent_dim=512,
    max_width=512,
    mapping_layers=2,
    classes=0,
    clamp=0,
    group=4,
    deviation_channels=1,
    critic="residual",
    form="grouped",
):
    """(generator, critic) as modules with fresh weights.

    size: a power of two, 8 or more. width: channels at that resolution; each halving doubles them, up to max_width.
    latent_dim: of z and w. classes: 0 for none. clamp: the largest activation, 0 for none. group, deviation_channels:
    of the minibatch deviation. critic: `residual` or `plain`. form: how weights are modulated, see `modulated_conv`.
    """
    if size < 8 or size & (size - 1) or critic not in ("residual", "plain") or form not in ("grouped", "scaled"):
        raise ValueError(f"size is a power of two from 8, not {size}; critic residual or plain, form grouped or scaled")
    resolutions = [2**i for i in range(2, size.bit_length())]
    widths = {resolution: min(width * size // resolution, max_width) for resolution in resolutions}
    generator = Generator(widths, channels, latent_dim, mapping_layers, classes, clamp, form)
    return generator, Critic(widths, channels, classes, clamp, group, deviation_channels, critic == "residual")


def names_and_shapes(network):
    """[(name, shape)] of a network's parameters, in a fixed order."""
    return [(name, tuple(parameter.shape)) for name, parameter in network.named_parameters()]


def make_step(
    generator, critic, draw, learning_rate=0.0025, gamma=1.0, r1_every=16, path_every=4, path_weight=2.0, mixing=0.9
):
    """A function that makes one step: generator, path length, critic and R1, each an update of its own.

    draw(): reals [b, channels, size, size] in [-1, 1] and their classes, one-hot [b, classes] or None, which the fakes
    take too. gamma, path_weight: 0 for none; rates and betas follow the intervals all the same, as published.
    """
    generator_adam = lazy_adam(generator, learning_rate, path_every)
    critic_adam = lazy_adam(critic, learning_rate, r1_every)
    mean, steps = torch.zeros((), device=generator.const.device), itertools.count()

    def fakes(batch, c):
        return generator.synthesis(mixed_styles(generator, batch, c, mixing), draw_noises(generator, batch))

    def path_penalty(batch, c):
        nonlocal mean
        w = mixed_styles(generator, batch, None if c is None else c[:batch], mixing)
        penalty, mean = path_length(generator, w, draw_noises(generator, batch), mean)
        return penalty

    def step():
        number, (real, c) = next(steps), draw()
        critic.requires_grad_(False)
        _update(generator_adam, generator_loss(critic(fakes(len(real), c), c)))
        if path_weight and number % path_every == 0:
            _update(generator_adam, path_every * path_weight * path_penalty(len(real) // 2, c))
        critic.requires_grad_(True)
        with torch.no_grad():
            fake = fakes(len(real), c)
        _update(critic_adam, critic_loss(critic(real, c), critic(fake, c)))
        if gamma and number % r1_every == 0:
            _update(critic_adam, r1_every * gamma / 2 * r1(critic, real, c))

    return step


def step_of(config, shape, images, form):
    """A step for a configuration of ours and images [n, h, w, c] in [-1, 1], drawn anew each time.

    form: `scaled`, as of `modulated_conv`; `channels_last`: kernels and images in that order of memory; else neither.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network, memory = config.network, torch.channels_last if form == "channels_last" else torch.contiguous_format
    generator, critic = (
        player.to(device, memory_format=memory)
        for player in make_networks(
            shape[0],
            network.width,
            shape[2],
            network.latent_dim,
            network.max_width,
            network.depth,
            clamp=network.clamp,
            group=network.minibatch_deviation,
            critic="residual" if network.residual else "plain",
            form="scaled" if form == "scaled" else "grouped",
        )
    )
    images = torch.tensor(images).permute(0, 3, 1, 2).to(device).contiguous(memory_format=memory)

    def draw():
        return images[torch.randint(len(images), (config.batch_size,), device=device)], None

    path = config.generator.path_length
    return make_step(
        generator,
        critic,
        draw,
        config.optimizer.critic_lr,
        config.penalty.weight,
        config.penalty.every,
        path.every,
        path.weight,
        network.style_mixing,
    )


def lazy_adam(network, learning_rate, every, betas=(0.0, 0.99)):
    """Adam for a loss of every step and a term of every so many: rate x c, betas to the c, c = every / (every + 1)."""
    c = every / (every + 1)
    return torch.optim.Adam(network.parameters(), c * learning_rate, [beta**c for beta in betas], eps=1e-8)


def _update(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def generator_loss(fake_logits):
    """E softplus(-D(fake))."""
    return functional.softplus(-fake_logits).mean()


def critic_loss(real_logits, fake_logits):
    """E softplus(-D(real)) + E softplus(D(fake))."""
    return functional.softplus(-real_logits).mean() + functional.softplus(fake_logits).mean()


def r1(critic, real, c=None):
    """E |grad D(real)|^2, over all pixels of an image. The published term is gamma/2 of it."""
    real = real.detach().requires_grad_()
    (slopes,) = torch.autograd.grad(critic(real, c).sum(), real, create_graph=True)
    return slopes.square().sum((1, 2, 3)).mean()


def path_length(generator, w, noises, mean, direction=None, decay=0.01):
    """(E (length - mean)^2, the new mean): how far an image moves when w does, held near its running mean.

    length = sqrt(mean over layers of sum over w of (d(images x direction) / dw)^2), with direction ~ N(0, 1) / size by
    default. mean: the one before; it moves by decay towards this batch's, and the gradient goes through that too.
    """
    images = generator.synthesis(w, noises)
    if direction is None:
        direction = torch.randn_like(images) / math.sqrt(images[0, 0].numel())
    (slopes,) = torch.autograd.grad((images * direction).sum(), w, create_graph=True)
    lengths = slopes.square().sum(2).mean(1).sqrt()
    mean = mean + decay * (lengths.mean() - mean)
    return (lengths - mean).square().mean(), mean.detach()


def mixed_styles(generator, batch, c, probability):
    """w [b, layers, d] of fresh latents; with that probability, from a random layer on of other latents."""
    cutoff = int(torch.randint(1, generator.layers, ())) if torch.rand(()) < probability else generator.layers
    z, other_z = torch.randn(2, batch, generator.latent_dim, device=generator.const.device)
    w = generator.mapping(z, c)
    return w if cutoff == generator.layers else mix(w, generator.mapping(other_z, c), cutoff)


def mix(w, other, cutoff):
    """The first cutoff layers of w, the others of other."""
    return torch.cat([w[:, :cutoff], other[:, cutoff:]], 1)


def draw_noises(generator, batch):
    """N(0, 1) for every layer that takes noise, from 4 x 4 up: [b, 1, r, r] at r = 4, 8, 8, 16, 16, ..."""
    return [torch.randn(batch, 1, r, r, device=generator.const.device) for r in generator.noise_sizes]


class Generator(nn.Module):
    """Latents to images, by `synthesis(mapping(z, c), noises)`.

    mapping: z [b, d], c one-hot [b, classes] or None, to w [b, layers, d].
    """

    def __init__(self, widths, channels, latent_dim, mapping_layers, classes, clamp, form):
        super().__init__()
        self.latent_dim, self.layers = latent_dim, 2 * len(widths)
        self.noise_sizes = [4, *(resolution for resolution in list(widths)[1:] for _ in range(2))]
        self.mapping = _Mapping(latent_dim, classes, latent_dim, mapping_layers, self.layers)
        self.const = nn.Parameter(torch.randn(widths[4], 4, 4))
        pairs = zip([0, *widths.values()], widths.items(), strict=False)
        blocks = {str(r): _GeneratorBlock(c_in, c_out, channels, latent_dim, clamp, form) for c_in, (r, c_out) in pairs}
        self.blocks = nn.ModuleDict(blocks)

    def synthesis(self, w, noises=None):
        """Images [b, channels, size, size]. noises: as `draw_noises` draws them, or None for none."""
        noises = [None] * len(self.noise_sizes) if noises is None else noises
        x, image = self.const.expand(len(w), -1, -1, -1), None
        for i, block in enumerate(self.blocks.values()):
            first = max(2 * i - 1, 0)  # of the block's layers; the image's layer shares its w with the next block
            x, image = block(x, image, w[:, first : 2 * i + 2].unbind(1), noises[first : 2 * i + 1])
        return image

    def forward(self, z, c=None, noises=None):
        """Images of latents."""
        return self.synthesis(self.mapping(z, c), noises)


class Critic(nn.Module):
    """Images [b, channels, size, size], and c one-hot [b, classes] or None, to logits [b]."""

    def __init__(self, widths, channels, classes, clamp, group, deviation_channels, is_residual):
        super().__init__()
        self.group, self.deviation_channels = group, deviation_channels
        *resolutions, _ = reversed(widths)
        first, last = widths[resolutions[0]], widths[4]
        self.from_rgb = _Conv(channels, first, 1, clamp=clamp)
        blocks = {str(r): _CriticBlock(widths[r], widths[r // 2], clamp, is_residual) for r in resolutions}
        self.blocks = nn.ModuleDict(blocks)
        self.conv = _Conv(last + deviation_channels, last, 3, clamp=clamp)
        self.dense = _Dense(16 * last, last, is_active=True)
        self.out = _Dense(last, last if classes else 1)
        self.mapping = _Mapping(0, classes, last, 8, 0) if classes else None

    def forward(self, images, c=None):
        """Logits: with classes, sum(features x mapped class) / sqrt(features)."""
        x = self.from_rgb(images)
        for block in self.blocks.values():
            x = block(x)
        x = append_deviation(x, self.group, self.deviation_channels) if self.deviation_channels else x
        x = self.out(self.dense(self.conv(x).flatten(1)))
        return x[:, 0] if self.mapping is None else (x * self.mapping(None, c)).sum(1) / math.sqrt(x.shape[1])


def append_deviation(x, group, channels):
    """X with the mean standard deviation within groups of samples as further channels.

    Groups are strided, as in the published code: of 8 samples in groups of 4, {0, 2, 4, 6} and {1, 3, 5, 7}.
    """
    b, c, height, width = x.shape
    group = min(group, b)
    groups = x.reshape(group, -1, channels, c // channels, height, width)
    deviation = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((2, 3, 4))
    return torch.cat([x, deviation.repeat(group, 1)[:, :, None, None].expand(-1, -1, height, width)], 1)


def modulated_conv(x, kernel, style, is_demodulated=True, is_up=False, form="grouped"):
    """Convolves each sample with kernel x style, over input channels, divided by that product's norm if demodulated.

    x: [b, i, h, w]. kernel: [o, i, k, k]. style: [b, i]. form: `grouped` makes a kernel for each sample, and the batch
    the groups of one convolution; `scaled` scales what goes in and what comes out of one shared kernel.
    """
    if form == "scaled":
        y = _convolve(x * style[:, :, None, None], kernel[None], is_up)
        if not is_demodulated:
            return y
        return y * (style.square() @ kernel.square().sum((2, 3)).T + 1e-8).rsqrt()[:, :, None, None]
    kernels = kernel * style[:, None, :, None, None]
    if is_demodulated:
        kernels = kernels * (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    y = _convolve(x.reshape(1, -1, *x.shape[2:]), kernels, is_up)
    return y.reshape(len(x), -1, *y.shape[2:])


def _convolve(x, kernels, is_up):
    """kernels: [groups, out, in, k, k]. Up: an upside-down kernel, as PyTorch's transposed convolution has it."""
    groups = len(kernels)
    if not is_up:
        return functional.conv2d(x, kernels.flatten(0, 1), padding=kernels.shape[-1] // 2, groups=groups)
    y = functional.conv_transpose2d(x, kernels.transpose(1, 2).flatten(0, 1), stride=2, groups=groups)
    return _blur(y, 1, gain=4)


def _blur(x, padding, stride=1, gain=1):
    taps = gain * TAPS.to(x).expand(x.shape[1], 1, 4, 4)
    return functional.conv2d(x, taps, stride=stride, padding=padding, groups=x.shape[1])


def upsample(image):
    """Twice the size: zeros between pixels, then the filter, times 4."""
    taps = 4 * TAPS.to(image).expand(image.shape[1], 1, 4, 4)
    return functional.conv_transpose2d(image, taps, stride=2, padding=1, groups=image.shape[1])


def _activate(x, gain, clamp):
    return _clamp(functional.leaky_relu(x, 0.2) * (math.sqrt(2) * gain), clamp * gain)


def _clamp(x, limit):
    return x.clamp(-limit, limit) if limit else x


class _Dense(nn.Module):
    """The weight is divided by rate and multiplied by it again, with which Adam moves it by rate as much."""

    def __init__(self, c_in, c_out, rate=1.0, start=0.0, is_active=False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in) / rate)
        self.bias = nn.Parameter(torch.full((c_out,), start))
        self.rate, self.is_active = rate, is_active

    def forward(self, x):
        x = functional.linear(x, self.weight * (self.rate / math.sqrt(x.shape[1])), self.bias * self.rate)
        return _activate(x, 1, 0) if self.is_active else x


class _Mapping(nn.Module):
    """To w [b, d], or to copies of it [b, copies, d]."""

    def __init__(self, latent_dim, classes, features, depth, copies):
        super().__init__()
        self.copies, self.embed = copies, _Dense(classes, features) if classes else None
        sizes = [latent_dim + features * bool(classes), *[features] * depth]
        layers = [_Dense(c_in, c_out, 0.01, is_active=True) for c_in, c_out in itertools.pairwise(sizes)]
        self.dense = nn.Sequential(*layers)

    def forward(self, z, c=None):
        parts = ([] if z is None else [z]) + ([] if self.embed is None else [self.embed(c)])
        w = self.dense(torch.cat([x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt() for x in parts], 1))
        return w[:, None].expand(-1, self.copies, -1) if self.copies else w


class _GeneratorBlock(nn.Module):
    def __init__(self, c_in, c_out, channels, latent_dim, clamp, form):
        super().__init__()
        self.up = _Styled(c_in, c_out, latent_dim, clamp, form, is_up=True) if c_in else None
        self.conv = _Styled(c_out, c_out, latent_dim, clamp, form)
        self.rgb = _ToRGB(c_out, channels, latent_dim, clamp, form)

    def forward(self, x, image, w, noises):
        if self.up is not None:
            x = self.up(x, w[0], noises[0])
        x = self.conv(x, w[-2], noises[-1])
        y = self.rgb(x, w[-1])
        return x, y if image is None else upsample(image) + y


class _Styled(nn.Module):
    def __init__(self, c_in, c_out, latent_dim, clamp, form, is_up=False):
        super().__init__()
        self.style = _Dense(latent_dim, c_in, start=1.0)
        self.weight = nn.Parameter(torch.randn(c_out, c_in, 3, 3))
        self.strength, self.bias = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(c_out))
        self.clamp, self.form, self.is_up = clamp, form, is_up

    def forward(self, x, w, noise):
        x = modulated_conv(x, self.weight, self.style(w), is_up=self.is_up, form=self.form)
        x = x if noise is None else x + self.strength * noise
        return _activate(x + self.bias[:, None, None], 1, self.clamp)


class _ToRGB(nn.Module):
    def __init__(self, c_in, channels, latent_dim, clamp, form):
        super().__init__()
        self.style = _Dense(latent_dim, c_in, start=1.0)
        self.weight, self.bias = nn.Parameter(torch.randn(channels, c_in, 1, 1)), nn.Parameter(torch.zeros(channels))
        self.clamp, self.form = clamp, form

    def forward(self, x, w):
        style = self.style(w) / math.sqrt(x.shape[1])
        x = modulated_conv(x, self.weight, style, is_demodulated=False, form=self.form)
        return _clamp(x + self.bias[:, None, None], self.clamp)


class _CriticBlock(nn.Module):
    def __init__(self, c_in, c_out, clamp, is_residual):
        super().__init__()
        self.conv = _Conv(c_in, c_in, 3, clamp=clamp)
        self.down = _Conv(c_in, c_out, 3, clamp=clamp, is_down=True)
        self.skip = _Conv(c_in, c_out, 1, is_down=True, is_plain=True) if is_residual else None

    def forward(self, x):
        if self.skip is None:
            return self.down(self.conv(x))
        half = math.sqrt(0.5)
        return half * self.skip(x) + self.down(self.conv(x), half)


class _Conv(nn.Module):
    """Plain: without bias and activation."""

    def __init__(self, c_in, c_out, size, clamp=0, is_down=False, is_plain=False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in, size, size))
        self.bias = None if is_plain else nn.Parameter(torch.zeros(c_out))
        self.clamp, self.is_down, self.scale = clamp, is_down, 1 / math.sqrt(c_in * size**2)

    def forward(self, x, gain=1):
        size, weight = self.weight.shape[-1], self.weight * self.scale
        if not self.is_down:
            x = functional.conv2d(x, weight, self.bias, padding=size // 2)
        elif size == 1:  # the filter keeps every second pixel, then the kernel
            x = functional.conv2d(_blur(x, 1, stride=2), weight, self.bias)
        else:
            x = functional.conv2d(_blur(x, 2), weight, self.bias, stride=2)
        return x if self.bias is None else _activate(x, gain, self.clamp)
