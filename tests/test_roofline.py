"""The roofline's counts are those of closed forms, and of the benchmark's own."""

import functools
import importlib
import pathlib
import sys

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import SingleDeviceSharding

from tests import shipped

ROOT = pathlib.Path(__file__).parents[1]
LAYOUT = ("NHWC", "HWIO", "NHWC")


@pytest.fixture
def roofline(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("roofline")


def floats(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def cost_and_flops(roofline, make, *shapes):
    """Of a function that make() gives: JAX would not trace the same one again."""
    text = jax.jit(make()).lower(*shapes).compile().as_text()
    return roofline.cost(text), roofline.flops(lambda: (jax.jit(make()), shapes))


def test_a_product_costs_its_closed_form(roofline):
    found, flops = cost_and_flops(roofline, lambda: lambda a, b: a @ b, floats(30, 50), floats(50, 70))
    moved = 4 * (30 * 50 + 50 * 70 + 30 * 70)
    assert (found, flops) == ((moved, 0, 1), 2 * 30 * 50 * 70)


def test_a_convolution_costs_its_closed_form(roofline):
    def convolution():
        return lambda x, w: jax.lax.conv_general_dilated(x, w, (2, 2), "VALID", dimension_numbers=LAYOUT)

    found, flops = cost_and_flops(roofline, convolution, floats(5, 9, 9, 6), floats(3, 3, 6, 7))
    moved = 4 * (5 * 9 * 9 * 6 + 3 * 3 * 6 * 7 + 5 * 4 * 4 * 7)
    assert (found, flops) == ((moved, 0, 1), 2 * (5 * 4 * 4 * 7) * (3 * 3 * 6))


def test_a_loops_body_counts_as_often_as_it_runs(roofline):
    def powers(length):
        return lambda: lambda x: jax.lax.scan(lambda y, _: (y @ x, None), x, length=length)[0]

    costs = {n: cost_and_flops(roofline, powers(n), floats(64, 64)) for n in (7, 17)}
    assert [costs[n][1] for n in (7, 17)] == pytest.approx([n * 2 * 64**3 for n in (7, 17)], rel=1e-3)
    more = [b - a for a, b in zip(costs[7][0], costs[17][0], strict=True)]
    assert more[0] - more[1] == 10 * 4 * 3 * 64**2
    assert more[2] >= 10


TEXT = """HloModule jit_f, is_scheduled=true

%fused (a: bf16[3,5], b: f32[3,5]) -> f32[3,5] {
  %a = bf16[3,5]{1,0:T(8,128)(2,1)} parameter(0)
  ROOT %c = f32[3,5]{1,0:T(8,128)} convolution(%a, %a), dim_labels=bf_io->bf
}

%body (s: (s32[], f32[3,5])) -> (s32[], f32[3,5]) {
  %s = (s32[]{:T(128)}, f32[3,5]{1,0:T(8,128)}) parameter(0)
  %x = f32[3,5]{1,0:T(8,128)} get-tuple-element(%s), index=1
  %copy-start = (f32[3,5]{1,0:T(8,128)S(1)}, f32[3,5]{1,0:T(8,128)}, u32[]{:S(2)}) copy-start(%x)
  %copy-done = f32[3,5]{1,0:T(8,128)S(1)} copy-done(%copy-start)
  ROOT %y = f32[3,5]{1,0:T(8,128)} add(%copy-done, %x)
}

%condition (s: (s32[], f32[3,5])) -> pred[] {
  %limit = s32[]{:T(128)} constant(3)
  ROOT %less = pred[]{:T(512)} compare(%i, %limit), direction=LT
}

ENTRY %main (p: bf16[3,5], q: f32[5,3]) -> f32[3,5] {
  %p = bf16[3,5]{1,0:T(8,128)(2,1)} parameter(0)
  %q = f32[300,3]{0,1:T(8,128)} parameter(1)
  %fusion = (f32[3,5]{1,0:T(8,128)}, f32[3,5]{1,0:T(8,128)S(1)}) fusion(%p, /*index=1*/%q), kind=kOutput, calls=%fused
  %t = (s32[], f32[3,5]) tuple(%zero, %fusion)
  ROOT %loop = (s32[], f32[3,5]{1,0:T(8,128)}) while(%t), condition=%condition, body=%body
}
"""


def test_tiles_are_whole_and_only_the_devices_memory_counts(roofline):
    """A TPU's arrays: in tiles of 8 x 128 on the two fastest axes; S(1) is on the chip."""
    tile = 8 * 128
    fusion = 2 * tile + 4 * 3 * tile + 4 * tile
    loop = 3 * (4 * tile + 2 * 4 * tile)  # of each of three runs: what the copy reads, what the sum reads and writes
    assert roofline.cost(TEXT) == (fusion + loop, 3 * 2 * 4 * tile, 1 + 3 * 2)


def test_what_can_not_be_known_is_refused(roofline):
    with pytest.raises(ValueError, match="how often"):
        roofline.cost(TEXT.replace("constant(3)", "parameter(0)"))
    with pytest.raises(ValueError, match="one of several"):
        roofline.cost(TEXT.replace("copy-done(%copy-start)", "conditional(%copy-start)"))


def test_inceptions_weights_have_the_published_shapes(roofline):
    """Keras counts 21,768,352 parameters that are trained, in its own InceptionV3 without a classifier."""
    convolutions = roofline.inception_weights().convolutions
    assert len(convolutions) == 94
    assert sum(kernel.size + bias.size for kernel, bias in convolutions) == 21_768_352


def test_every_experiment_of_cifar10_is_there(roofline):
    of_cifar10 = {name for name in shipped.EXPERIMENTS if name.endswith("_cifar10")}
    assert of_cifar10 <= {system.experiment for system in roofline.SYSTEMS.values()}


def test_without_a_compiler_nothing_is_computed(roofline, monkeypatch, capsys):
    def no_plugin(**description):
        raise RuntimeError("no such platform\nhere")

    monkeypatch.setattr(roofline.topologies, "get_topology_desc", no_plugin)
    monkeypatch.setattr(sys, "argv", ["roofline.py", "--devices", "v5e"])
    with pytest.raises(SystemExit, match="no compiler"):
        roofline.main()
    assert capsys.readouterr().err == "TPU v5e is left out: no such platform\n"


def test_a_row_says_which_limit_binds(roofline):
    """10 s of operations; of bytes 8 s in kernels of products and 4 s in others, which come after 10 s in turn."""
    device = roofline.Device("H200", {}, {"float32": 1e9}, 1e6)
    row = roofline._row(("a", "float32"), 10e9, device, roofline.Cost(12_000_000, 4_000_000, 48), 1)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:8] == ["a", "float32", "10", "H200", "0.012", "833", "1.2e+04", "bytes"]
    assert cells[10] == "48, 2.5e+05 µs"
    row = roofline._row(("a", "float32"), 1e9, device, roofline.Cost(100_000, 40_000, 48), 10)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[6:8] == ["1e+03", "operations"]


@pytest.mark.slow
@pytest.mark.parametrize("case", ["mlp64_wgan_gp", "dcgan_wgan_gp"])
def test_flops_are_the_benchmarks_but_for_taps_on_padding(roofline, case, monkeypatch):
    """XLA counts these as nothing: of 4 i taps along a side of i pixels, two. It counts other arithmetic too."""
    benchmark = importlib.import_module("train_step")
    config = benchmark.configuration(case)
    config.n_critic, shape = 2, benchmark.shape_of(config)
    generator, critic = benchmark._layers(config, shape)
    if config.network.name == "dcgan":
        inside = [((4 * size - 2) / (4 * size)) ** 2 for size in (16, 8, 4)]
        generator[1:] = [a * b for a, b in zip(generator[1:], inside[::-1], strict=True)]
        critic[:-1] = [a * b for a, b in zip(critic[:-1], inside, strict=True)]
    monkeypatch.setattr(benchmark, "_layers", lambda *_: (generator, critic))
    counted = roofline.flops(functools.partial(roofline.step_of, config, shape))
    assert 1 <= counted / benchmark.flops(config, shape) < 1.05


@pytest.mark.slow
def test_a_step_is_compiled_and_costed(roofline, monkeypatch):
    """As if this processor were the device: every parameter, average and moment is read and written at least once."""
    small = roofline.System("wgan_gp", "digits", (8, 8, 1), {"network.depth": 1, "network.width": 64})
    monkeypatch.setitem(roofline.SYSTEMS, "small", small)
    place = SingleDeviceSharding(jax.devices()[0])
    (row,) = roofline.rows("small", "float32", {"h200": place})
    gigabytes = float(row.split("|")[5])
    _, (state, _) = roofline.program("small", "float32")
    held = sum(leaf.size * 4 for leaf in jax.tree.leaves((state.generator.params, state.critic.params))) / 1e9
    assert gigabytes > 2 * 3 * held
