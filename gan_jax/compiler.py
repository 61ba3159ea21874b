"""What XLA is told when a program is compiled for a CPU, and when it has compiled one."""

import functools

import jax
import ml_collections

_LIBRARIES = "xla_cpu_experimental_ynn_fusion_type"
_COMPILED = "/jax/core/compile/backend_compile_duration"
_seen: list[str] = []  # compilations since they were last asked for


def options(config: ml_collections.ConfigDict) -> dict[str, str] | None:
    """Which library XLA's matrix products and convolutions go to: by default YNNPACK, or Eigen.

    On two cores of an AMD EPYC, YNNPACK keeps to one core for a product of 512 x 128 by 128 x 128, so that a perceptron
    of width 128 takes 1.4 times as long with it; for products of 512 x 512, Eigen takes 1.15 times as long. The bound
    lies between them: products of 256 x 128 x 128 are below it, of 256 x 256 x 256 above. YNNPACK's convolutions, those
    for weight gradients above all, take 1.1 to 1.5 times as long as Eigen's.
    Nothing is measured at run time: so a run resumed on its machine computes the same bits.
    """
    is_large = config.network.name == "mlp" and config.batch_size * config.network.width**2 >= 2**23
    return None if is_large else eigen()


@functools.cache
def eigen() -> dict[str, str] | None:
    """The options for Eigen; None where there is no CPU to compile for, or this version of XLA does not know them."""
    if jax.default_backend() != "cpu":
        return None
    options = {_LIBRARIES: "LIBRARY_FUSION_TYPE_REDUCE"}
    try:
        jax.jit(lambda x: x, compiler_options=options).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return None
    return options


def has_compiled() -> bool:
    """Whether XLA has compiled anything, be it only one operation, since this was last asked."""
    found = bool(_seen)
    _seen.clear()
    return found


def _listen(event: str, duration_secs: float, **others: str | int) -> None:
    if event == _COMPILED:
        _seen.append(event)


jax.monitoring.register_event_duration_secs_listener(_listen)
