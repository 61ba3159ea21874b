"""The average of the generator's parameters: by a decay for each step, or by a half-life in images."""

import jax
import jax.numpy as jnp
import ml_collections

from gan_jax.training.hyperparameters import EMA_STEPS, is_on, leaves


def averaged(config: ml_collections.ConfigDict, ema, params, hparams: dict[str, jax.Array], step: jax.Array):
    """ema <- d ema + (1 - d) params, with the decay d of `decay`."""
    d = decay(config, hparams, step)
    return jax.tree.map(lambda average, new: d * average + (1.0 - d) * new, ema, params)


def is_average(config: ml_collections.ConfigDict, hparams: dict[str, jax.Array], steps: jax.Array) -> bool:
    """Whether the average of a run after so many steps is one, and no copy: none is asked for, or `decay` was 0."""
    values = dict(leaves(config))
    has_begun = steps + hparams.get(EMA_STEPS, 0) > hparams.get("ema_start", -1)
    return bool(has_begun) and (is_on(values, "ema_decay") or is_on(values, "ema_half_life"))


def decay(config: ml_collections.ConfigDict, hparams: dict[str, jax.Array], step: jax.Array) -> jax.Array:
    """d at a step, counted from 0; t is that, and the steps of the run that this one began from.

    min(ema_decay, (1 + t) / (10 + t)), which forgets the random start; or with ema_half_life, of h images,
    0.5^(batch_size / min(h, ema_ramp * images seen)), without the minimum where ema_ramp is 0 (Karras et al. 2020,
    arXiv:1912.04958, and the authors' stylegan2-ada-pytorch). Before ema_start, in steps, 0: a copy (BigGAN's code).
    """
    values, t = dict(leaves(config)), step + hparams[EMA_STEPS]
    d = jnp.minimum(hparams["ema_decay"], (1.0 + t) / (10.0 + t))
    if is_on(values, "ema_half_life"):
        half_life = hparams["ema_half_life"]
        if is_on(values, "ema_ramp"):
            half_life = jnp.minimum(half_life, hparams["ema_ramp"] * t * config.batch_size)
        d = 0.5 ** (config.batch_size / jnp.maximum(half_life, 1e-8))
    return jnp.where(t < hparams["ema_start"], 0.0, d) if is_on(values, "ema_start") else d
