"""The probability of augmentations, adapted to how far the critic overfits (ADA: Karras et al. 2020, arXiv:2006.06676).

A critic that knows its reals by heart gives all of them logits above 0. So r, the mean sign of the logits of reals, is
compared with a target: every k steps, of b images seen each, whatever n_critic is,

    p <- max(0, p + sign(r - target) k b / images),        r over these k steps.

In the paper the target is 0.6, k is 4, and p, 0 at first, needs 500,000 images to come to 1. Nothing keeps it below 1,
as in the authors' code: above it, all that is drawn is done. p is a part of the state, in what the critic remembers,
which is a function of the whole minibatch, on however many devices.
"""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from gan_jax.training.hyperparameters import adapts, leaves

SIGNS = "real_signs"
# Of what is remembered: p, the sum of r over the steps since it moved, and how many these are.
NAME = "augmentation"


def fresh_memory(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """What a run begins with; {} where p does not adapt."""
    return {NAME: (jnp.float32(0), jnp.float32(0), jnp.float32(0))} if _adapts(config) else {}


def at_step(config: ml_collections.ConfigDict, hparams: dict[str, Any], memory: dict[str, Any]) -> dict[str, Any]:
    """`hparams` with the p of this step."""
    return hparams | {"augment_probability": memory[NAME][0]} if _adapts(config) else hparams


def reading(config: ml_collections.ConfigDict, real_logits: jax.Array) -> dict[str, jax.Array]:
    """The mean sign of an update's logits of reals, where p adapts to it."""
    return {SIGNS: jnp.mean(jnp.sign(real_logits))} if _adapts(config) else {}


def adjusted(config: ml_collections.ConfigDict, hparams: dict[str, Any], critic, metrics, step: jax.Array):
    """(the critic with p for the next step, the metrics [updates] of this one with p and r), after its updates."""
    if not _adapts(config):
        return critic, metrics
    p, total, steps = critic.memory[NAME]
    signs = jnp.mean(metrics[SIGNS])
    total, steps = total + signs, steps + 1
    is_due = (step + 1) % config.augment_every == 0
    move = jnp.sign(total / steps - hparams["augment_target"]) * steps * config.batch_size / hparams["augment_images"]
    moved = jnp.where(is_due, jnp.maximum(p + move, 0), p), *(jnp.where(is_due, 0, x) for x in (total, steps))
    critic = critic.with_stats(critic.collections, critic.memory | {NAME: moved})
    return critic, metrics | {SIGNS: signs[None], "augment_probability": p[None]}


def _adapts(config):
    return adapts(dict(leaves(config)))
