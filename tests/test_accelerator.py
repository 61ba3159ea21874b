"""What a GPU computes: convolutions against NumPy, train steps against a CPU's, and the same bits again.

    python -m pytest -n 0 -m accelerator tests/test_accelerator.py --junitxml=FILE

takes the first device that JAX finds, and writes every figure that a test finds to FILE. Where that is a CPU, all is
rehearsed on it: in the place of an accelerator's steps are those with the convolutions that other platforms have, and
perceptrons, which have none, are compared with themselves. On a GPU, JAX must see the CPU too, so JAX_PLATFORMS is
unset or `cuda,cpu`; and where memory is short, give XLA_PYTHON_CLIENT_PREALLOCATE=false, for some tests start
processes that share the GPU with this one. With --noconftest, nothing is imported that only prepares data or searches.
"""

import contextlib
import functools
import itertools
import os
import pathlib
import runpy
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.data import batches, sources
from gan_jax.networks import conv
from gan_jax.runs import loop, trained
from gan_jax.training import population
from gan_jax.training.state import DATA, create_state
from gan_jax.training.step import make_train_step

pytestmark = [
    pytest.mark.accelerator,
    # The figures of a test have no place in the stricter of two schemas; they are written all the same.
    pytest.mark.filterwarnings("ignore:record_property is incompatible:pytest.PytestWarning"),
]

ROOT = pathlib.Path(__file__).parents[1]
on_a_cpu_in_hours = pytest.mark.hours  # there, other tests show it in less time


def accelerator():
    return jax.devices()[0]


def cpu():
    return jax.devices("cpu")[0]


def is_rehearsal():
    return accelerator().platform == "cpu"


@pytest.fixture(scope="session", autouse=True)
def machine(record_testsuite_property):
    """What the figures are of, in the report."""
    record_testsuite_property("device kind", accelerator().device_kind)
    record_testsuite_property("platform", accelerator().platform)
    record_testsuite_property("jax", jax.__version__)


@pytest.fixture
def check(record_property):
    """check({name: (number, bound)}): all numbers go into the report, and none may be above its bound."""

    def recorded(figures):
        for name, (number, _) in figures.items():
            record_property(name, float(f"{number:.3g}"))
        above = [
            f"{name}: {number:.3g} > {bound:g}" for name, (number, bound) in figures.items() if not number <= bound
        ]
        assert not above, "\n".join(above)

    return recorded


def compiled(lowered, device):
    """A CPU compiles in half the time where it optimises nothing; an accelerator compiles as for training."""
    return lowered.compile({"xla_backend_optimization_level": 0} if device.platform == "cpu" else None)


@contextlib.contextmanager
def taking(branch):
    """Within it, convolutions are traced as those of a CPU (`cpu`) or of all else (`default`), whatever they run on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.lax, "platform_dependent", lambda *arguments, **branches: branches[branch](*arguments))
        yield


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor() as threads:
        yield threads


@pytest.fixture(scope="module")
def programs(pool):
    """programs(lowered, *arguments): (future of the program that this gives, its own arguments), the same each time."""

    @functools.cache
    def program(function, *job):
        lowered, device, arguments = function(*job)
        return pool.submit(compiled, lowered, device), arguments

    return program


@pytest.fixture(scope="module")
def processes(pool, tmp_path_factory):
    """processes(function, *arguments): future of what function(folder, *arguments) gives, the same each time."""
    return functools.cache(functools.partial(pool.submit, folder=tmp_path_factory.mktemp("processes")))


@pytest.fixture(scope="module", autouse=True)
def all_begun(programs, processes):
    """Nearly all is compilation. Beside a GPU there are cores for all of it at once, a rehearsal has none to spare."""
    if not is_rehearsal():
        for job in PROCESSES:
            processes(*job)
        for job in PROGRAMS:
            programs(*job)


# ------------------------------------------------------------------------------------------ convolutions

BATCH, CHANNELS, FEATURES = 8, 16, 24
# kernel, stride, padding, (height, width)
CASES = [
    (3, 1, "SAME", (7, 6)),
    (4, 2, "SAME", (8, 8)),
    (5, 2, "SAME", (9, 7)),
    (4, 1, "VALID", (8, 9)),
    (5, 2, "VALID", (10, 13)),
]
# Relative errors of one map, and of a penalty's gradient, which has four, one behind the other. Float32 adds some
# hundreds of products of 24 bits: 1e-7 to 6e-7 on a CPU. TensorFloat32 keeps 11 bits of both factors: done so in NumPy,
# the errors are 3e-4 and 9e-4 where it rounds to the nearest, 8e-4 and 2.2e-3 where it cuts off.
BOUNDS = {"highest": (1e-5, 1e-5), "default": (2e-3, 5e-3)}
MARGIN = 8  # of zeros around images, more than any kernel reaches out


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def windowed(case):
    """(the window of a case, the sizes of what comes out), by the rule of TensorFlow's SAME and VALID."""
    kernel, stride, padding, sizes = case
    steps = [-(-size // stride) if padding == "SAME" else (size - kernel) // stride + 1 for size in sizes]
    totals = [stride * (n - 1) + kernel - size for n, size in zip(steps, sizes, strict=True)]
    befores = [max(total, 0) // 2 for total in totals]
    around = tuple((before, total - before) for before, total in zip(befores, totals, strict=True))
    return conv.Window(stride, around), steps


def arrays_of(case):
    """Images x, kernel w, images y, and weights u of the outputs."""
    kernel, _, _, sizes = case
    out = BATCH, *windowed(case)[1], FEATURES
    w = normal(kernel, kernel, CHANNELS, FEATURES, seed=1) / (kernel * np.float32(CHANNELS) ** 0.5)
    return normal(BATCH, *sizes, CHANNELS), w, normal(*out, seed=2), normal(*out, seed=3)


def taps(case, images):
    """For each place (p, q) of the kernel, what it sees of images that have a margin: a view [n, i, j, c]."""
    (stride, padding), steps = windowed(case)
    for p, q in np.ndindex(case[0], case[0]):
        begins = [MARGIN + place - before for place, (before, _) in zip((p, q), padding, strict=True)]
        rows, columns = (slice(b, b + stride * (n - 1) + 1, stride) for b, n in zip(begins, steps, strict=True))
        yield (p, q), images[:, rows, columns]


def with_margin(x):
    return np.pad(x, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)))


def correlate(case, x, w):
    return sum(seen @ w[place] for place, seen in taps(case, with_margin(x)))


def weight_gradient(case, x, y):
    products = [np.einsum("nijc,nijo->co", seen, y) for _, seen in taps(case, with_margin(x))]
    return np.reshape(products, (case[0], case[0], CHANNELS, FEATURES))


def input_gradient(case, y, w):
    images = with_margin(np.zeros((BATCH, *case[3], CHANNELS)))
    for place, seen in taps(case, images):
        seen += y @ w[place].T
    return images[:, MARGIN:-MARGIN, MARGIN:-MARGIN]


def penalty_gradients(case, x, w, u):
    """Derivatives by x and w of |g|^2 / 2, where g is that of <u, tanh(correlate(x, w))> by x: the chain rule."""
    t = np.tanh(correlate(case, x, w))
    slopes = u * (1 - t**2)
    g = input_gradient(case, slopes, w)
    by_outputs = correlate(case, g, w) * u * -2 * t * (1 - t**2)
    by_kernel = weight_gradient(case, g, slopes) + weight_gradient(case, x, by_outputs)
    return input_gradient(case, by_outputs, w), by_kernel


def in_numpy(case):
    """The maps of a case, and the gradients of a penalty, in float64."""
    x, w, y, u = (array.astype(np.float64) for array in arrays_of(case))
    maps = {
        "correlate": correlate(case, x, w),
        "weight_gradient": weight_gradient(case, x, y),
        "input_gradient": input_gradient(case, y, w),
    }
    return maps | dict(zip(("penalty by images", "penalty by kernel"), penalty_gradients(case, x, w, u), strict=True))


def in_jax(case, x, w, y, u):
    """The same by each way to compute them: {(name, way): array}."""
    window, _ = windowed(case)

    def penalty(x, w):
        g = jax.grad(lambda x: jnp.vdot(u, jnp.tanh(conv.correlate(x, w, window))))(x)
        return jnp.sum(g**2) / 2

    found = {
        ("correlate", "native"): conv._correlate_native(x, w, window),
        ("weight_gradient", "native"): conv._weight_gradient_native(x, y, window),
        ("weight_gradient", "closed"): conv._weight_gradient_transposed(x, y, window),
        ("input_gradient", "native"): conv._input_gradient_native(y, w, window),
        ("input_gradient", "closed"): conv._input_gradient_on_cpu(y, w, window),
    }
    for way, branch in (("native", "default"), ("closed", "cpu")):
        with taking(branch):
            gradients = jax.grad(penalty, argnums=(0, 1))(x, w)
        found |= {("penalty by images", way): gradients[0], ("penalty by kernel", way): gradients[1]}
    return found


def lowered_maps(precision):
    """(all cases in one program, since each compilation has a price of its own; what it is compiled for; its arrays)"""
    arrays = jax.device_put([arrays_of(case) for case in CASES], accelerator())

    def maps(arrays):
        return [in_jax(case, *of_case) for case, of_case in zip(CASES, arrays, strict=True)]

    with jax.default_matmul_precision(precision):
        return jax.jit(maps).lower(arrays), accelerator(), (arrays,)


def relative_error(found, expected):
    return np.linalg.norm(np.asarray(found, np.float64) - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("precision", ["highest", pytest.param("default", marks=on_a_cpu_in_hours)])
def test_convolutions_and_their_second_derivatives_are_numpys(programs, check, precision):
    """The maps that a GPU takes (native), and those that a CPU takes (closed), here on the same device."""
    program, arrays = programs(lowered_maps, precision)
    figures, (of_map, of_penalty) = {}, BOUNDS[precision]
    for (kernel, stride, padding, sizes), of_case in zip(CASES, program.result()(*arrays), strict=True):
        expected = in_numpy((kernel, stride, padding, sizes))
        for (name, way), array in of_case.items():
            words = f"relative error of {name}, {way}, {precision}, kernel {kernel} stride {stride} {padding}"
            bound = of_penalty if name.startswith("penalty") else of_map
            figures[words] = relative_error(array, expected[name]), bound
    check(figures)


@pytest.mark.parametrize(
    ("precision", "word"), [("highest", "HIGHEST"), ("tensorfloat32", "HIGH"), ("default", "DEFAULT")]
)
def test_the_precision_asked_for_is_that_of_every_convolution_and_product(record_property, precision, word):
    with jax.default_matmul_precision(precision):
        text = jax.jit(functools.partial(in_jax, CASES[1])).lower(*arrays_of(CASES[1])).as_text()
    convolutions, products = text.count("stablehlo.convolution("), text.count("stablehlo.dot_general ")
    record_property(f"convolutions and products, {precision}", convolutions + products)
    assert convolutions >= 5 + 2 * 3  # and of a penalty, in each way, some are products
    assert products >= 3
    assert text.count(f"#stablehlo<precision {word}>") == 2 * convolutions
    assert text.count(f"precision = [{word}, {word}]") == products


# ------------------------------------------------------------------------------------------ train steps

SMALL = {"network.width": 16, "network.latent_dim": 16, "batch_size": 16}
PERCEPTRONS, CONVOLUTIONS, BATCH_NORM = "WGAN-GP, perceptrons, float64", "WGAN-GP, convolutions", "DCGAN, batch norm"
SYSTEMS = {
    PERCEPTRONS: ("wgan_gp", {}),
    CONVOLUTIONS: ("wgan_gp", SMALL | {"network.name": "dcgan"}),
    BATCH_NORM: ("dcgan", SMALL),
}
STEPS = 5


def configured(system, **fields):
    experiment, changes = SYSTEMS[system]
    config = runpy.run_path(str(ROOT / "experiments" / f"{experiment}.py"))["get_config"]("digits")
    config.update_from_flattened_dict(changes | {name.replace("__", "."): value for name, value in fields.items()})
    return config


@functools.cache
def digits():
    return sources.load("digits", "", 0, 100.0)


def precise(system):
    """In what a system computes: `highest` is float32 in earnest, where it is not float64."""
    stack = contextlib.ExitStack()
    stack.enter_context(jax.enable_x64("float64" in system))
    stack.enter_context(jax.default_matmul_precision("highest"))
    return stack


@functools.cache
def first_state(system):
    """Made on the CPU, to be copied to where it is wanted."""
    with jax.default_device(cpu()):
        state = compiled(jax.jit(lambda: create_state(configured(system), digits().shape)).lower(), cpu())()
    if "float64" in system:
        state = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) if leaf.dtype == np.float32 else leaf, state)
    return state


def drawing_step(config, is_double):
    """(state, arrays of the digits) -> (state, metrics)."""
    train_step = make_train_step(config, digits().shape)

    def step(state, arrays):
        key = jax.random.fold_in(state.key, DATA)
        batch = digits().draw(arrays, key, state.step, config.n_critic, config.batch_size)
        if is_double:  # what it draws is float32 in any case, to the last bit of which compilers make it differently
            batch = batch._replace(image=batches.to_uint8(batch.image).astype(float) / 127.5 - 1)
        return train_step(state, batch)

    return step


def lowered_step(system, place, dtype):
    """(the step of a system, what to compile it for, its arguments there)."""
    device = {"accelerator": accelerator, "cpu": cpu}[place]()
    step = drawing_step(configured(system, network__dtype=dtype), "float64" in system)
    is_stand_in = place == "accelerator" and is_rehearsal()
    with precise(system), taking("default") if is_stand_in else contextlib.nullcontext():
        arguments = jax.device_put((first_state(system), digits().arrays), device)
        return jax.jit(step).lower(*arguments), device, arguments


def trained_steps(programs, system, place, dtype="float32", steps=STEPS):
    """(the state after these steps, the metrics of each)."""
    program, (state, arrays) = programs(lowered_step, system, place, dtype)
    metrics = []
    with precise(system):
        for _ in range(steps):
            state, of_step = program.result()(state, arrays)
            metrics.append(jax.device_get(of_step))
    return state, metrics


def numbers(state):
    """All that training changes but counts, by its kind: a vector of each."""
    parts = {
        "generator": state.generator.params,
        "critic": state.critic.params,
        "average": state.ema,
        "statistics": (state.generator.stats, state.critic.stats),
        "optimisers": (state.generator.opt_state, state.critic.opt_state),
    }
    leaves = {name: [leaf for leaf in jax.tree.leaves(part) if leaf.dtype != np.int32] for name, part in parts.items()}
    return {name: np.concatenate([np.ravel(leaf) for leaf in some]) for name, some in leaves.items()}


def error_of_metrics(found, expected):
    return max(abs(a[name] - b[name]) / (1 + abs(b[name])) for a, b in zip(found, expected, strict=True) for name in b)


# (of parameters and all else in a state, as a share of the way that they have come from step 0; of metrics, relative to
# 1 + |metric|). Rounding grows: Adam's first steps have the length of the learning rate, however small a gradient is,
# and a ReLU that is rounded to its other side turns the gradient of a penalty at once. On a CPU, five steps make 5e-4
# and 9e-5 of a change of all parameters by 1e-6 of themselves, 1e-2 and 2e-3 of 1e-5, and the perceptrons in float64
# 5e-11 and 2e-13 of 1e-13. In float32 these may be 4e-2 apart after a change of 1e-6.
STEP_BOUNDS = {PERCEPTRONS: (1e-8, 1e-9), CONVOLUTIONS: (1e-2, 1e-3), BATCH_NORM: (1e-2, 1e-3)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "system",
    [CONVOLUTIONS, *(pytest.param(system, marks=on_a_cpu_in_hours) for system in (PERCEPTRONS, BATCH_NORM))],
)
def test_five_steps_are_those_of_a_cpu(programs, check, system):
    (found, found_metrics), (expected, metrics) = (
        trained_steps(programs, system, place) for place in ("accelerator", "cpu")
    )
    start, of_state, of_metrics = numbers(first_state(system)), *STEP_BOUNDS[system]
    figures = {f"metrics of {system}": (error_of_metrics(found_metrics, metrics), of_metrics)}
    found, expected = numbers(found), numbers(expected)
    for name in start:
        error = np.linalg.norm(found[name] - expected[name]) / np.linalg.norm(expected[name] - start[name])
        figures[f"{name} of {system}"] = error, of_state
    check(figures)


@on_a_cpu_in_hours
@pytest.mark.parametrize("system", [CONVOLUTIONS, BATCH_NORM])
def test_losses_of_bfloat16_networks_are_float32s_to_their_accuracy(programs, check, system):
    """Of one step: 8 bits are an error of up to 2^-9 = 2e-3 in each layer, and make 1e-3 to 2e-3 of losses on a CPU.

    And they are no more alike, or nothing would have been computed in bfloat16.
    """
    low, high = (trained_steps(programs, system, "accelerator", dtype, 1)[1] for dtype in ("bfloat16", "float32"))
    error = error_of_metrics(low, high)
    check({f"losses in bfloat16 of {system}": (error, 2e-2)})
    assert error > 1e-5


# ------------------------------------------------------------------------------------------ the same bits again

FLAG = "--xla_gpu_deterministic_ops=true"
TRAINED = 20  # steps, of which the command makes half and then the others


def train_twice(file):
    """Run in a process of its own: two runs of one compiled program, each from its fresh state."""
    config = configured(CONVOLUTIONS)
    carries = loop.fresh_carries([config, config], digits())
    program = population.compile_program(config, digits(), carries[0])
    found = [numbers(program.block(carry, None, TRAINED)[0][0]) for carry in carries]
    for run, of_run in enumerate(found):
        np.savez(f"{file}_{run}.npz", **of_run)


def in_process(is_deterministic, *command):
    changes = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    if is_deterministic:
        changes["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAG}"
    if is_rehearsal():
        changes["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    environment = os.environ | changes
    command = [sys.executable, *map(str, command)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def trained_twice(is_deterministic, number, folder):
    """The numbers of each of two runs of a process."""
    file = str(folder / f"{is_deterministic}_{number}")
    in_process(is_deterministic, "-c", f"import runpy; runpy.run_path({__file__!r})['train_twice']({file!r})")
    return [dict(np.load(f"{file}_{run}.npz")) for run in range(2)]


def run_command(folder, steps):
    values = SMALL | {"steps": steps, "log_every": 5, "sample_every": TRAINED // 2, "checkpoint_every": TRAINED // 2}
    fields = [f"--config.{name}={value}" for name, value in (values | {"eval_every": 0}).items()]
    experiment = ROOT / "experiments" / "dcgan.py"
    in_process(True, "-m", "gan_jax.main", f"--config={experiment}", f"--workdir={folder}", *fields)


def run_straight(folder):
    run_command(folder / "straight", TRAINED)
    return folder / "straight"


def run_in_halves(folder):
    """The picture of the first half is removed: who began anew would draw it again."""
    run_command(folder / "halves", TRAINED // 2)
    (folder / "halves" / "samples" / f"step_{TRAINED // 2:07d}.png").unlink()
    run_command(folder / "halves", TRAINED)
    return folder / "halves"


def difference(found, expected):
    """The largest of all numbers; 0 where all bits are the same, and only there."""
    if all(found[name].tobytes() == expected[name].tobytes() for name in expected):
        return 0.0
    return max(float(np.abs(found[name] - expected[name]).max()) for name in expected) or sys.float_info.min


PROGRAMS = [(lowered_maps, precision) for precision in BOUNDS]
PROGRAMS += [(lowered_step, system, place, "float32") for place in ("accelerator", "cpu") for system in SYSTEMS]
PROGRAMS += [(lowered_step, system, "accelerator", "bfloat16") for system in (CONVOLUTIONS, BATCH_NORM)]
PROCESSES = [(run_in_halves,), (run_straight,), *itertools.product([trained_twice], (True, False), range(2))]


@on_a_cpu_in_hours
@pytest.mark.parametrize("is_deterministic", [False, True], ids=["as it comes", FLAG])
def test_the_same_run_has_the_same_bits(processes, record_property, is_deterministic):
    """On a GPU, training as it comes may add in another order or choose other kernels: that is reported, no more."""
    first, second = (processes(trained_twice, is_deterministic, number).result() for number in range(2))
    found = {"in one process": difference(*first), "in two processes": difference(first[0], second[0])}
    for name, number in found.items():
        record_property(f"{name}, {FLAG if is_deterministic else 'as it comes'}", number or "equal")
    assert difference(first[0], numbers(first_state(CONVOLUTIONS))) > 1e-3
    if is_deterministic or is_rehearsal():
        assert found == dict.fromkeys(found, 0.0)


@on_a_cpu_in_hours
def test_a_run_resumed_by_another_process_has_the_bits_of_one_that_went_straight(processes, record_property):
    folders = [processes(run).result() for run in (run_straight, run_in_halves)]
    straight, halves = (trained.load(folder).state for folder in folders)
    found = difference(*map(numbers, (halves, straight)))
    record_property(f"difference of a resumed run, {FLAG}", found or "equal")
    assert found == 0
    assert halves.step == straight.step == TRAINED
    assert (jax.random.key_data(halves.key) == jax.random.key_data(straight.key)).all()
    lines, expected = ((folder / "metrics.jsonl").read_text().splitlines() for folder in folders)
    assert lines == expected
    assert not (folders[1] / "samples" / f"step_{TRAINED // 2:07d}.png").exists()
