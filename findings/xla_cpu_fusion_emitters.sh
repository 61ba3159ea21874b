#!/bin/sh
# XLA's newer fusion emitters for CPUs, on by default, make programs that are compiled to be run for a moment dear: under
# JAX_DISABLE_MOST_OPTIMIZATIONS, meant to compile fast, the train step of a small GAN takes about twice the CPU
# seconds to compile that it takes with --xla_cpu_use_fusion_emitters=false. Both give the same numbers.
#
#     sh findings/xla_cpu_fusion_emitters.sh
#
# Installs pinned packages into a temporary folder, and runs them on valid input. Exit code 0: it is still so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2
cat >"$place/step.py" <<'PYTHON'
import resource

import jax
import jax.numpy as jnp


def network(layers, x):
    for w, b in layers[:-1]:
        x = jax.nn.softplus(x @ w + b)
    return x @ layers[-1][0] + layers[-1][1]


def penalty(critic, x):
    slopes = jax.vmap(jax.grad(lambda one: network(critic, one)[0]))(x)
    return jnp.mean((jnp.sqrt(jnp.sum(slopes**2, axis=1) + 1e-12) - 1) ** 2)


def update(players, key):
    generator, critic = players
    real, latents = jax.random.normal(key, (8, 64)), jax.random.normal(jax.random.fold_in(key, 1), (8, 4))

    def critic_loss(critic):
        fake = jnp.tanh(network(generator, latents))
        return network(critic, fake).mean() - network(critic, real).mean() + 10 * penalty(critic, (real + fake) / 2)

    loss, gradients = jax.value_and_grad(critic_loss)(critic)
    critic = jax.tree.map(lambda p, g: p - 1e-3 * g, critic, gradients)
    gradients = jax.grad(lambda g: -network(critic, jnp.tanh(network(g, latents))).mean())(generator)
    return (jax.tree.map(lambda p, g: p - 1e-3 * g, generator, gradients), critic), loss


def layers(*sizes):
    return [(jnp.full((a, b), 0.1) + jnp.arange(b) / 50, jnp.zeros(b)) for a, b in zip(sizes, sizes[1:])]


players = layers(4, 16, 16, 16, 64), layers(64, 16, 16, 16, 1)
lowered = jax.jit(lambda players, keys: jax.lax.scan(update, players, keys)).lower(
    players, jax.random.split(jax.random.key(0), 2)
)
seconds = lambda: sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
before = seconds()
compiled = lowered.compile()
print(seconds() - before, float(compiled(players, jax.random.split(jax.random.key(0), 2))[1][-1]))
PYTHON
run() { JAX_PLATFORMS=cpu JAX_DISABLE_MOST_OPTIMIZATIONS=1 XLA_FLAGS="$1" "$place/venv/bin/python" "$place/step.py"; }
newer=$(run "")
older=$(run "--xla_cpu_use_fusion_emitters=false")
echo "jax 0.10.2; CPU seconds to compile, and a loss: $newer by default, $older without the emitters"
python3 - $newer $older <<'PYTHON'
import math
import sys

newer, loss, older, same = map(float, sys.argv[1:])
assert math.isclose(loss, same, rel_tol=1e-4), "they give other numbers"
assert newer > 1.4 * older, f"{newer / older:.1f} times: no longer so much more"
print(f"as before: {newer / older:.1f} times the seconds")
PYTHON
