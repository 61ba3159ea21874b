"""The Inception score of logits, whatever classifier they come from."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, logsumexp

from gan_jax.metrics import checked


class InceptionScore(NamedTuple):
    """mean and sd of the scores of the splits, sd over splits - 1 (None of one split); how many splits."""

    mean: float
    sd: float | None
    splits: int


def inception_score(logits: ArrayLike, splits: int = 10, seed: int = 0) -> InceptionScore:
    """exp(E_x KL(p(y|x) || p(y))), p(y) being the mean of p(y|x): of each split of the samples, in float64.

    The samples are permuted before they are split, so that their order, which may go by class, does not matter; every
    sample counts, and the sizes of the splits differ by at most one. The score grows with the size of the splits: print
    n and `splits` beside it.

    Args:
      logits: what the classifier gives for each sample before its softmax [n, classes], n >= splits.
      splits: parts of the samples, each with a score of its own, >= 1.
      seed: of the permutation.

    Returns:
      The mean of the scores, in [1, classes], and their deviation.

    Raises:
      ValueError: logits that are not [n, classes] or not finite, splits < 1, or fewer samples than splits.

    References:
      Salimans et al. 2016, arXiv:1606.03498.

    """
    logits = checked.features(logits, "logits", least=1)
    if not 1 <= splits <= len(logits):
        raise ValueError(f"splits must be in [1, {len(logits)}], the number of samples, got {splits}")
    permuted = log_softmax(logits, axis=1)[np.random.default_rng(seed).permutation(len(logits))]
    scores = [_score(part) for part in np.array_split(permuted, splits)]
    sd = float(np.std(scores, ddof=1)) if splits > 1 else None
    return InceptionScore(float(np.mean(scores)), sd, splits)


def _score(log_probabilities: NDArray[np.float64]) -> float:
    log_marginal = logsumexp(log_probabilities, axis=0) - np.log(len(log_probabilities))
    divergences = np.sum(np.exp(log_probabilities) * (log_probabilities - log_marginal), axis=1)
    return float(np.exp(divergences.mean()))
