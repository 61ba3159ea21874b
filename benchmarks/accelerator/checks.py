"""What the device is, whether it computes what a CPU does, and what it can do at best.

First, of arrays that fill the chip, the rate of a matrix product in float32, TF32 and bfloat16, and of copying, by
which the other stages can be judged. Then the tests that are marked `accelerator`, with the figures that they find.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from benchmarks.accelerator import stage
from benchmarks.train_step import machine

PRODUCTS = {"float32": ("float32", "highest"), "tf32": ("float32", "tensorfloat32"), "bfloat16": ("bfloat16", None)}
IN_REHEARSAL = "numpys or precision"  # the others run in full elsewhere


def main() -> None:
    """Writes checks.json, after each of the three."""
    given, start = stage.options(__doc__), time.monotonic()
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the tests, and processes of theirs, share the device
    results = {"machine": machine(), "gpu": _asked("nvidia-smi")} | devices()
    stage.save(given, "checks", results)
    results["best"] = ceilings(1024 if given.rehearse else 8192)
    stage.save(given, "checks", results)
    ended = tests(given, given.seconds - (time.monotonic() - start) - 5)
    results["tests"] = outcomes(given)
    stage.save(given, "checks", results)
    if ended:
        sys.exit(f"the tests that are marked `accelerator` ended with {ended}")


def _asked(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return f"no {command[0]}"


def tests(given, seconds: float) -> int | str:
    """pytest's exit code; what there is by the end of these seconds is kept."""
    chosen = ["-k", IN_REHEARSAL] if given.rehearse else []
    # Without what the other tests share, and xdist, for which a machine may lack packages.
    command = [sys.executable, "-m", "pytest", "-o", "addopts=--import-mode=importlib", "--noconftest", "-rA"]
    command += ["-p", "no:cacheprovider", "-p", "benchmarks.accelerator.outcomes", "-m", "accelerator", *chosen]
    _file(given).unlink(missing_ok=True)
    environment = {**os.environ, "OUTCOMES": str(_file(given))}
    try:
        return subprocess.run([*command, "tests/test_accelerator.py"], env=environment, timeout=seconds).returncode
    except subprocess.TimeoutExpired:
        return "no more time left"


def _file(given) -> pathlib.Path:
    return given.work / "outcomes.jsonl"


def outcomes(given) -> list[dict]:
    """[{"name", "outcome", "seconds", "figures", "words"}] of each test that has ended."""
    return [json.loads(line) for line in _file(given).read_text().splitlines()] if _file(given).is_file() else []


def devices() -> dict:
    """What JAX sees."""
    import jax

    stats = jax.devices()[0].memory_stats() or {}
    return {"devices": [str(device.device_kind) for device in jax.devices()], "platform": jax.default_backend(),
            "memory_limit_mb": stats.get("bytes_limit", 0) / 1e6}  # fmt: skip


def ceilings(size: int) -> dict:
    """TFLOP/s of a product of size x size matrices of random numbers, and GB/s read and written by a copy."""
    import jax
    import jax.numpy as jnp

    found = {}
    for name, (dtype, precision) in PRODUCTS.items():
        a, b = (jax.random.normal(jax.random.key(i), (size, size), dtype) for i in range(2))
        product = jax.jit(lambda a, b, precision=precision: jnp.matmul(a, b, precision=precision))
        found[f"{name}_tflops"] = 2 * size**3 / _median_seconds(product, a, b) / 1e12
    large = jnp.ones(size**2 * 16)  # 4 GB for 8192
    found["copy_gb_per_s"] = 2 * large.nbytes / _median_seconds(jax.jit(lambda x: x + 1), large) / 1e9
    return found


def _median_seconds(function, *arguments):
    times = []
    for _ in range(8):
        start = time.perf_counter()
        function(*arguments).block_until_ready()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])  # the first compiles


if __name__ == "__main__":
    main()
