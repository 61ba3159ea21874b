"""The same GANs in PyTorch, as its users write them: modules, autograd, torch.optim and a Python loop.

Like ours, but without what only ours does in every step: no average of the generator, no metrics, no flips, no decay of
learning rates, and images that were turned to float32 beforehand. Reals and fakes go through its critic one after the
other, as in most such code; through ours, which has no batch norm there, together.
"""

import functools
import itertools

import numpy as np
import torch
from torch import nn


def make_step(config, shape, images, is_compiled, precision="tf32"):
    """A function that makes one generator step: n_critic updates of the critic, then one of the generator.

    images: float32 [n, h, w, c] in [-1, 1], or None for the ring of eight Gaussians. is_compiled: whether sampling and
    both losses go through `torch.compile`, whose backward pass can't be derived again: so not with a penalty.
    precision: `bfloat16` is autocast's; on a GPU `tf32` rounds the factors of float32 products, and `float32` does not.
    """
    losses, penalties = ("wasserstein", "non_saturating", "relativistic"), ("none", "gradient_penalty", "r1_r2")
    if config.loss not in losses or config.penalty.name not in penalties:
        raise ValueError(f"PyTorch's side has no {config.loss} with {config.penalty.name}")
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    memory_format = torch.channels_last if len(shape) == 3 else torch.contiguous_format
    generator, critic = (network.to(device, memory_format=memory_format) for network in make_networks(config, shape))
    generator_optimizer = _optimizer(config, generator, config.optimizer.generator_lr)
    critic_optimizer = _optimizer(config, critic, config.optimizer.critic_lr)
    draw = _ring(device) if images is None else _minibatches(images, device)
    batch = config.batch_size

    autocast = functools.partial(torch.autocast, device, torch.bfloat16, enabled=precision == "bfloat16")

    def sample(count):
        with autocast():
            return generator(torch.randn(count, config.network.latent_dim, device=device)).float()

    def judge(samples):
        with autocast():
            return critic(samples).float()

    def critic_loss(real, fake):
        total = _critic_loss(config, judge(real), judge(fake))
        if config.penalty.name == "gradient_penalty":
            total = total + config.penalty.weight * _gradient_penalty(judge, real, fake)
        if config.penalty.name == "r1_r2":
            both = _squared_norms(judge, real) + _squared_norms(judge, fake)
            total = total + config.penalty.weight * both.mean() / 2
        return total

    def generator_loss(real):
        fake_logits = judge(sample(batch * config.generator_batch))
        return _generator_loss(config, judge(real) if config.loss == "relativistic" else None, fake_logits)

    fakes = torch.compile(sample) if is_compiled else sample
    if is_compiled:
        critic_loss, generator_loss = torch.compile(critic_loss), torch.compile(generator_loss)

    def step():
        for _ in range(config.n_critic):
            with torch.no_grad():
                fake = fakes(batch)
            critic_optimizer.zero_grad()
            real = draw(batch)
            critic_loss(real, fake).backward()
            critic_optimizer.step()
            if config.weight_clip:
                with torch.no_grad():
                    for weight in critic.parameters():
                        weight.clamp_(-config.weight_clip, config.weight_clip)
        critic.requires_grad_(False)
        generator_optimizer.zero_grad()
        generator_loss(real).backward()
        generator_optimizer.step()
        critic.requires_grad_(True)

    return step


def make_networks(config, shape):
    """(generator, critic) as modules."""
    return {"mlp": _mlp, "dcgan": _dcgan, "resnet": _resnet}[config.network.name](config.network, shape)


def _mlp(settings, shape):
    def stack(sizes, activation):
        layers = []
        for size, next_size in itertools.pairwise(sizes):
            layers += [nn.Linear(size, next_size), activation]
        return nn.Sequential(*layers[:-1])

    hidden = [settings.width] * settings.depth
    generator = stack([settings.latent_dim, *hidden, shape[0]], nn.ReLU())
    return generator, nn.Sequential(*stack([shape[0], *hidden, 1], nn.LeakyReLU(0.2)), nn.Flatten(0))


def _dcgan(settings, shape):
    size, _, colours = shape
    doublings = int(np.log2(size // 4))
    widths = [settings.width * 2**i for i in range(doublings)]
    down, up = [], []
    for i, (c_in, c_out) in enumerate(zip([colours, *widths], widths, strict=False)):
        is_normed = settings.critic_norm == "batch" and i > 0
        down += [nn.Conv2d(c_in, c_out, 4, 2, 1, bias=not is_normed)]
        down += [nn.BatchNorm2d(c_out)] * is_normed + [nn.LeakyReLU(0.2)]
    critic = nn.Sequential(*down, nn.Flatten(), nn.Linear(widths[-1] * 16, 1), nn.Flatten(0))
    for c_in, c_out in zip(widths[::-1], widths[-2::-1], strict=False):
        up += [nn.BatchNorm2d(c_in), nn.ReLU(), nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=False)]
    up += [nn.BatchNorm2d(widths[0]), nn.ReLU(), nn.ConvTranspose2d(widths[0], colours, 4, 2, 1), nn.Tanh()]
    project = [nn.Linear(settings.latent_dim, widths[-1] * 16, bias=False), nn.Unflatten(1, (widths[-1], 4, 4))]
    return nn.Sequential(*project, *up), critic


def _resnet(settings, shape):
    """Those of WGAN-GP and SNGAN for up to 32 pixels."""
    size, _, colours = shape
    width, channels = settings.width, settings.generator_width or settings.width
    project = [nn.Linear(settings.latent_dim, 16 * channels), nn.Unflatten(1, (channels, 4, 4))]
    up = [_Up(channels) for _ in range(int(np.log2(size // 4)))]
    up += [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, colours, 3, padding=1), nn.Tanh()]
    down = [_First(colours, width), _Down(width), _Plain(width), _Plain(width), nn.ReLU(), _Sum()]
    return nn.Sequential(*project, *up), nn.Sequential(*down, nn.Linear(width, 1), nn.Flatten(0))


class _Up(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.shortcut = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(c, c, 1))
        first = [nn.BatchNorm2d(c), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(c, c, 3, padding=1)]
        self.residual = nn.Sequential(*first, nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, c, 3, padding=1))

    def forward(self, x):
        return self.shortcut(x) + self.residual(x)


class _Plain(nn.Module):
    def __init__(self, c):
        super().__init__()
        first = [nn.ReLU(), nn.Conv2d(c, c, 3, padding=1)]
        self.residual = nn.Sequential(*first, nn.ReLU(), nn.Conv2d(c, c, 3, padding=1))

    def forward(self, x):
        return x + self.residual(x)


class _Down(_Plain):
    def __init__(self, c):
        super().__init__(c)
        self.shortcut = nn.Conv2d(c, c, 1)

    def forward(self, x):
        return nn.functional.avg_pool2d(self.shortcut(x), 2) + nn.functional.avg_pool2d(self.residual(x), 2)


class _First(nn.Module):
    def __init__(self, colours, c):
        super().__init__()
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(colours, c, 1))
        first = [nn.Conv2d(colours, c, 3, padding=1), nn.ReLU()]
        self.residual = nn.Sequential(*first, nn.Conv2d(c, c, 3, padding=1), nn.AvgPool2d(2))

    def forward(self, x):
        return self.shortcut(x) + self.residual(x)


class _Sum(nn.Module):
    def forward(self, x):
        return x.sum((2, 3))


def _optimizer(config, network, learning_rate):
    if config.optimizer.name == "rmsprop":
        return torch.optim.RMSprop(network.parameters(), learning_rate)
    return torch.optim.Adam(network.parameters(), learning_rate, betas=(config.optimizer.b1, config.optimizer.b2))


def _ring(device):
    angles = 2 * np.pi * torch.arange(8, device=device) / 8
    means = torch.stack([angles.cos(), angles.sin()], 1)
    return lambda n: means[torch.randint(8, (n,), device=device)] + 0.01 * torch.randn(n, 2, device=device)


def _minibatches(images, device):
    images = torch.tensor(images, device=device).permute(0, 3, 1, 2).to(memory_format=torch.channels_last)
    return lambda n: images[torch.randint(len(images), (n,), device=device)]


def _critic_loss(config, real_logits, fake_logits):
    if config.loss == "wasserstein":
        return fake_logits.mean() - real_logits.mean()
    if config.loss == "relativistic":
        return nn.functional.softplus(fake_logits - real_logits).mean()
    return nn.functional.softplus(-real_logits).mean() + nn.functional.softplus(fake_logits).mean()


def _generator_loss(config, real_logits, fake_logits):
    if config.loss == "wasserstein":
        return -fake_logits.mean()
    if config.loss == "relativistic":
        return nn.functional.softplus(real_logits - fake_logits).mean()
    return nn.functional.softplus(-fake_logits).mean()


def _gradient_penalty(critic, real, fake):
    t = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device)
    x_hat = (t * real + (1 - t) * fake).requires_grad_()
    return ((_slopes(critic, x_hat).flatten(1).norm(dim=1) - 1) ** 2).mean()


def _squared_norms(critic, samples):
    return _slopes(critic, samples.detach().requires_grad_()).flatten(1).square().sum(1)


def _slopes(critic, samples):
    (slopes,) = torch.autograd.grad(critic(samples).sum(), samples, create_graph=True)
    return slopes
