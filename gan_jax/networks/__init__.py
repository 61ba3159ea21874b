"""Generators and critics in flax.linen, one file per architecture.

Each exports `Generator(shape, width, depth, norm, momentum, dtype, classes)`, called as `(latents, train)`,
`Critic(width, depth, norm, dtype, head)`, called as `(samples, train, condition=None)`, and `check_shape(shape)`, which
says in words what is wrong with samples of a shape and what to give, or "" (`layers.problem_of_images` has the words).
`config.network.name` is the name of the file. Both give float32, or what their inputs are. Convolutions are those of
`conv`: a CPU computes gradients of their gradients many times as fast as of flax's own.

`classes` and `head` are those of `conditional`. Where both also have `attention`, the module says by
`attention_sizes(sides)` what that may be for images of these sides. A critic with `group` has a minibatch deviation.

What they may have besides:
- fields of the names `latent_dim`, `max_width`, `clamp`, `residual`, `style_mixing`, which are given what
  `config.network` has for them; and `classes` of a critic that makes a projection of its own, of a part `of_class`.
- `NORMS` of the module, the norms that it takes, where these are not all.
- random numbers of their own, of the stream `noise`: `self.make_rng("noise")`. They are a function of (key, step) in
  training, and of a sample's place after it.
- statistics, in collections that are no parameters: updated where `train` is true, in the generator's own updates; a
  `momentum` of 0 sets them to those of one minibatch, which is done for the average.
- of a generator that maps its latents first, methods `mapping(inputs, train) -> w [b, ...]` and `synthesis(w, train) ->
  samples`, of which `__call__` is one after the other. If w is [b, layers, d], a property `layers`. If w can be drawn
  to its mean, fields `psi` (1.0) and `cutoff` (0), by which `mapping` does so where `train` is false.
- `mixes_samples = True` of a critic whose logits depend on others of their minibatch: reals and fakes are then two. Not
  where these are alike already, as with `layers.MinibatchDeviation`.
"""

from gan_jax.networks import dcgan, mlp, resnet, sn_cnn, stylegan2

__all__ = ["dcgan", "mlp", "resnet", "sn_cnn", "stylegan2"]
