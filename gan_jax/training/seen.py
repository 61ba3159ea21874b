"""What the terms of a player's loss may take: a method for each argument that they may name.

Each is made only for a term that asks for it. Parameters are those that gradients are taken by.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax

from gan_jax.objectives import penalties
from gan_jax.training import judging, terms
from gan_jax.training.game import Game
from gan_jax.training.terms import Term


@dataclasses.dataclass(frozen=True)
class ByCritic:
    """Reals and fakes [b, ...] in packs, of these conditions, and what the critic with these parameters says of them.

    augment_keys: for the augmentation of reals, of fakes, and of what penalties judge beside them. judgements: gives
    ((logits, what is told of the condition) of reals, of fakes).
    """

    game: Game
    hparams: dict[str, Any]
    parameters: Any
    stats: Any
    reals: jax.Array
    fakes: jax.Array
    conditions: jax.Array
    term_key: jax.Array
    augment_keys: tuple[jax.Array, ...]
    judgements: Callable[[], Any]

    def part(self, term: Term) -> "ByCritic":
        """The share of the minibatch that a term is computed on."""
        if term.share == 1:
            return self
        cut = functools.partial(penalties.of_share, share=term.share)
        return dataclasses.replace(
            self,
            reals=cut(self.reals),
            fakes=cut(self.fakes),
            conditions=cut(self.conditions),
            judgements=lambda: jax.tree.map(cut, self.judgements()),
        )

    def params(self, term):
        return self.parameters

    def real(self, term):
        return self.reals

    def fake(self, term):
        return self.fakes

    def real_logits(self, term):
        return self.judgements()[0][0]

    def fake_logits(self, term):
        return self.judgements()[1][0]

    def real_told(self, term):
        return self.judgements()[0][1]

    def fake_told(self, term):
        return self.judgements()[1][1]

    def condition(self, term):
        return self.conditions

    def continuous(self, term):
        return self.hparams["continuous_weight"]

    def key(self, term):
        return terms.key_of(term, self.term_key)

    def critic_fn(self, term):
        return self._judge(self.augment_keys[2])

    def squared_norms(self, term):
        """By finite differences from logits that are known, where what was drawn for them can be drawn once more.

        A step of its own knows none: it judges what it needs, which a share makes few.
        """
        if not term.is_estimated:
            return penalties.squared_gradient_norms
        sigma = self.hparams[f"{term.name}_sigma"]
        if term.own_step or (term.share < 1 and self.game.config.augment != "none") or self._draws():
            return penalties.finite_difference(sigma)
        sides = zip((self.reals, self.fakes), self.augment_keys, self.judgements(), strict=False)
        known = [(samples, self._judge(key), logits) for samples, key, (logits, _) in sides]
        return penalties.finite_difference(sigma, known)

    def _draws(self):
        """Whether the critic has random numbers of its own: those of reals and fakes together are not those of one."""
        return judging.draws(self.game, self.parameters, self.stats, self.reals, self.conditions)

    def _judge(self, key):
        return functools.partial(
            judging.logits, self.game, self.parameters, self.stats, self.conditions, key, self.hparams
        )


@dataclasses.dataclass(frozen=True)
class ByGenerator:
    """Inputs [b, sum(takes)] with these conditions.

    made: gives their samples. told: what the critic tells of the conditions of these.
    """

    game: Game
    hparams: dict[str, Any]
    parameters: Any
    stats: Any
    inputs: jax.Array
    conditions: jax.Array
    own_key: jax.Array
    made: Callable[[], jax.Array]
    told: Any = None

    def part(self, term: Term) -> "ByGenerator":
        """All of it."""
        return self

    def params(self, term):
        return self.parameters

    def fake(self, term):
        return self.made()

    def w(self, term):
        return judging.mapped(self.game, self.parameters, self.stats, self.inputs, self.own_key)

    def images_of(self, term):
        return functools.partial(judging.made_of, self.game, self.parameters, self.stats, self.inputs, self.own_key)

    def fake_told(self, term):
        return self.told

    def condition(self, term):
        return self.conditions

    def continuous(self, term):
        return self.hparams["continuous_weight"]

    def key(self, term):
        return terms.key_of(term, self.own_key)
