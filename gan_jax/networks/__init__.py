"""Generators and critics in flax.linen, one file per architecture.

Each exports `Generator(shape, width, depth, norm, momentum)`, `Critic(width, depth, norm)` and `check_shape(shape)`,
which says in words what is wrong with samples of a shape. `config.network.name` is the name of the file.
"""

from gan_jax.networks import dcgan, mlp

__all__ = ["dcgan", "mlp"]
