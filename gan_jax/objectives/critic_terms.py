"""What a critic may minimise beside its adversarial loss, and beside the penalties on its gradient in penalties.py.

A term is a pure function that returns a scalar, without its weight, and is known by what it takes, some of

    real_logits, fake_logits    [b] each: what the critic says of a minibatch
    params                      of the critic
    key                         random numbers of this update
    memory                      what it returned for the update before

One that takes `memory` returns (scalar, new memory), numbers to be kept from update to update; the default value of
that argument is what there is at first. To add a term, write one function: `config.critic.NAME.weight` turns it on.
"""

import jax
import jax.numpy as jnp

TAKEN = {"real_logits", "fake_logits", "params", "key", "memory"}
LECAM_DECAY = 0.99


def drift(real_logits):
    """E D(x)^2 on reals, so that logits stay near 0; weight 0.001 (Karras et al. 2018, arXiv:1710.10196)."""
    return jnp.mean(jnp.square(real_logits))


def logit_centring(real_logits, fake_logits):
    """E (D(x) + D(G(z)))^2 over pairs of a real and a fake: a relativistic critic is free to shift both, this is not.

    For each sample, not of the means; weight 0.01, as in Adversarial Flow Models (Lin et al. 2025, arXiv:2511.22475).
    """
    return jnp.mean(jnp.square(real_logits + fake_logits))


def lecam(real_logits, fake_logits, memory=(0.0, 0.0, 0.0)):
    """E max(0, D(x) - a_fake)^2 + E max(0, a_real - D(G(z)))^2 (Tseng et al. 2021, arXiv:2104.03310).

    a_real and a_fake are averages of the mean logits up to this update, with decay 0.99, less the bias to 0 that they
    begin with; no gradient flows through them. The form of the authors' StyleGAN2, where the paper has no maximum.
    """
    now: tuple = jax.lax.stop_gradient((jnp.mean(real_logits), jnp.mean(fake_logits), 1.0))
    *sums, weight = memory = tuple(
        LECAM_DECAY * old + (1 - LECAM_DECAY) * new for old, new in zip(memory, now, strict=True)
    )
    of_reals, of_fakes = (total / weight for total in sums)
    on_reals = jnp.mean(jnp.square(jax.nn.relu(real_logits - of_fakes)))
    return on_reals + jnp.mean(jnp.square(jax.nn.relu(of_reals - fake_logits))), memory


def orthogonal(params):
    """The sum over all kernels of |W W^T (1 - I)|_F^2 / 2; a row of W has the weights of one output.

    Brock et al. 2019 (arXiv:1809.11096), eq. 3, and half of it: so its gradient is 2 (W W^T (1 - I)) W, as in the
    authors' code, where the weight is 1e-4. Only rows that point alike cost anything, whatever their lengths.
    Embeddings, which are one row for each class, are left out.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return sum((_alikeness(leaf) for path, leaf in leaves if _is_kernel(path, leaf)), jnp.float32(0))


def _is_kernel(path, leaf):
    """Tables are embeddings: `table` of the projection critic, scales and shifts of conditional norms."""
    names = [getattr(key, "key", "") for key in path]
    return leaf.ndim > 1 and names[-1] == "kernel" and "table" not in names


def _alikeness(kernel):
    rows = kernel.reshape(-1, kernel.shape[-1]).T
    products = rows @ rows.T
    return jnp.sum(jnp.square(products - jnp.diag(jnp.diag(products)))) / 2
