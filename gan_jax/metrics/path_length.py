"""How fast a generator's samples change along paths between latents."""

import numpy as np
from numpy.typing import ArrayLike

from gan_jax.metrics import checked


def path_length(a: ArrayLike, b: ArrayLike, epsilon: float, trim: float = 0.01) -> dict[str, float]:
    """Latent path length: the mean squared speed of features along paths between random latents.

    The mean over paths z of |f(G(z(t + epsilon))) - f(G(z(t)))|^2 / epsilon^2, each at a random t in [0, 1], in
    float64. Smooth generators have short paths. Karras et al. take LPIPS' VGG16 for f (perceptual path length, PPL):
    with other features the numbers don't compare with published ones. As in their code, lengths below the 1st or above
    the 99th percentile are dropped, where a percentile between two lengths is rounded to the outer one. The features
    need more digits than epsilon takes away: images must not be rounded to 8 bits on their way into f.

    Args:
      a: features at z(t), [n, d], n >= 1.
      b: features at z(t + epsilon), [n, d], of the same paths in the same order.
      epsilon: step along the path, whose ends are 1 apart; > 0 (theirs: 1e-4).
      trim: share of the lengths to drop at either end, in [0, 0.5); 0 for none.

    Returns:
      `path_length`: mean of the lengths kept, in squared units of the features, in [0, inf).
      `path_length_sd`: their standard deviation (over N), likewise.

    Raises:
      ValueError: shapes that differ or are not [n, d], values that are not finite, epsilon or trim out of range.

    References:
      Karras et al. 2019 (StyleGAN), arXiv:1812.04948, section 4.1.

    """
    a, b = checked.features(a, "a", least=1), checked.features(b, "b", least=1)
    if a.shape != b.shape:
        raise ValueError(f"a and b must be the two ends of the same paths, got shapes {a.shape} and {b.shape}")
    if not 0 < epsilon < np.inf:
        raise ValueError(f"epsilon must be > 0, got {epsilon}")
    if not 0 <= trim < 0.5:
        raise ValueError(f"trim must be in [0, 0.5), got {trim}")
    lengths = np.sum((a - b) ** 2, axis=1) / epsilon**2
    low, high = np.quantile(lengths, trim, method="lower"), np.quantile(lengths, 1 - trim, method="higher")
    kept = lengths[(low <= lengths) & (lengths <= high)]
    return {"path_length": float(kept.mean()), "path_length_sd": float(kept.std())}
