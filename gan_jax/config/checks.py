"""Whether a configuration makes sense: each of its fields, and all of them together."""

import inspect
import math
import types

import numpy as np

from gan_jax import networks
from gan_jax.config.choices import f_gans, loss_names, optimizer_names, penalty_names
from gan_jax.config.fields import FIELDS, FIXED, SMALL, flat
from gan_jax.data import batches, bursts, sources
from gan_jax.errors import UserError
from gan_jax.evaluation import measures
from gan_jax.networks.layers import mixes_samples
from gan_jax.objectives import augmentations, divergences, losses, penalties
from gan_jax.training import conditional, optimizers, schedules, terms
from gan_jax.training.game import OPTIONS, fields_of, loss_function
from gan_jax.training.hyperparameters import (
    HPARAMS,
    LOSS_NUMBERS,
    MODULES,
    PARTS,
    PENALTIES,
    RATES,
    TERMS,
    adapts,
    ends,
)


def validate(config) -> None:
    """Raises UserError, in one line, where a field is unknown, out of range, or at odds with another."""
    values = flat(config)
    _check_names(values)
    for name, field in FIELDS.items():
        _check_value(name, values[name], field)
    # First what would change nothing: of such a field, nothing else is asked.
    _check_numbers_of_losses(values)
    _check_weight_decay(config)
    _check_conditional(config)
    _check_needed(values)
    _check_schedules(values)
    _check_loss(values)
    for check in (_check_players, _check_penalties, _check_paths, _check_intervals, _check_bursts):
        check(config)
    _check_evaluations(config)
    _check_data(config)
    _check_adaptive(values)


def _check_names(values):
    for name in values:
        if name not in FIELDS:
            raise UserError(no_such_field(name))
    for name in FIELDS:
        if name not in values:
            raise UserError(f"config.{name} is missing: begin the experiment with gan_jax.config.default_config()")


def _check_value(name, value, field):
    kind = type(field.default)
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise UserError(f"config.{name}={value!r}: give a value of type {kind.__name__}")
    is_allowed, words = field.allowed
    # Numbers are computed with in float32, in which 1e-60 is 0 and 0.99999999999 is 1.
    with np.errstate(over="ignore", under="ignore"):
        computed = _in_float32(value) if kind is float else value
    if not is_allowed(computed):
        raise UserError(f"config.{name}={value!r}: give {words}{_why_unknown(name, value)}")


def no_such_field(name: str) -> str:
    """What is said of a name that is no field's; of a term of one's own, what keeps it from being one."""
    player, term, *_ = [*name.split("."), ""]
    function, why = getattr(MODULES.get(player), term, None), ""
    if inspect.isfunction(function) and f"{player}.{term}" not in TERMS:
        module = MODULES[player]
        others = ", ".join(argument for argument in _arguments(function) if argument not in module.TAKEN) or "nothing"
        why = (
            f" (the function {function.__name__} in {module.__name__} takes {others}, where a term takes some of "
            f"{', '.join(sorted(module.TAKEN))})"
        )
    return f"config.{name}: no such field{why}; python -m gan_jax.main --help lists them"


# How one's own function is known: in which module it is to be, and by what.
_KNOWN_BY = {
    "loss": (losses, "the annotation `-> AdversarialLoss`"),
    "f_gan": (divergences, "the annotation `-> Divergence`"),
    "penalty.name": (penalties, "the arguments (critic_fn, real, fake, key) and perhaps squared_norms"),
    **dict.fromkeys(
        ("optimizer.name", "optimizer.generator_name", "optimizer.critic_name"),
        (optimizers, "an argument `learning_rate`"),
    ),
}


def _why_unknown(name, value):
    """What is missing where a function of that name is there, yet is none of the choices."""
    kind, _, function = str(value).rpartition(":")
    if (kind or name) not in _KNOWN_BY:
        return ""
    module, sign = _KNOWN_BY[kind or name]
    if not isinstance(getattr(module, function, None), types.FunctionType):
        return ""
    return f"; {module.__name__} has a function {function}, but it is known by {sign} alone"


def _in_float32(value):
    try:
        return np.float32(value)
    except OverflowError:  # an integer beyond even float64
        return np.float32(np.inf)


def _check_players(config):
    """What the players' norms, packs and attention ask of the minibatch and of one another."""
    if config.batch_size < 2 and mixes_samples(config.network.generator_norm):
        raise UserError(
            "config.batch_size=1 with config.network.generator_norm='batch': give at least 2, or in a new run another "
            "norm"
        )
    if config.batch_size < 2 * config.packing and mixes_samples(config.network.critic_norm):
        raise UserError(
            f"config.batch_size={config.batch_size} with config.network.critic_norm='batch' and "
            f"config.packing={config.packing}: the critic would see a batch of one; give at least {2 * config.packing}"
        )
    if config.batch_size % config.packing:
        raise UserError(
            f"config.packing={config.packing} with config.batch_size={config.batch_size}: "
            f"give a batch size that {config.packing} divides, or in a new run a packing that divides it"
        )
    _check_groups(config)
    _check_own(config)
    if config.network.attention and not hasattr(getattr(networks, config.network.name), "attention_sizes"):
        raise UserError(
            f"config.network.attention={config.network.attention} with config.network.name={config.network.name!r}: "
            "only resnet has self-attention; give 0"
        )


def _check_groups(config):
    """Of a minibatch deviation."""
    group, count = config.network.minibatch_deviation, config.batch_size // config.packing
    if group and "group" not in fields_of(getattr(networks, config.network.name).Critic):
        raise UserError(
            f"config.network.minibatch_deviation={group} with config.network.name={config.network.name!r}: its Critic "
            "has no group; give 0"
        )
    if group and count % group:
        raise UserError(
            f"config.network.minibatch_deviation={group} with config.batch_size={config.batch_size} and config.packing="
            f"{config.packing}: groups of {group} of {count} samples, of one kind each; give a batch size that makes a "
            f"multiple of {group}, or in a new run 0 or a group that divides {count}"
        )


def _check_own(config):
    """What some networks alone have, and what they have no place for."""
    settings, network = config.network, getattr(networks, config.network.name)
    for option in OPTIONS:
        default, takers = FIELDS[f"network.{option}"].default, [name for name in networks.__all__ if _has(name, option)]
        if option != "latent_dim" and settings[option] != default and settings.name not in takers:
            raise UserError(
                f"config.network.{option}={settings[option]!r} with config.network.name={settings.name!r}: only "
                f"{', '.join(takers)} has it; give {default!r}"
            )
    for norm in ("generator_norm", "critic_norm"):
        if settings[norm] not in (allowed := getattr(network, "NORMS", (settings[norm],))):
            raise UserError(
                f"config.network.{norm}={settings[norm]!r} with config.network.name={settings.name!r}: it has scales "
                f"of its own; give {' or '.join(allowed)}"
            )
    if hasattr(network, "NORMS"):
        _check_unscaled(flat(config))


def _check_unscaled(values):
    """What takes parameters as they are, of a network that scales them whenever it uses them."""
    for field in ("network.spectral_norm", "weight_clip", "critic.orthogonal.weight", "generator.orthogonal.weight"):
        if given := _given(values, field):
            raise UserError(
                f"config.{given}={values[given]!r} with config.network.name={values['network.name']!r}: it has scales "
                f"of its own; give {FIELDS[given].default!r}"
            )


def _has(network, option):
    return any(
        option in fields_of(player)
        for player in (getattr(networks, network).Generator, getattr(networks, network).Critic)
    )


def _check_loss(values):
    """Its targets, at any step."""
    both = {name: ends(values, name) for name in LOSS_NUMBERS.values()}
    (real, name), (fake, other) = (max((v, k) for k, v in both[f"smoothing.{of}"].items()) for of in ("real", "fake"))
    if real + fake >= 1:
        is_constant = len(both["smoothing.real"] | both["smoothing.fake"]) == 2
        would, what = ("would", "a sum") if is_constant else ("might", "numbers whose largest have a sum")
        raise UserError(
            f"{_given_as(values, name)} with {_given_as(values, other)}: the fakes' target {would} not be below the "
            f"reals'; give {what} below 1"
        )
    of_fakes, of_reals = both["least_squares.a"], both["least_squares.b"]
    if max(min(of_fakes.values()), min(of_reals.values())) <= min(max(of_fakes.values()), max(of_reals.values())):
        words = " with ".join(_given_as(values, name) for name in of_fakes | of_reals)
        would, advice = ("would", "two") if len(of_fakes | of_reals) == 2 else ("might", "two ranges that do not meet")
        raise UserError(f"{words}: the critic {would} have one target for reals and fakes; give {advice}")


def _given_as(values, name):
    return f"config.{name}={values[name]!r}"


def _check_penalties(config):
    for group in PENALTIES:
        penalty = config[group]
        if penalty.name != "none" and mixes_samples(config.network.critic_norm):
            raise UserError(
                f"config.{group}.name={penalty.name!r} with config.network.critic_norm='batch': batch norm mixes "
                "the samples whose gradients the penalty takes one by one; give critic_norm none or layer"
            )
        if penalty.share < 1 and config.packing > 1:
            raise UserError(
                f"config.{group}.share={penalty.share} with config.packing={config.packing}: give share 1, or in a new "
                "run packing 1"
            )
        if penalty.share < 1 and config.network.minibatch_deviation:
            _check_share(config, group, penalty.share)
        if penalty.estimator == "finite_difference":
            _check_estimated(config, group, penalty)


def _check_share(config, group, share):
    """Of a critic with a minibatch deviation: whole groups, the same as in the whole minibatch."""
    b, of_group = config.batch_size, config.network.minibatch_deviation
    if (n := len(penalties.of_share(np.arange(b), share))) % of_group or b % n:
        right = [f"{m / b:g}" for m in range(of_group, b + 1, of_group) if b % m == 0]
        raise UserError(
            f"config.{group}.share={share} with config.batch_size={b} and config.network.minibatch_deviation="
            f"{of_group}: {n} samples are not whole groups; give {' or '.join(right)}"
        )


def _check_estimated(config, group, penalty):
    estimated = [name for name in penalty_names() if "squared_norms" in _arguments(getattr(penalties, name))]
    if penalty.name not in estimated:
        raise UserError(
            f"config.{group}.estimator='finite_difference' with config.{group}.name={penalty.name!r}: only "
            f"{', '.join(estimated)} are means of squared norms; give exact, or in a new run one of these"
        )
    if config.network.dtype != "float32":
        raise UserError(
            f"config.{group}.estimator='finite_difference' with config.network.dtype={config.network.dtype!r}: a "
            "difference of logits of three digits is rounding; give exact, or in a new run float32"
        )


def _check_paths(config):
    """Terms that ask how a sample follows its own w."""
    values = flat(config)
    for term in terms.of_generator(config):
        if "images_of" in term.takes and mixes_samples(config.network.generator_norm):
            weight = _given(values, HPARAMS[term.weight])
            raise UserError(
                f"{_given_as(values, weight)} with config.network.generator_norm='batch': batch norm mixes the "
                f"samples, of which the term asks how each follows its own w; give {FIELDS[weight].default!r}, or in a "
                "new run generator_norm none or layer"
            )


def _check_intervals(config):
    """A lazy term that never comes, or so many intervals that no count of updates tells when each does."""
    values = flat(config)
    of_critic = bursts.updates_before(bursts.of(config), config.n_critic, config.steps)
    made = {"critic": of_critic, "generator": config.steps * config.n_generator}
    intervals: dict[str, dict[str, int]] = {"critic": {}, "generator": {}}
    for group in (*PENALTIES, *TERMS):
        player = group.partition(".")[0] if group in TERMS else "critic"
        every = intervals[player][group] = values[f"{group}.every"]
        if every > made[player]:
            raise UserError(
                f"config.{group}.every={every} with config.steps={config.steps} and config.n_{player}="
                f"{config[f'n_{player}']}: none would come; give at most {made[player]}"
            )
    for given in intervals.values():
        if (period := math.lcm(*given.values())) >= batches.MAX_ROWS:
            words = " with ".join(f"config.{group}.every={every}" for group, every in given.items() if every > 1)
            raise UserError(f"{words}: they meet only every {period} updates; give intervals that divide one another")


_OFF_AT_0 = "weight_clip", "ema_half_life", "ema_ramp"  # of which 0 is no small number: there is none then


def _check_schedules(values):
    """Of a schedule that is constant the rest says nothing; another takes time, and keeps its number in range."""
    shapes = {field: values[f"schedule.{field}.shape"] for field in HPARAMS.values()}
    if values["schedule.unit"] != FIELDS["schedule.unit"].default and {*shapes.values()} == {"constant"}:
        raise UserError(
            f"config.schedule.unit={values['schedule.unit']!r} changes nothing without a schedule: give "
            f"{FIELDS['schedule.unit'].default!r}, or config.schedule.FIELD.shape too"
        )
    for field, shape in shapes.items():
        parts = {part: values[f"schedule.{field}.{part}"] for part in PARTS}
        if shape == "constant":
            _check_constant(f"schedule.{field}", parts)
        else:
            _check_schedule(values, field, shape, **parts)


def _check_constant(name, parts):
    if given := [part for part, value in parts.items() if value]:
        raise UserError(
            f"config.{name}.{given[0]}={parts[given[0]]!r} with config.{name}.shape='constant' changes nothing: give "
            f"config.{name}.shape too, or {given[0]} 0.0"
        )


def _check_schedule(values, field, shape, start, over, to):
    name, unit = f"config.schedule.{field}", values["schedule.unit"]
    if not over:
        raise UserError(f"{name}.over=0.0 with {name}.shape={shape!r}: give {name}.over, the {unit} that it takes")
    if shape == "warm_up" and to:
        raise UserError(f"{name}.to={to!r} with {name}.shape='warm_up', which goes up to {field}: give {name}.to 0.0")
    if not any(ends(values, field).values()):
        raise UserError(
            f"{name}.shape={shape!r} with config.{field}={values[field]!r} changes nothing: give config.{field} too"
            f"{f', or {name}.to' * (shape != 'warm_up')}, or {name}.shape 'constant'"
        )
    all_of_it = values["steps"] * schedules.per_step(values)
    if shape == "warm_up" and start >= all_of_it:
        raise UserError(
            f"{name}.start={start!r} with config.steps={values['steps']}: {field} would be 0 to the end; give a start "
            f"below {all_of_it} {unit}"
        )
    for given, end in ends(values, field).items():
        if problem := _problem_at(field, shape, end):
            raise UserError(
                f"{_given_as(values, given)}{'' if given != field else f' with {name}.shape={shape!r}'}: {problem}"
            )
    holes = [
        hole for hole in (0, 1) if field == "f_gan.alpha" and min(values[field], to) < hole < max(values[field], to)
    ]
    if holes:
        raise UserError(
            f"{name}.to={to!r} with config.{field}={values[field]}: on the way it would be {holes[0]}; give two "
            "numbers below 0, between 0 and 1, or above 1"
        )


def _problem_at(field, shape, end):
    """What keeps a number from being this at an end of its schedule, and what to give; "" where nothing does."""
    is_allowed, words = FIELDS[field].allowed
    if end == 0 and field in _OFF_AT_0:
        words = "none where it is 0, and works most just above"
    elif is_allowed(_in_float32(end)) or (end == 0 and field in RATES):  # they may end there
        return ""
    is_from_0 = shape == "warm_up" and end == 0
    return f"{field} is {words}; give {'linear, and what it shall begin at' if is_from_0 else 'another number'}"


def _check_bursts(config):
    if config.n_critic_burst.updates and not (config.n_critic_burst.first_steps or config.n_critic_burst.every):
        raise UserError(
            f"config.n_critic_burst.updates={config.n_critic_burst.updates} with config.n_critic_burst.first_steps=0 "
            "and config.n_critic_burst.every=0: no step is of a burst; give updates 0, or one of the others"
        )


def _check_evaluations(config):
    metrics = {*config.eval_metrics.split(",")}
    if config.eval_every and not metrics & {"auto", *measures.SCORING}:
        raise UserError(
            f"config.eval_metrics={config.eval_metrics!r} with config.eval_every={config.eval_every}: none of them "
            f"says which checkpoint is the best; add one of {', '.join(measures.SCORING)}"
        )


def _check_data(config):
    if config.data.name == "folder" and not config.data.dir:
        raise UserError("config.data.name='folder' needs the folder of images: give --config.data.dir=PATH")
    if sources.is_points(config.data.name) and config.data.image_size:
        raise UserError(f"config.data.image_size with config.data.name={config.data.name!r}: give 0")
    of_images = {"data.flip": config.data.flip, "augment": config.augment, "data.balanced": config.data.balanced}
    for name, value in of_images.items():
        if sources.is_points(config.data.name) and value != FIELDS[name].default:
            raise UserError(
                f"config.{name}={value!r} with config.data.name={config.data.name!r}: it is for images; "
                f"give {FIELDS[name].default!r}, or in a new run a set of images"
            )
    if config.augment != "none" and config.packing > 1:
        raise UserError(
            f"config.packing={config.packing} with config.augment={config.augment!r}: give augment none, or in a "
            "new run packing 1"
        )
    if config.data.name in SMALL and config.data.dir:
        raise UserError(f"config.data.dir with config.data.name={config.data.name!r}: leave it empty")


# Losses whose logits are above 0 where the critic takes samples for reals; and of which that is not so.
_DECIDING = "minimax", "non_saturating", "log_odds", "hinge"
_UNDECIDED = "wasserstein", "least_squares", "relativistic", "f_gan:"


def _check_adaptive(values):
    """A probability of augmentations that follows the signs of logits; and one that is none."""
    if not adapts(values):
        _check_leak(values)
        return
    if given := _given(values, "augment_probability"):
        raise UserError(
            f"config.{given}={values[given]!r} with config.augment_target={values['augment_target']} changes nothing: "
            f"the probability begins at 0 and adapts; give {FIELDS[given].default!r}, or config.augment_target 0.0"
        )
    if values["loss"].startswith(_UNDECIDED):
        raise UserError(
            f"config.augment_target={values['augment_target']} with config.loss={values['loss']!r}: its logits are not "
            f"above 0 for what the critic takes for reals; give 0.0, or in a new run a loss of {', '.join(_DECIDING)}"
        )


def _check_leak(values):
    """ADA's augmentations do not show in what is generated while many samples stay as they are."""
    strong = {*values["augment"].split(",")} & {*augmentations.names_of_ada()}
    if strong and min(ends(values, "augment_probability").values()) == 1:
        raise UserError(
            f"config.augment={values['augment']!r} with config.augment_probability=1.0: what is done to all reals "
            "shows in what is generated; give config.augment_target 0.6, or a probability below 1, such as 0.2"
        )


def _check_conditional(config):
    name, settings, critic = config.conditional.name, config.conditional, getattr(networks, config.network.name).Critic
    way = getattr(conditional, name)
    if way.is_in_norms and config.network.generator_norm == "none" and "classes" not in fields_of(critic):
        raise UserError(
            f"config.conditional.name={name!r} with config.network.generator_norm='none': the generator is told the "
            "class by its norms; give batch or layer, or another conditional.name"
        )
    if way.head and config.packing > 1:
        raise UserError(
            f"config.packing={config.packing} with config.conditional.name={name!r}: a pack has no one class; give 1 "
            "(only concatenation goes with more)"
        )
    if settings.continuous and not way.is_told_codes:
        raise UserError(
            f"config.conditional.continuous={settings.continuous} with config.conditional.name={name!r}: only infogan "
            "has such codes; give 0"
        )
    values = flat(config)
    takers = {
        "conditional.weight": (way.loss, "auxiliary_classifier and infogan take"),
        "conditional.continuous_weight": (way.is_told_codes, "infogan takes"),
    }
    for field, (is_taken, words) in takers.items():
        if (given := _given(values, field)) and not is_taken:
            raise UserError(
                f"config.{given}={values[given]!r} with config.conditional.name={name!r} changes nothing: only {words} "
                f"it; give {FIELDS[given].default!r}, or in a new run another conditional.name"
            )


def _given(values, name):
    """The field that gives a number which is not the default, or changes; "" where there is none."""
    if values[name] != FIELDS[name].default:
        return name
    shape = f"schedule.{name}.shape"
    return shape if name in HPARAMS.values() and values[shape] != "constant" else ""


def _check_numbers_of_losses(values):
    """A number that the loss does not take would change nothing, and the user would never know."""
    for argument, name in LOSS_NUMBERS.items():
        if (given := _given(values, name)) and not _takes_argument(values["loss"], argument):
            takers = [loss for loss in (*loss_names(), *f_gans()) if _takes_argument(loss, argument)]
            raise UserError(
                f"config.{given}={values[given]!r} with config.loss={values['loss']!r}: only {', '.join(takers)} takes "
                f"it; give {FIELDS[given].default!r}, or in a new run another loss"
            )


def _check_weight_decay(config):
    of_generator, of_critic = optimizers.of(config)
    values = flat(config)
    given = _given(values, "optimizer.weight_decay")
    if given and not any("weight_decay" in optimizers.arguments(name) for name in (of_generator, of_critic)):
        takers = [name for name in optimizer_names() if "weight_decay" in optimizers.arguments(name)]
        raise UserError(
            f"config.{given}={values[given]!r}: neither the generator's {of_generator} nor the critic's {of_critic} "
            f"takes it; give {FIELDS[given].default!r}, or in a new run optimizer.critic_name {' or '.join(takers)}"
        )


def _takes_argument(loss, argument):
    return argument in _arguments(loss_function(loss))


def _arguments(function):
    return inspect.signature(function).parameters


# Fields that change nothing where another is at its default.
_NEEDED = {
    "n_critic_burst.first_steps": "n_critic_burst.updates",
    "n_critic_burst.every": "n_critic_burst.updates",
    **{
        f"{group}.{field}": f"{group}.name"
        for group in PENALTIES
        for field in ("every", "own_step", "estimator", "share")
    },
    **{f"{group}.sigma": f"{group}.estimator" for group in PENALTIES},
    **{f"{group}.{field}": f"{group}.weight" for group in TERMS for field in ("every", "own_step")},
    "conditional.continuous_weight": "conditional.continuous",
    "augment_probability": "augment",
    "augment_target": "augment",
    "augment_images": "augment_target",
    "augment_every": "augment_target",
    "ema_ramp": "ema_half_life",
    **{f"schedule.{group}.weight.shape": f"{group}.name" for group in PENALTIES},
}


def _check_needed(values):
    for name, needed in _NEEDED.items():
        if (given := _given(values, name)) and not _given(values, needed):
            new = "in a new run " if FIELDS[needed].kind == FIXED else ""
            raise UserError(
                f"config.{given}={values[given]!r} with config.{needed}={values[needed]!r} changes nothing: "
                f"give {FIELDS[given].default!r}, or {new}config.{needed} too"
            )
    if (given := _given(values, "ema_decay")) and _given(values, "ema_half_life"):
        raise UserError(
            f"config.{given}={values[given]!r} with config.ema_half_life={values['ema_half_life']} changes nothing: "
            f"give {FIELDS[given].default!r}, or config.ema_half_life 0.0"
        )
