"""The configuration of a run: every field once, with its default, what it may be, and what it means.

config = default_config("fashion_mnist")      # the defaults that suit a data set
config.loss = "wasserstein"                   # an experiment file changes what it is about
validate(config)                              # one line of UserError where something is wrong
"""

from gan_jax.config.checks import no_such_field, validate
from gan_jax.config.choices import f_gans, loss_names, optimizer_names, penalty_names
from gan_jax.config.fields import (
    CHANGEABLE,
    CONDITIONS,
    FIELDS,
    FIXED,
    FREE,
    KINDS,
    SMALL,
    Field,
    as_now,
    default_config,
    flat,
    neutral_fields,
    without_constants,
)

__all__ = [
    "CHANGEABLE",
    "CONDITIONS",
    "FIELDS",
    "FIXED",
    "FREE",
    "KINDS",
    "SMALL",
    "Field",
    "as_now",
    "default_config",
    "f_gans",
    "flat",
    "loss_names",
    "neutral_fields",
    "no_such_field",
    "optimizer_names",
    "penalty_names",
    "validate",
    "without_constants",
]
