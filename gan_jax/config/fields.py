"""Every field once: its default, what it may be, what it means, and which kind of change it bears."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_collections
from PIL import ImageColor

from gan_jax import networks
from gan_jax.config.choices import f_gans, is_network, loss_names, names_in, optimizer_names, penalty_names
from gan_jax.data import batches, folder, mixtures, sources
from gan_jax.data.fitting import LARGEST
from gan_jax.evaluation import measures
from gan_jax.features import resize
from gan_jax.objectives import augmentations, divergences
from gan_jax.reports import tracking
from gan_jax.training import conditional, schedules
from gan_jax.training.hyperparameters import HPARAMS, TERMS, leaves


class Field(NamedTuple):
    """A configuration field: its default, what it may be (a test and the words for it) and what it means.

    kind: what a run that has begun makes of another value; see KINDS. neutral: what runs did from before there was the
    field; `...`: what is the default of their data set.
    """

    default: Any
    allowed: tuple[Callable[[Any], bool], str]
    meaning: str
    kind: str = "fixed"
    neutral: Any = ...


KINDS = {
    "free": "changes no bit of the training, and may be another one whenever a run goes on or is looked at",
    "changeable": "may be another one when a run goes on; its history.jsonl then says so, with the step",
    "fixed": "is what the run is: another one needs another --workdir, which may begin from this run (--init_from)",
}
FREE, CHANGEABLE, FIXED = KINDS


def _at_least(low):
    return lambda value: low <= value < math.inf, f"at least {low}"


def _from_to(low, high):
    return lambda value: low <= value <= high, f"from {low} to {high}"


def _above(low):
    return lambda value: low < value < math.inf, f"above {low}"


def _above_to(low, high):
    return lambda value: low < value <= high, f"above {low}, up to {high}"


def _one_of(*names):
    return lambda value: value in names, "one of " + ", ".join(names)


def _nothing_or(*names):
    return lambda value: value in ("", *names), "one of " + ", ".join(names) + ", or nothing"


def _named_in(module, is_choice):
    """A name in a configuration is an attribute of one module; its choices are found here, its value by `getattr`."""
    return _one_of(*names_in(module, is_choice))


def _alone_or_some_of(alone, names):
    return (
        lambda value: value == alone or set(value.split(",")) <= set(names),
        f"{alone}, or by commas some of {', '.join(names)}",
    )


def _is_colour(value):
    try:
        return len(ImageColor.getrgb(value)) == 3
    except ValueError:
        return False


CONDITIONS = ("as_reals", "even")
ESTIMATORS = ("exact", "finite_difference")
_YES_OR_NO = (lambda value: True, "true or false")
_PATH = (lambda value: "\0" not in value, "a path")
_FRACTION = (lambda value: 0 <= value < 1, "at least 0 and below 1")
_STEPS = (lambda value: 1 <= value < 2**31, "from 1 to 2**31 - 1")  # the state counts them in int32
_NO_OR_STEPS = (lambda value: 0 <= value < 2**31, "from 0 to 2**31 - 1")
_ANY_NUMBER = (math.isfinite, "a finite number")
_SHARE = (lambda value: 0 <= value <= 1, "from 0 to 1")
# The products of these sizes stay below 2**63, beyond which XLA ends the process.
_BATCH, _UPDATES = _from_to(1, 2**20), _from_to(1, 10_000)
_WIDTH, _DEPTH, _SAMPLES = _from_to(1, 2**16), _from_to(1, 1000), 10**7
_UPDATES_BETWEEN = _from_to(1, batches.MAX_ROWS - 1)
_OWN_STEP = Field(
    False,
    _YES_OR_NO,
    "it has an optimiser step to itself, with the learning rate times c and the betas to the power c, as all steps of "
    "that player then have: c = every / (every + 1)",
    CHANGEABLE,
)
_SEED = (lambda value: 0 <= value < 2**32, "from 0 to 2**32 - 1")


def _penalty_fields(group, meaning):
    return {
        f"{group}.name": Field("none", _one_of("none", *penalty_names()), meaning),
        f"{group}.weight": Field(
            10.0, _at_least(0), "the factor of the penalty in the critic's loss; gamma of r1 and r2", CHANGEABLE
        ),
        f"{group}.every": Field(
            1,
            _UPDATES_BETWEEN,
            "critic updates between penalties, which then count this many times; under adam with b2 = 0.9, 16 leaves "
            "them about 0.7 of their weight, with 0.99 all but 0.04; under lion, about b1 of it",
            CHANGEABLE,
        ),
        f"{group}.own_step": _OWN_STEP,
        f"{group}.estimator": Field(
            "exact",
            _one_of(*ESTIMATORS),
            "finite_difference: r1, r2, r1_r2, zero_centered without a second derivative",
            CHANGEABLE,
        ),
        f"{group}.sigma": Field(0.01, _above(0), "finite_difference: how far it goes from a sample", CHANGEABLE),
        f"{group}.share": Field(1.0, _above_to(0, 1), "of the minibatch, on which the penalty is computed", CHANGEABLE),
    }


def _term_fields():
    """Of every function in objectives/critic_terms.py and generator_terms.py, without a word here for it."""
    fields = {}
    for group in TERMS:
        player, _, name = group.partition(".")
        meaning = f"{name} in objectives/{player}_terms.py, beside the {player}'s loss; 0: none"
        fields[f"{group}.weight"] = Field(0.0, _at_least(0), meaning, CHANGEABLE)
        between = f"{player} updates between two of it, which then counts this many times"
        fields[f"{group}.every"] = Field(1, _UPDATES_BETWEEN, between, CHANGEABLE)
        fields[f"{group}.own_step"] = _OWN_STEP
    return fields


def _schedule_fields():
    """Of every number of `hparams`."""
    fields = {}
    for field in HPARAMS.values():
        shape = f"how {field} changes as training goes on, from its value to `to`; warm_up: from 0 to its value"
        fields[f"schedule.{field}.shape"] = Field("constant", _one_of(*schedules.SHAPES), shape, CHANGEABLE)
        fields[f"schedule.{field}.start"] = Field(0.0, _at_least(0), "steps or images before it begins", CHANGEABLE)
        fields[f"schedule.{field}.over"] = Field(0.0, _at_least(0), "steps or images that it takes", CHANGEABLE)
        fields[f"schedule.{field}.to"] = Field(0.0, _ANY_NUMBER, "what it is after them", CHANGEABLE)
    return fields


FIELDS = {
    "seed": Field(0, _SEED, "root of all randomness"),
    "steps": Field(20_000, _STEPS, "train steps; more of them continue a finished run", CHANGEABLE),
    "batch_size": Field(64, _BATCH, "samples in a minibatch, of reals and of fakes", CHANGEABLE),
    "n_critic": Field(1, _UPDATES, "critic updates in each step, with fresh reals and fresh latents", CHANGEABLE),
    "n_critic_burst.updates": Field(
        0, _from_to(0, 10_000), "critic updates in the steps of a burst, instead of n_critic; 0: no bursts", CHANGEABLE
    ),
    "n_critic_burst.first_steps": Field(25, _NO_OR_STEPS, "the first so many steps are of a burst", CHANGEABLE),
    "n_critic_burst.every": Field(
        500,
        (lambda value: value == 0 or 2 <= value < 2**31, "0, or from 2 to 2**31 - 1"),
        "so is every step whose number, from 0 on, this divides; 0: none",
        CHANGEABLE,
    ),
    "n_generator": Field(
        1, _UPDATES, "generator updates in each step after the critic's, with fresh latents", CHANGEABLE
    ),
    "generator_batch": Field(
        1, _UPDATES, "fakes in an update of the generator, as a multiple of batch_size", CHANGEABLE
    ),
    "packing": Field(1, _BATCH, "PacGAN: samples that the critic judges together; divides batch_size"),
    "loss": Field(
        "non_saturating",
        _one_of(*loss_names(), *f_gans()),
        "a function in objectives/losses.py, or f_gan: and one in objectives/divergences.py",
    ),
    "smoothing.real": Field(
        0.0, _FRACTION, "minimax, non_saturating: the critic's target for reals is 1 less this", CHANGEABLE
    ),
    "smoothing.fake": Field(0.0, _FRACTION, "minimax, non_saturating: the critic's target for fakes", CHANGEABLE),
    "least_squares.a": Field(0.0, _ANY_NUMBER, "least_squares: the critic's target for fakes", CHANGEABLE),
    "least_squares.b": Field(1.0, _ANY_NUMBER, "least_squares: the critic's target for reals", CHANGEABLE),
    "least_squares.c": Field(1.0, _ANY_NUMBER, "least_squares: the generator's target for fakes", CHANGEABLE),
    "f_gan.alpha": Field(
        0.5,
        (lambda value: math.isfinite(value) and value not in (0, 1), "a number but 0 and 1"),
        "f_gan:alpha: its a; near 0 and 1, logits of a few tens are too large for it",
        CHANGEABLE,
    ),
    "f_gan.generator": Field(
        "minimax", _one_of(*divergences.GENERATORS), "f_gan: the generator's loss, the bound itself or section 3.2's"
    ),
    **_penalty_fields("penalty", "a penalty in objectives/penalties.py, or none"),
    **_penalty_fields("second_penalty", "another beside it, with fields of its own"),
    "weight_clip": Field(
        0.0, _at_least(0), "bound on every critic parameter after each of its updates; 0: no clipping", CHANGEABLE
    ),
    "noise.sigma": Field(
        0.0, _at_least(0), "deviation of the noise on all that the critic sees, reals and fakes alike", CHANGEABLE
    ),
    "conditional.name": Field(
        "none",
        _named_in(conditional, lambda value: isinstance(value, conditional.Conditional)),
        "what the generator is told, labels or codes, and how: a name in training/conditional.py",
    ),
    "conditional.classes": Field(
        10, _from_to(2, 2**16), "classes of the labels; infogan: values of its categorical code"
    ),
    "conditional.continuous": Field(0, _from_to(0, 1000), "infogan: codes drawn from U(-1, 1)"),
    "conditional.weight": Field(
        1.0,
        _at_least(0),
        "auxiliary_classifier, infogan: factor of the loss of telling the class or the codes",
        CHANGEABLE,
    ),
    "conditional.continuous_weight": Field(
        0.1, _at_least(0), "infogan: factor of the continuous codes in that loss", CHANGEABLE
    ),
    "augment": Field(
        "none",
        _alone_or_some_of("none", augmentations.names()),
        "what is done to all that the critic sees, reals and fakes alike: DiffAugment; ADA's bgc, and parts of it",
        CHANGEABLE,
    ),
    "augment_probability": Field(
        1.0, _SHARE, "of each of these, and of each part of ADA's, for each sample", CHANGEABLE
    ),
    "augment_target": Field(
        0.0,
        _FRACTION,
        "ADA: the mean sign of the logits of reals that a probability, 0 at first, is adapted to; 0.6 in the paper; 0: "
        "it is augment_probability",
        CHANGEABLE,
    ),
    "augment_images": Field(
        500_000.0, _at_least(1), "ADA: images in which the probability comes from 0 to 1, at most", CHANGEABLE
    ),
    "augment_every": Field(4, _UPDATES_BETWEEN, "ADA: steps between two of its moves", CHANGEABLE),
    "data.name": Field("digits", (bool, "a name"), "an embedded set, a 2-D mixture, a TFDS image set, or folder"),
    "data.dir": Field("", _PATH, "the TFDS folder (empty: TFDS's own), or the image folder", FREE),
    "data.image_size": Field(
        0, _from_to(0, LARGEST), "pixels to crop and resize images to; 0: their own (28 is padded to 32)"
    ),
    "data.background": Field(
        "white", (_is_colour, "a colour, as white or #80ff00"), "what transparent pixels are shown on", CHANGEABLE
    ),
    "data.reading": Field(
        folder.READING,
        _from_to(1, folder.READING),
        "folders: 2: files by content, upright, classes in the order of their numbers, splits; 1: as older runs did",
        neutral=1,
    ),
    "data.flip": Field(False, _YES_OR_NO, "reals are mirrored, left and right, half of the time", CHANGEABLE),
    "data.balanced": Field(
        False, _YES_OR_NO, "reals of rarer classes are repeated, until all classes come as often", CHANGEABLE
    ),
    "data.memory_mb": Field(
        2048.0, _at_least(0), "MB up to which a set is kept on the device; a larger one is streamed", CHANGEABLE
    ),
    "network.name": Field("dcgan", _named_in(networks, is_network), "a module in networks/"),
    "network.latent_dim": Field(64, _WIDTH, "components of the latent, each drawn from N(0, 1)"),
    "network.width": Field(
        64, _WIDTH, "channels of the largest feature maps of dcgan, sn_cnn, resnet, stylegan2; units in a layer of mlp"
    ),
    "network.generator_width": Field(
        0, _from_to(0, 2**16), "the generator's width, where it differs; 0: network.width"
    ),
    "network.depth": Field(3, _DEPTH, "mlp: hidden layers; stylegan2: layers that map z to w"),
    "network.max_width": Field(512, _WIDTH, "stylegan2: channels that smaller images have at most"),
    "network.residual": Field(True, _YES_OR_NO, "stylegan2: the critic's blocks have shortcuts"),
    "network.clamp": Field(0.0, _at_least(0), "stylegan2: bound on what convolutions give, 256 in bfloat16; 0: none"),
    "network.style_mixing": Field(0.9, _SHARE, "stylegan2: of the samples in training, made of two latents"),
    "network.attention": Field(0, _from_to(0, 256), "resnet: pixels of the images with self-attention; 0: none"),
    "network.generator_norm": Field("batch", _one_of("none", "batch", "layer"), "normalisation in the generator"),
    "network.critic_norm": Field(
        "none", _one_of("none", "batch", "layer"), "normalisation in the critic; batch: in two passes"
    ),
    "network.minibatch_deviation": Field(
        0,
        _from_to(0, 2**20),
        "samples in a group whose deviation from one another the critic is shown, 4 in StyleGAN2; 0: none",
    ),
    "network.dtype": Field(
        "float32", _one_of("float32", "bfloat16"), "what the networks compute in; parameters are float32 in either case"
    ),
    "network.spectral_norm": Field(False, _YES_OR_NO, "spectral norm of all critic kernels"),
    "optimizer.name": Field(
        "adam",
        _one_of(*optimizer_names()),
        "an optimiser in training/optimizers.py, for both networks",
    ),
    "optimizer.generator_name": Field(
        "", _nothing_or(*optimizer_names()), "the generator's, if another; empty: optimizer.name"
    ),
    "optimizer.critic_name": Field(
        "", _nothing_or(*optimizer_names()), "the critic's, if another; empty: optimizer.name"
    ),
    "optimizer.generator_lr": Field(2e-4, _above(0), "learning rate of the generator", CHANGEABLE),
    "optimizer.critic_lr": Field(2e-4, _above(0), "learning rate of the critic", CHANGEABLE),
    "optimizer.b1": Field(
        0.5, _FRACTION, "decay of the first moment of adam and adamw; lion: its share in the update", CHANGEABLE
    ),
    "optimizer.b2": Field(
        0.9, _FRACTION, "decay of the second moment of adam and adamw; lion: of its only one", CHANGEABLE
    ),
    "optimizer.weight_decay": Field(
        0.0,
        _at_least(0),
        "adamw, lion: times the learning rate, how far each update shrinks parameters, biases and scales too",
        CHANGEABLE,
    ),
    "ema_decay": Field(
        0.999, _FRACTION, "of the generator's average, for each step after the first ones; 0: none", CHANGEABLE
    ),
    "ema_half_life": Field(
        0.0,
        _at_least(0),
        "images after which the average has forgotten half of what was there, instead of ema_decay; 0: by ema_decay",
        CHANGEABLE,
    ),
    "ema_ramp": Field(
        0.0,
        _at_least(0),
        "the half-life is at most this times the images seen so far, 0.05 in StyleGAN2; 0: no such bound",
        CHANGEABLE,
    ),
    "ema_start": Field(
        0.0, _at_least(0), "steps before which the average is a copy, as in BigGAN's code; 0: none", CHANGEABLE
    ),
    "ema_conditions": Field(
        "as_trained",
        _one_of("as_trained", "even"),
        "how often batch statistics of the average are told each class: as in training, or all alike",
        neutral="even",
    ),
    "log_every": Field(20, _STEPS, "steps between lines of metrics.jsonl, each the mean over these steps", FREE),
    "sample_every": Field(
        500, _NO_OR_STEPS, "steps between sample grids of the same latents; 0: only at the end", FREE
    ),
    "checkpoint_every": Field(500, _STEPS, "steps between checkpoints", FREE),
    "eval_every": Field(
        0, _NO_OR_STEPS, "steps between evaluations, of which the best is kept; 0: none while training", FREE
    ),
    "eval_samples": Field(
        10_000, _from_to(2, _SAMPLES), "samples on either side of an evaluation, if the set has as many", FREE
    ),
    "eval_reals": Field(0, _from_to(0, _SAMPLES), "reals of an evaluation, if other than as many as samples", FREE),
    "eval_split": Field("train", (bool, "a name"), "split of the data that an evaluation compares with", FREE),
    "eval_conditions": Field(
        "as_reals",
        _one_of(*CONDITIONS),
        "how often an evaluation asks for each class: as among its reals, or all alike",
        FREE,
        neutral="even",
    ),
    "eval_metrics": Field(
        "auto", _alone_or_some_of("auto", measures.names()), "what is measured; auto: what suits the data", FREE
    ),
    "eval_features": Field(
        "suitable",
        _one_of(*measures.FEATURES),
        "what images are compared by; suitable: inception for fid, kid and is; else a classifier, or what is at hand",
        FREE,
        neutral="auto",
    ),
    "eval_resizer": Field("tf1", _one_of(*resize.NAMES), "how images are resized for inception", FREE),
    "wandb.mode": Field("disabled", _one_of(*tracking.MODES), "Weights & Biases", FREE),
    **_term_fields(),
    "schedule.unit": Field(
        "steps", _one_of(*schedules.UNITS), "what schedules count: steps, or images, batch_size for each", CHANGEABLE
    ),
    **_schedule_fields(),
}

SMALL = ("digits", *mixtures.MIXTURES)
CLASSES = {name: max(2, components) for name, (_, components) in mixtures.MIXTURES.items()}


def default_config(data: str = "digits") -> ml_collections.ConfigDict:
    """Every field at its default, with the network and the sizes that suit the data set `data`."""
    config = ml_collections.ConfigDict()
    for name, field in FIELDS.items():
        *groups, leaf = name.split(".")
        place = config
        for group in groups:
            if group not in place:
                place[group] = ml_collections.ConfigDict()
            place = place[group]
        place[leaf] = field.default
    config.data.name, config.conditional.classes = data, CLASSES.get(data, 10)
    if data in SMALL:
        _suit_small(config)
    if sources.is_points(data):
        _suit_points(config)
    return config


def _suit_small(config):
    """A perceptron, of which a CPU makes hundreds of steps a second: so all that is periodic comes less often."""
    config.network.name, config.network.width = "mlp", 256
    config.steps = 10_000
    config.log_every, config.sample_every, config.checkpoint_every, config.eval_every = 50, 1000, 1000, 1000


def _suit_points(config):
    """The toy settings of Gulrajani et al. 2017, with narrower networks."""
    config.network.width, config.network.latent_dim, config.network.generator_norm = 128, 2, "none"
    config.batch_size, config.eval_samples = 256, 2500


def neutral_fields(data: str) -> dict[str, Any]:
    """What the fields were, in effect, for runs on the set `data` from before there were any."""
    others = {name: field.neutral for name, field in FIELDS.items() if field.neutral is not ...}
    if data != "folder":  # which alone are read in one way or the other
        others["data.reading"] = FIELDS["data.reading"].default
    return flat(default_config(data)) | others


def as_now(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a run as they are called now: older ones had falling rates, and noise, in fields of their own."""
    now = {name: value for name, value in fields.items() if name not in _FORMER}
    decay, noise = (fields.get(name, 0) for name in ("optimizer.decay_steps", "noise.steps"))
    falling = {"optimizer.generator_lr": decay, "optimizer.critic_lr": decay, "noise.sigma": noise}
    for field, over in falling.items():
        if over:
            end = 0.0 if field == "noise.sigma" else fields.get("optimizer.final_lr", 0.0) * fields[field]
            now |= {f"schedule.{field}.{part}": value for part, value in (("shape", "linear"), ("over", float(over)))}
            now[f"schedule.{field}.to"] = end
    return now


_FORMER = "optimizer.decay_steps", "optimizer.final_lr", "noise.steps"


def without_constants(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields without those of schedules that are none, as files hold them: most of all fields are such."""
    return {
        name: value
        for name, value in fields.items()
        if not (name.startswith("schedule.") and value == FIELDS[name].default)
    }


def flat(config) -> dict[str, Any]:
    """{"penalty.weight": 10.0, ...}: the fields of a configuration in the order of FIELDS."""
    values = dict(leaves(config))
    return {name: values.pop(name) for name in FIELDS if name in values} | values
