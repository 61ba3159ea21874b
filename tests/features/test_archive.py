import io
import os
import pathlib
import pickle
import re
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib
from collections import OrderedDict

import numpy as np
import pytest

from gan_jax.errors import UserError
from gan_jax.features.archive import read_tensors

ORIGINALS = pathlib.Path(os.environ.get("GAN_JAX_ORIGINALS", "~/.cache/gan_jax/originals")).expanduser()
VALUES = np.arange(6, dtype=np.float32)
BYTES = VALUES.tobytes()
MAGIC = 0x1950A86A20F9469CFC6C

# ---------------------------------------------------------- pickles, instruction by instruction, no torch


def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value):
    return b"J" + struct.pack("<i", value) if abs(value) < 2**31 else b"\x8a\x20" + value.to_bytes(32, "little")


def integers(values):
    return b"(" + b"".join(map(integer, values)) + b"t"


def named(name):
    return f"c{name.replace(' ', chr(10))}\n".encode()


def storage(key="0", numel=6, kind="torch FloatStorage", view=b""):
    return b"(" + text("storage") + named(kind) + text(key) + text("cpu") + integer(numel) + view + b"tQ"


def tensor(size=(2, 3), stride=(3, 1), offset=0, of=None, sizes=None):
    shape = (sizes or integers(size)) + integers(stride)
    hooks = b"\x89" + named("collections OrderedDict") + b")R"
    return named("torch._utils _rebuild_tensor_v2") + b"(" + (of or storage()) + integer(offset) + shape + hooks + b"tR"


def program(*instructions):
    return b"\x80\x02" + b"".join(instructions) + b"."


def state_dict(**values):
    items = b"".join(text(name) + value for name, value in values.items())
    metadata = text("_metadata") + named("collections OrderedDict") + b")R"
    return program(named("collections OrderedDict"), b")R(", items, b"u}", metadata, b"sb")


def module(**values):
    items = b"".join(text(name) + value for name, value in values.items())
    return named("__torch__.nets Net") + b")\x81}(" + text("training") + b"\x89" + items + b"ub"


# ------------------------------------------------------------------------------------------------ files


def zipped(root, storages=None, compression=zipfile.ZIP_STORED, **entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("net/data.pkl", root)
        for key, raw in (storages or {"0": BYTES}).items():
            archive.writestr(f"net/data/{key}", raw)
        for name, raw in entries.items():
            archive.writestr(f"net/{name.replace('__', '/')}", raw)
    return buffer.getvalue()


def legacy(root, keys=None, numel=6, raw=BYTES, version=1001, little=True):
    system = {"protocol_version": 1001, "little_endian": little, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    keys = keys if keys is not None else ["0"] if b"storage" in root else []
    head = b"".join(pickle.dumps(value, protocol=2) for value in (MAGIC, version, system))
    return head + root + pickle.dumps(keys, protocol=2) + struct.pack("<q", numel) + raw


FILES = {"zip": zipped, "legacy": legacy}
each_file = pytest.mark.parametrize("file", FILES.values(), ids=FILES)


@pytest.fixture
def read(tmp_path):
    def read_bytes(contents):
        path = tmp_path / "weights.pth"
        path.write_bytes(contents)
        return read_tensors(path)

    return read_bytes


@pytest.fixture
def refused(read):
    """The file is refused in one line, with this reason."""

    def check(contents, reason=""):
        with pytest.raises(UserError) as raised:
            read(contents)
        line = str(raised.value)
        assert "weights.pth" in line
        assert line.endswith("fetch it anew")
        assert line.isprintable()
        assert len(line) < 600
        assert re.search(reason, line)

    return check


# ------------------------------------------------------------------------------------------ what is read


@each_file
def test_a_state_dict_made_by_hand(read, file):
    parameter = named("torch._utils _rebuild_parameter") + b"(" + tensor() + b"\x88N" + b"tR"
    tensors = read(file(state_dict(weight=tensor(), bias=parameter, steps=integer(3), nothing=b"N")))
    assert list(tensors) == ["weight", "bias"]
    for array in tensors.values():
        assert array.dtype == np.float32
        assert not array.flags.writeable
        np.testing.assert_array_equal(array, VALUES.reshape(2, 3))
    assert np.shares_memory(tensors["weight"], tensors["bias"])


@each_file
def test_modules_give_dotted_names(read, file):
    root = program(module(net=module(weight=tensor(), sizes=b"](" + integer(1) + b"e"), scale=tensor((), ())))
    tensors = read(file(root))
    assert set(tensors) == {"net.weight", "scale"}
    assert tensors["net.weight"].shape == (2, 3)
    assert tensors["scale"].shape == ()


@pytest.mark.parametrize(
    ("size", "stride", "offset", "expected"),
    [
        ((3, 2), (1, 3), 0, VALUES.reshape(2, 3).T),
        ((2,), (1,), 4, VALUES[4:]),
        ((3,), (2,), 1, VALUES[1::2]),
        ((2, 3), (0, 1), 3, np.stack([VALUES[3:]] * 2)),
        ((2, 1, 1), (5, 10**6, 7), 0, VALUES[::5].reshape(2, 1, 1)),
        ((), (), 5, VALUES[5]),
        ((0, 4), (4, 1), 6, np.zeros((0, 4))),
    ],
)
@each_file
def test_strides_and_offsets(read, file, size, stride, offset, expected):
    np.testing.assert_array_equal(read(file(state_dict(weight=tensor(size, stride, offset))))["weight"], expected)


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        ("HalfStorage", np.array([1.5, -2], "<f2").tobytes(), np.array([1.5, -2], np.float16)),
        ("BFloat16Storage", bytes.fromhex("c03f00c0"), np.array([1.5, -2], np.float32)),
        ("DoubleStorage", np.array([1 / 3, -2], "<f8").tobytes(), np.array([1 / 3, -2])),
        ("LongStorage", np.array([2**62, -2], "<i8").tobytes(), np.array([2**62, -2])),
    ],
)
@pytest.mark.parametrize("place", ["torch", "torch.cuda"])
def test_types(read, kind, raw, expected, place):
    root = state_dict(weight=tensor((2,), (1,), of=storage(numel=2, kind=f"{place} {kind}")))
    for contents in (zipped(root, {"0": raw}), legacy(root, numel=2, raw=raw)):
        array = read(contents)["weight"]
        assert array.dtype == expected.dtype
        assert not array.flags.writeable
        np.testing.assert_array_equal(array, expected)


def test_views_of_the_oldest_files(read):
    """They gave a storage that is part of another: (its own key, where it begins, how many numbers it has)."""
    view = b"(" + text("1") + integer(2) + integer(3) + b"t"
    array = read(legacy(state_dict(weight=tensor((2,), (1,), 1, of=storage(view=view)), all=tensor())))["weight"]
    np.testing.assert_array_equal(array, [3, 4])


# ----------------------------------------------------------------------------------------- against torch


@pytest.fixture(scope="module")
def torch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torch")


def assert_equal_bits(tensors, expected, torch):
    assert set(tensors) == set(expected)
    for name, value in expected.items():
        value = value.detach()
        original = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
        assert tensors[name].dtype == original.dtype
        assert tensors[name].shape == original.shape
        assert tensors[name].tobytes() == original.tobytes()


@pytest.mark.parametrize("is_zip", [True, False])
def test_state_dicts_of_torch(torch, tmp_path, is_zip):
    torch.manual_seed(0)
    base = torch.randn(4, 5, 6)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8))
    tensors = OrderedDict(network.state_dict())
    tensors |= {"parameter": network[0].weight, "permuted": base.permute(2, 0, 1), "strided": base[1:, ::2, 3]}
    tensors |= {str(dtype): torch.randn(7).to(dtype) for dtype in (torch.float16, torch.bfloat16, torch.float64)}
    tensors |= {"scalar": torch.tensor(2.0), "empty": torch.empty(0, 3), "not finite": torch.tensor([np.nan, -np.inf])}
    torch.save(tensors, tmp_path / "weights.pth", _use_new_zipfile_serialization=is_zip)
    assert (tmp_path / "weights.pth").read_bytes().startswith(b"PK") == is_zip
    found = read_tensors(tmp_path / "weights.pth")
    assert_equal_bits(found, tensors, torch)
    assert np.shares_memory(found["permuted"], found["strided"])


@pytest.mark.filterwarnings("ignore")  # torch calls its own TorchScript deprecated
def test_torchscript(torch, tmp_path):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Sequential(torch.nn.BatchNorm2d(8)))
    script = torch.jit.script(network)
    torch.jit.save(script, tmp_path / "script.pt")
    assert_equal_bits(read_tensors(tmp_path / "script.pt"), script.state_dict(), torch)


@pytest.mark.filterwarnings("ignore")
def test_the_inception_network_of_stylegan(torch):
    path = ORIGINALS / "inception" / "default_1.pt"
    if not path.is_file():
        pytest.skip(f"{path} is not there (GAN_JAX_ORIGINALS names the folder of original weights)")
    tensors = read_tensors(path)
    assert len(tensors) == 376
    assert tensors["net.layers.conv.weight"].shape == (32, 3, 3, 3)
    assert_equal_bits(tensors, torch.jit.load(path, map_location="cpu").state_dict(), torch)


def test_imports_no_torch(tmp_path):
    (tmp_path / "weights.pth").write_bytes(zipped(state_dict(weight=tensor())))
    code = "import sys; from gan_jax.features.archive import read_tensors; read_tensors('weights.pth')"
    check = "; assert not {'torch', 'jax', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code + check], cwd=tmp_path, check=True)


# ---------------------------------------------------------------------------------------- what is refused


class Payload:
    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_payload_is_not_run(refused, tmp_path, protocol):
    trace = tmp_path / "trace"
    attacks = [
        pickle.dumps(Payload(os.mkdir, (str(trace),)), protocol),
        pickle.dumps(Payload(eval, (f"__import__('os').mkdir({str(trace)!r})",)), protocol),
        pickle.dumps({"weight": Payload(os.mkdir, (str(trace),))}, protocol),
    ]
    for attack in attacks:
        pickle.loads(attack)
        assert trace.is_dir()  # it does harm where it is unpickled
        trace.rmdir()
        good = legacy(state_dict(weight=tensor()))
        pickles = [pickle.dumps(MAGIC, 2), pickle.dumps(1001, 2), pickle.dumps({"little_endian": True}, 2)]
        files = [zipped(attack), legacy(attack), attack, attack + good]
        files += [b"".join(pickles[:n]) + attack + good for n in (1, 2, 3)]
        files += [b"".join(pickles) + state_dict(weight=tensor()) + attack + struct.pack("<q", 6) + BYTES]
        for contents in files:
            refused(contents)
            assert not trace.exists()


@pytest.mark.parametrize(
    "name",
    [
        "os system",
        "posix system",
        "builtins eval",
        "builtins getattr",
        "copyreg _reconstructor",
        "numpy.core.multiarray _reconstruct",
        "torch.hub load",
        "torch.jit load",
        "torch FloatStorage.__init__",
        "collections OrderedDict.fromkeys.__globals__",
        "torch._utils _rebuild_tensor_v2.__globals__",
        "gan_jax.features.archive _Name",
    ],
)
@each_file
def test_names_are_refused_by_name(refused, file, name):
    refused(file(state_dict(weight=named(name))), f"asks for {re.escape(repr(name.replace(' ', '.')))}")


NET, STORAGE, ORDERED = (
    named(name) for name in ("__torch__.nets Net", "torch FloatStorage", "collections OrderedDict")
)
MANY = 20_000
PROGRAMS = {
    "dotted STACK_GLOBAL": (program(text("os"), text("path.os.system"), b"\x93"), "instruction STACK_GLOBAL"),
    "extension registry": (program(b"\x82\x01"), "instruction EXT1"),
    "extension registry of 4 bytes": (program(b"\x84\x01\x00\x00\x00"), "instruction EXT4"),
    "text persistent id": (program(b"P../../etc/passwd\n"), "instruction PERSID"),
    "INST": (program(b"(ios\nsystem\n"), "instruction INST"),
    "OBJ": (program(b"(", NET, b"o"), "instruction OBJ"),
    "a call of a storage type": (program(STORAGE, b")R"), "calls a function"),
    "a new storage type": (program(STORAGE, b")\x81"), "calls a function"),
    "a call of text": (program(text("os.system"), b")R"), "calls a function"),
    "a tensor without arguments": (program(named("torch._utils _rebuild_tensor_v2"), b")R"), "calls a function"),
    "a dict with arguments": (program(ORDERED, b"]\x85R"), "calls a function"),
    "a module with arguments": (program(NET, integers([1]), b"\x81"), "calls a function"),
    "a parameter of no tensor": (program(named("torch._utils _rebuild_parameter"), b"(NNNtR"), "calls a function"),
    "a state of a class": (program(NET, b"N}", text("__setstate__"), NET, b"s\x86b"), "a state"),
    "a state of a function": (program(named("torch._utils _rebuild_tensor_v2"), b"}b"), "a state"),
    "a state of a tensor": (state_dict(weight=tensor() + b"}b"), "a state"),
    "slots of a module": (program(NET, b")\x81N}", text("__class__"), NET, b"s\x86b"), "a state"),
    "two states of a module": (program(NET, b")\x81}b}b"), "a state"),
    "special attributes": (program(module(__class__=NET, __dict__=b"}", __setstate__=NET)), "no tensor"),
    "a persistent id of text": (state_dict(weight=tensor(of=text("0") + b"Q")), "names a storage"),
    "a short persistent id": (
        state_dict(weight=tensor(of=b"(" + text("storage") + STORAGE + b"tQ")),
        "names a storage",
    ),
    "a storage of a text type": (
        state_dict(
            weight=tensor(of=b"(" + text("storage") + text("FloatStorage") + text("0") + b"N" + integer(6) + b"tQ")
        ),
        "names a storage",
    ),
    "a storage of no known type": (state_dict(weight=tensor(of=storage(kind="__torch__.nets O"))), "no known type"),
    "a storage of two types": (
        state_dict(a=tensor(), b=tensor(of=storage(kind="torch LongStorage"))),
        "of no known type, or of two",
    ),
    "a storage of two sizes": (state_dict(a=tensor(), b=tensor(of=storage(numel=7))), "or of two"),
    "a storage of negative size": (state_dict(weight=tensor(of=storage(numel=-6))), "smaller than"),
    "a view beyond its storage": (
        state_dict(weight=tensor(of=storage(view=b"(N" + integer(4) + integer(3) + b"t"))),
        "smaller than",
    ),
    "a view before its storage": (
        state_dict(weight=tensor(of=storage(view=b"(N" + integer(-1) + integer(3) + b"t"))),
        "smaller than",
    ),
    "a size beyond the storage": (state_dict(weight=tensor((7,), (1,))), "beyond its storage"),
    "an offset beyond the storage": (state_dict(weight=tensor((2, 3), (3, 1), 1)), "beyond its storage"),
    "an offset of nothing": (state_dict(weight=tensor((0,), (1,), 7)), "beyond its storage"),
    "a stride beyond the storage": (state_dict(weight=tensor((2, 3), (4, 1))), "beyond its storage"),
    "a stride that wraps around": (state_dict(weight=tensor((2,), (2**62,))), "beyond its storage"),
    "a negative offset": (state_dict(weight=tensor((2,), (1,), -1)), "beyond its storage"),
    "a negative stride": (state_dict(weight=tensor((2,), (-1,), 5)), "beyond its storage"),
    "a negative size": (state_dict(weight=tensor((-2, 3), (3, 1))), "beyond its storage"),
    "two negative sizes": (state_dict(weight=tensor((-2, -3), (3, 1))), "beyond its storage"),
    "a huge size": (state_dict(weight=tensor((2**200,), (1,))), "beyond its storage"),
    "a huge size of stride 0": (state_dict(weight=tensor((10**9,), (0,))), "beyond its storage"),
    "one more than the storage, of stride 0": (state_dict(weight=tensor((7,), (0,))), "beyond its storage"),
    "fewer strides than sizes": (state_dict(weight=tensor((2, 3), (3,))), "not of as many"),
    "too many dimensions": (state_dict(weight=tensor([1] * 33, [1] * 33)), "size or the stride"),
    "a size of text": (state_dict(weight=tensor(stride=(1,), sizes=text("2") + b"\x85")), "not made of integers"),
    "a size of truth": (state_dict(weight=tensor(stride=(1,), sizes=b"\x88\x85")), "not made of integers"),
    "a size that doubles 60 times": (
        state_dict(weight=tensor(stride=(1,), sizes=b")" + b"q\x00h\x00\x86" * 60 + b"\x85")),
        "not made of integers",
    ),
    "a key of numbers": (program(b"}", integer(1), b"Ns"), "keys that are not text"),
    "a key that is a deep tuple": (program(b"})", b"\x85" * MANY, b"Ns"), "keys that are not text"),
    "items without values": (program(b"}(", text("a"), b"u"), "shorter"),
    "items of a list": (program(b"]", text("a"), b"Ns"), "TypeError"),
    "more for a tuple": (program(b")Na"), "TypeError"),
    "deep lists": (program(b"]" * MANY, b"a" * (MANY - 1)), "neither a module nor a dict"),
    "deep tuples": (program(b")", b"\x85" * MANY), "neither a module nor a dict"),
    "deep dicts": (program((b"}" + text("a")) * MANY, b"N", b"s" * MANY), "hold one another"),
    "deep modules": (program((NET + b")\x81}" + text("a")) * MANY, b"N", b"sb" * MANY), "hold one another"),
    "a module in itself": (program(NET, b")\x81q\x00}", text("a"), b"h\x00sb"), "hold one another"),
    "a module in itself, under no name": (program(NET, b")\x81q\x00}", text(""), b"h\x00sb"), "hold one another"),
    "modules that double 60 times": (
        program(NET, b"q\x00)\x81}b", (b"q\x01h\x00)\x81}(" + text("a") + b"h\x01" + text("b") + b"h\x01ub") * 60),
        "hold one another",
    ),
    "a module without attributes": (program(NET, b")\x81"), "IndexError"),
    "no tensor": (state_dict(steps=integer(3)), "no tensor"),
    "a tensor alone": (program(tensor()), "neither a module nor a dict"),
    "a list": (program(b"]"), "neither a module nor a dict"),
    "memory that is not there": (program(b"h\x07"), "KeyError"),
    "an empty stack": (program(b"R"), "IndexError"),
    "no object": (program(), "IndexError"),
    "no mark": (program(b"t"), "IndexError"),
    "huge text": (program(b"X\xff\xff\xff\x7fabc"), "expected 2147483647 bytes"),
    "a huge byte array": (program(b"\x96" + struct.pack("<Q", 2**40)), "expected 1099511627776 bytes"),
    "text that is no UTF-8": (program(b"X\x01\x00\x00\x00\xff"), "UnicodeDecodeError"),
    "a name with escape codes": (program(named("os \x1b[2Jsystem")), "asks for"),
    "POP": (program(b"N0"), "instruction POP"),
}


@pytest.mark.parametrize("name", PROGRAMS)
@each_file
def test_programs_are_refused(refused, file, name):
    root, reason = PROGRAMS[name]
    refused(file(root), reason)


def test_a_pickle_is_bounded(refused):
    root = program(b"N" * 2**20)
    refused(zipped(root), "too large")
    refused(legacy(root), "exhausted")


@each_file
def test_a_far_place_in_the_memo_takes_no_memory(read, file):
    assert list(read(file(program(b"}r\xff\xff\xff\x7f", text("weight"), tensor(), b"s")))) == ["weight"]


GOOD = state_dict(weight=tensor())


def overlapping():
    """A zip whose first storage holds, in its numbers, the whole entry of the second."""
    inner = zipfile.ZipInfo("net/data/1")
    inner.file_size = inner.compress_size = 4000
    root = state_dict(a=tensor(of=storage("0", 1020)), b=tensor(of=storage("1", 1000)))
    raw = bytes(4000)
    inner.CRC = zlib.crc32(raw)
    outer = inner.FileHeader() + raw
    outer = outer + bytes(4080 - len(outer))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("net/data.pkl", root)
        inner.header_offset = buffer.tell() + 30 + len("net/data/0")  # behind its local header
        archive.writestr(zipfile.ZipInfo("net/data/0"), outer)
        archive.filelist.append(inner)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"", "begins like neither"),
        (b"weights", "begins like neither"),
        (b"<!DOCTYPE html><html>404 Not Found</html>", "begins like neither"),
        (b"PK\x03\x04", "BadZipFile"),
        (GOOD, "begins like neither"),
        (zipped(GOOD, compression=zipfile.ZIP_DEFLATED), "compressed"),
        (zipped(program(bytes(2**24)), compression=zipfile.ZIP_DEFLATED), "compressed"),
        (zipped(GOOD, other__data__0=b"", other__data=b"").replace(b"data.pkl", b"data.txt"), "0 entries data.pkl"),
        (zipped(GOOD, **{"other__data.pkl": GOOD}), "2 entries data.pkl"),
        (zipped(GOOD, byteorder=b"big"), "big-endian"),
        (zipped(GOOD).replace(BYTES, VALUES[::-1].tobytes()), "Bad CRC"),
        (zipped(GOOD, {"0": VALUES[:5].tobytes()}), "holds 5 numbers where the file says 6"),
        (zipped(GOOD, {"0": BYTES[:-1]}), "multiple of element size"),
        (zipped(GOOD, {"1": BYTES}), "no item named"),
        (zipped(state_dict(weight=tensor(of=storage("../../../etc/passwd")))), "no item named"),
        (zipped(state_dict(weight=tensor(of=storage("../data.pkl")))), "no item named"),
        (overlapping(), "too large"),
        (legacy(GOOD, version=1002), "another version"),
        (legacy(GOOD, little=False), "big-endian"),
        (legacy(GOOD, keys=[]), "KeyError"),
        (legacy(GOOD, keys=["0", "1"]), "no tensor has"),
        (legacy(GOOD, keys=[0]), "no tensor has"),
        (legacy(GOOD, numel=5), "another size"),
        (legacy(GOOD, numel=-1), "another size"),
        (legacy(GOOD, numel=2**62), "another size"),
        (legacy(state_dict(weight=tensor(of=storage(numel=2**40))), numel=2**40), "cut short"),
        (legacy(state_dict(weight=tensor(of=storage(numel=2**200)))), "OverflowError"),
    ],
)
def test_files_are_refused(refused, contents, reason):
    refused(contents, reason)


@pytest.mark.parametrize("contents", [zipped(GOOD, byteorder=b"little"), legacy(GOOD)], ids=FILES)
def test_cut_anywhere(refused, contents):
    for length in range(len(contents)):
        refused(contents[:length])


@pytest.mark.slow
@pytest.mark.parametrize("contents", [zipped(GOOD, byteorder=b"little"), legacy(GOOD)], ids=FILES)
def test_a_changed_byte_gives_tensors_or_one_line(read, contents):
    rng = np.random.default_rng(0)
    refusals = 0
    for place in range(len(contents)):
        for value in rng.integers(256, size=3, dtype=np.uint8):
            try:
                read(contents[:place] + value.tobytes() + contents[place + 1 :])
            except UserError:
                refusals += 1
    assert refusals > len(contents)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # would be waited for
    for path in (tmp_path, tmp_path / "missing.pth", tmp_path / "pipe", str(tmp_path / "a\0b")):
        with pytest.raises(UserError, match="no such file"):
            read_tensors(path)
