"""Layers that the architectures share."""

from flax import linen as nn


class Norm(nn.Module):
    """Normalisation by name: `none`, `batch` or `layer`.

    Attributes:
      kind: `batch` is batch normalisation with PyTorch's momentum 0.1 and epsilon 1e-5 (Ioffe & Szegedy 2015); `layer`
        is one mean and deviation for each sample, over all its positions and channels, as in WGAN-GP's critic.
      train: whether `batch` uses the minibatch's statistics, or the running ones.
      momentum: share of the old running statistics that an update keeps; 0 keeps the last minibatch's alone.
    """

    kind: str
    train: bool
    momentum: float = 0.9

    @nn.compact
    def __call__(self, x):
        if self.kind == "batch":
            return nn.BatchNorm(not self.train, momentum=self.momentum, epsilon=1e-5)(x)
        if self.kind == "layer":
            return nn.GroupNorm(num_groups=1, epsilon=1e-5)(x)
        return x


def mixes_samples(norm: str) -> bool:
    """Whether a sample's output under `norm` depends on the other samples of its minibatch."""
    return norm == "batch"
