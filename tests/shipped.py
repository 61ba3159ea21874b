"""The names of all pieces that this project ships. What the package finds beyond them is a user's addition.

A shipped piece has its row in each table of the tests that is about pieces of its kind, or a test is red. An addition
needs none: what holds for any piece of its kind is asked of it too, and for each row that it lacks one test is skipped,
which says what to add where (`python -m pytest -rs` shows it). Who ships a new piece adds its name here.
"""

import pathlib

import pytest

from gan_jax import networks
from gan_jax.config import FIELDS as CONFIG_FIELDS
from gan_jax.config import choices
from gan_jax.studies import __main__ as listing
from gan_jax.training import hyperparameters

ROOT = pathlib.Path(__file__).parents[1]

LOSSES = ("minimax", "non_saturating", "log_odds", "least_squares", "wasserstein", "hinge", "relativistic",
          "relativistic_average", "relativistic_average_least_squares", "relativistic_average_hinge")  # fmt: skip
F_DIVERGENCES = ("kullback_leibler", "reverse_kullback_leibler", "pearson", "neyman", "squared_hellinger",
                 "jensen_shannon", "gan", "total_variation", "alpha")  # fmt: skip
PENALTIES = ("gradient_penalty", "one_sided", "zero_centered", "dragan", "r1", "r2", "r1_r2")
NETWORKS = ("mlp", "dcgan", "resnet", "sn_cnn", "stylegan2")
OPTIMIZERS = ("adam", "adamw", "lion", "rmsprop", "sgd")
EXPERIMENTS = ("ac_gan", "conditional_gan", "dcgan", "dcgan_cifar10", "dragan", "f_gan", "gan", "info_gan", "ls_gan",
               "ns_gan", "own_pictures", "projection_gan", "r1_gan", "rp_gan", "sn_gan", "sn_gan_cifar10", "stylegan2",
               "stylegan2_ada", "stylegan2_official", "wgan", "wgan_cifar10",
               "wgan_gp", "wgan_gp_cifar10", "wgan_lp")  # fmt: skip
SWEEPS = ("conditionings", "created_equal", "grid25_objectives", "lr_seed", "random_search", "seeds", "tpe")
STUDIES = ("disjoint_supports", "equilibrium", "f_divergence_fit", "finite_difference", "lipschitz", "mode_collapse",
           "transport", "vanishing_gradient")  # fmt: skip
TERMS = ("critic.drift", "critic.lecam", "critic.logit_centring", "critic.orthogonal", "generator.orthogonal",
         "generator.path_length")  # fmt: skip
FIELDS = (  # but those that are made for each term, and for each number that may follow a schedule
    "seed", "steps", "batch_size", "n_critic", "n_critic_burst.updates", "n_critic_burst.first_steps",
    "n_critic_burst.every", "n_generator", "generator_batch", "packing", "loss", "smoothing.real", "smoothing.fake",
    "least_squares.a", "least_squares.b", "least_squares.c", "f_gan.alpha", "f_gan.generator", "penalty.name",
    "penalty.weight", "penalty.every", "penalty.own_step", "penalty.estimator", "penalty.sigma", "penalty.share",
    "second_penalty.name", "second_penalty.weight", "second_penalty.every", "second_penalty.own_step",
    "second_penalty.estimator", "second_penalty.sigma", "second_penalty.share", "weight_clip", "noise.sigma",
    "conditional.name", "conditional.classes", "conditional.continuous", "conditional.weight",
    "conditional.continuous_weight", "augment", "augment_probability", "augment_target",
    "augment_images", "augment_every", "data.name", "data.dir", "data.image_size",
    "data.background", "data.reading", "data.flip", "data.balanced", "data.memory_mb", "network.name",
    "network.latent_dim", "network.width", "network.generator_width", "network.depth",
    "network.max_width", "network.residual", "network.clamp", "network.style_mixing", "network.attention",
    "network.generator_norm", "network.critic_norm", "network.minibatch_deviation", "network.dtype",
    "network.spectral_norm", "optimizer.name", "optimizer.generator_name", "optimizer.critic_name",
    "optimizer.generator_lr", "optimizer.critic_lr", "optimizer.b1", "optimizer.b2", "optimizer.weight_decay",
    "ema_decay", "ema_half_life", "ema_ramp", "ema_start", "ema_conditions", "log_every", "sample_every",
    "checkpoint_every", "eval_every", "eval_samples", "eval_reals", "eval_split", "eval_conditions", "eval_metrics",
    "eval_features", "eval_resizer", "wandb.mode",
)  # fmt: skip


def found() -> dict[str, list[str]]:
    """{the name of a tuple above: all of its kind that there are, additions among them}."""
    return {
        "LOSSES": choices.loss_names(),
        "F_DIVERGENCES": [name.removeprefix("f_gan:") for name in choices.f_gans()],
        "PENALTIES": choices.penalty_names(),
        "NETWORKS": choices.names_in(networks, choices.is_network),
        "OPTIMIZERS": choices.optimizer_names(),
        "EXPERIMENTS": sorted(path.stem for path in ROOT.glob("experiments/*.py")),
        "SWEEPS": sorted(path.stem for path in ROOT.glob("experiments/sweeps/*.py")),
        "STUDIES": [*listing.sentences()],
        "TERMS": sorted(hyperparameters.TERMS),
        "FIELDS": [*CONFIG_FIELDS],
    }


def needs_row(name: str, shipped: tuple[str, ...], rows, where: str, what: str) -> None:
    """Passes where the piece has its row, and skips an addition that has none; a shipped one must have it."""
    if name not in rows:
        words = f"{name} has no row in {where}: add {what}"
        assert name not in shipped, words
        pytest.skip(words)
