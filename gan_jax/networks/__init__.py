"""Generators and critics in flax.linen, one file per architecture.

Each exports `Generator(shape, width, depth, norm, momentum, dtype, classes)`, `Critic(width, depth, norm, dtype, head)`
and `check_shape(shape)`, which says in words what is wrong with samples of a shape. `config.network.name` is the name
of the file. `classes` and `head` are those of `conditional`. Where both also have `attention`, the module says by
`attention_sizes(sides)` what that may be for images of these sides.
"""

from gan_jax.networks import dcgan, mlp, resnet, sn_cnn

__all__ = ["dcgan", "mlp", "resnet", "sn_cnn"]
