"""The tensors of a PyTorch weight file as NumPy arrays, without PyTorch and without running anything in the file.

A pickle is a program that builds an object. Python's unpickler, even if restricted to harmless names, can be made by it
to overflow the C stack or to fill the memory. So `_object` runs the program, and knows only the few instructions that
PyTorch writes: it builds lists, dicts and tuples, and calls, imports and copies nothing.
"""

import io
import math
import os
import pathlib
import pickletools
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from gan_jax.errors import UserError, one_line

_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the pickle of PyTorch's magic number, 0x1950a86a20f9469cfc6c
_DTYPES = {"FloatStorage": "<f4", "HalfStorage": "<f2", "BFloat16Storage": "<u2", "DoubleStorage": "<f8",
           "LongStorage": "<i8"}  # fmt: skip
_KNOWN = ("collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter",
          *(f"{module}.{name}" for module in ("torch", "torch.cuda") for name in _DTYPES))  # fmt: skip
_NEW: dict[str, Callable[[], Any]] = {"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
                                        "EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict}  # fmt: skip
_OPERANDS = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "APPEND": 1, "SETITEM": 2, "BUILD": 1, "REDUCE": 2, "NEWOBJ": 2,
             "BINPERSID": 1}  # fmt: skip
_PICKLE_BYTES = 2**20  # the most that a pickle may take; one of 400 tensors takes 30 kB
_MOST_ENTRIES, _LONGEST_NAME = 100_000, 500  # modules that hold one another would give names without end


class _Name(NamedTuple):  # a class or function that the file names; it is never looked up
    text: str


class _Module(NamedTuple):
    attributes: list[dict]  # one dict, once BUILD has filled it


class _Storage(NamedTuple):
    key: str
    start: int
    length: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    size: tuple
    stride: tuple


def read_tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """All tensors of a PyTorch weight file, under the names of torch's state_dict.

    Reads TorchScript archives (the dotted paths of their attributes are the names) and what torch.save made of a
    state_dict, since 1.6 (a zip) or before. Nothing that the file holds is run.

    Args:
      path: the file. Its tensors are float16, float32, float64, int64 or bfloat16.

    Returns:
      {name: array}, in the file's dtype, except that bfloat16 becomes float32, which holds it exactly. The arrays are
      read-only; those that share memory in PyTorch do so here.

    Raises:
      UserError: no such file, one that is damaged, or one that holds or asks for anything else.

    """
    try:
        root, contents = _root_and_contents(pathlib.Path(path))
        return {name: _array(tensor, contents) for name, tensor in _named_tensors(root).items()}
    except Exception as error:  # a damaged zip or pickle raises many kinds
        reason = one_line(f"{type(error).__name__}: {error}" if type(error) is not ValueError else error)[:300]
        raise UserError(one_line(f"{path} cannot be read as PyTorch weights ({reason}): fetch it anew")) from error


# --------------------------------------------------------------------------------------------- formats


def _root_and_contents(path: pathlib.Path) -> tuple[Any, dict[str, np.ndarray]]:
    if not path.is_file():
        raise ValueError("no such file")
    with path.open("rb") as file:
        start = file.read(len(_LEGACY))
        file.seek(0)
        if start == _LEGACY:
            return _read_legacy(file, path.stat().st_size)
        if start.startswith(b"PK\x03\x04"):
            return _read_zip(file, path.stat().st_size)
    raise ValueError("it begins like neither a zip nor a file of torch.save")


def _read_zip(file: BinaryIO, file_size: int) -> tuple[Any, dict[str, np.ndarray]]:
    with zipfile.ZipFile(file) as archive:
        folders = [name.removesuffix("/data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(folders) != 1:
            raise ValueError(f"its zip holds {len(folders)} entries data.pkl: it should be one")
        folder = folders[0]
        if f"{folder}/byteorder" in archive.namelist() and _stored(archive, f"{folder}/byteorder", 6) != b"little":
            raise ValueError("its numbers are big-endian")
        storages: dict[str, tuple[str, int]] = {}
        root = _object(io.BytesIO(_stored(archive, f"{folder}/data.pkl", _PICKLE_BYTES)), storages)
        contents, left = {}, file_size  # entries that overlap would give more bytes than the file has
        for key, (kind, numel) in storages.items():
            raw = _stored(archive, f"{folder}/data/{key}", left)
            contents[key], left = _numbers(raw, kind, numel), left - len(raw)
    return root, contents


def _stored(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.file_size > most_bytes:
        raise ValueError(f"its entry {name[-100:]!r} is compressed or too large")
    return archive.read(info)


def _read_legacy(file: BinaryIO, file_size: int) -> tuple[Any, dict[str, np.ndarray]]:
    """Five pickles (magic, version, system, the object, keys of storages), then each storage: int64 numel, bytes."""
    pickles = io.BytesIO(file.read(_PICKLE_BYTES))
    storages: dict[str, tuple[str, int]] = {}
    _, version, system, root, keys = (_object(pickles, storages) for _ in range(5))
    if version != 1001 or system["little_endian"] is not True:
        raise ValueError("it is of another version, or big-endian")
    file.seek(pickles.tell())
    contents = {}
    for key in keys:
        if not isinstance(key, str) or key not in storages:
            raise ValueError("its list of storages names one that no tensor has")
        kind, numel = storages[key]
        length = numel * np.dtype(_DTYPES[kind]).itemsize
        if file.read(8) != numel.to_bytes(8, "little") or file.tell() + length > file_size:
            raise ValueError(f"its storage {key[:100]!r} has another size than the file says, or is cut short")
        contents[key] = _numbers(file.read(length), kind, numel)
    return root, contents


def _numbers(raw: bytes, kind: str, numel: int) -> np.ndarray:
    numbers = np.frombuffer(raw, _DTYPES[kind])
    if len(numbers) != numel:
        raise ValueError(f"a storage holds {len(numbers)} numbers where the file says {numel}")
    if kind == "BFloat16Storage":  # the upper half of a float32
        numbers = (numbers.astype("<u4") << 16).view("<f4")
        numbers.flags.writeable = False
    return numbers


# --------------------------------------------------------------------------------------------- pickles


def _object(pickle: BinaryIO, storages: dict[str, tuple[str, int]]) -> Any:
    """The object that one pickle builds; its storages are noted in `storages` as {key: (kind, numel)}."""
    stack: list[Any] = []
    marked: list[list[Any]] = []  # the stacks below each MARK
    memo: dict[Any, Any] = {}
    for opcode, argument, _ in pickletools.genops(pickle):
        name = opcode.name
        if name in ("TUPLE", "APPENDS", "SETITEMS"):
            operands, stack = stack, marked.pop()
        else:
            operands = [stack.pop() for _ in range(_OPERANDS.get(name, 0))][::-1]
        match name:
            case "PROTO" | "STOP":
                pass
            case "MARK":
                marked.append(stack)
                stack = []
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE":
                stack.append(argument)
            case "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(operands))
            case "APPEND" | "APPENDS":
                list.extend(stack[-1], operands)
            case "SETITEM" | "SETITEMS":
                _set_items(stack[-1], operands)
            case "GLOBAL":
                stack.append(_known_name(str(argument).replace(" ", ".")))
            case "REDUCE" | "NEWOBJ":
                stack.append(_called(*operands))
            case "BUILD":
                _build(stack[-1], *operands)
            case "BINPERSID":
                stack.append(_storage(operands[0], storages))
            case _ if name in _NEW:
                stack.append(_NEW[name]())
            case _:
                raise ValueError(f"its pickle has the instruction {name}, which PyTorch does not write")
    return stack[-1]


def _set_items(target: Any, keys_and_values: list[Any]) -> None:
    keys = keys_and_values[::2]
    if not all(isinstance(key, str) for key in keys):  # the hash of a nested tuple can overflow the C stack
        raise ValueError("a dict has keys that are not text")
    dict.update(target, zip(keys, keys_and_values[1::2], strict=True))


def _known_name(name: str) -> _Name:
    if name not in _KNOWN and not name.startswith(("__torch__.", "torch.jit._pickle.")):
        raise ValueError(f"it asks for {name[:100]!r}, which weights do not need")
    return _Name(name)


def _called(function: Any, arguments: Any) -> Any:
    match function, arguments:
        case _Name("collections.OrderedDict"), ():
            return {}
        case _Name("torch._utils._rebuild_tensor_v2"), (_Storage(), int(), tuple(), tuple(), _, _):
            return _Tensor(*arguments[:4])
        case _Name("torch._utils._rebuild_parameter"), (_Tensor() as tensor, _, _):
            return tensor
        case _Name(name), () if name.startswith("__torch__."):
            return _Module([])
        case _Name(name), (value, *_) if name.startswith("torch.jit._pickle."):  # lists with the type of their items
            return value
    raise ValueError("it makes an object, or calls a function, in a way that PyTorch does not")


def _build(target: Any, state: Any) -> None:
    match target, state:
        case _Module([]), dict():
            target.attributes.append(state)
        case dict(), _:  # the versions of the modules, as an attribute of the OrderedDict
            pass
        case _:
            raise ValueError("it gives an object a state that PyTorch does not give")


def _storage(identity: Any, storages: dict[str, tuple[str, int]]) -> _Storage:
    match identity:
        case ("storage", _Name(name), str(key), _, int(numel)) | (
            "storage",
            _Name(name),
            str(key),
            _,
            int(numel),
            None,
        ):
            start, length = 0, numel
        case ("storage", _Name(name), str(key), _, int(numel), (_, int(start), int(length))):  # a view, before 0.4
            pass
        case _:
            raise ValueError("it names a storage in a way that PyTorch does not")
    kind = name.split(".")[-1]
    if kind not in _DTYPES or storages.setdefault(key, (kind, numel)) != (kind, numel):
        raise ValueError(f"its storage {key[:100]!r} is of no known type, or of two")
    if min(start, length, numel - start - length) < 0:
        raise ValueError(f"its storage {key[:100]!r} is smaller than a view of it")
    return _Storage(key, start, length)


# --------------------------------------------------------------------------------------------- tensors


def _named_tensors(root: Any) -> dict[str, _Tensor]:
    """The tensors of a dict, or those of a module and of the modules in it, by dotted names, in the file's order."""
    if not isinstance(root, dict | _Module):
        raise ValueError("it holds neither a module nor a dict of tensors")
    found: dict[str, _Tensor] = {}
    waiting, entries = [("", root)], 0
    while waiting:
        path, node = waiting.pop()
        children = node.attributes[0] if isinstance(node, _Module) else node
        entries += len(children)
        if entries > _MOST_ENTRIES or len(path) > _LONGEST_NAME:
            raise ValueError("its modules hold one another, or are too many")
        for key, child in reversed(children.items()):
            if type(child) is type(root):
                waiting.append((f"{path}{key}.", child))
        found |= {path + key: child for key, child in children.items() if isinstance(child, _Tensor)}
    if not found:
        raise ValueError("it holds no tensor")
    return found


def _array(tensor: _Tensor, contents: dict[str, np.ndarray]) -> np.ndarray:
    (key, start, length), offset, size, stride = tensor
    numbers = contents[key][start : start + length]
    if len(size) != len(stride) or len(size) > 32 or not all(type(n) is int for n in (offset, *size, *stride)):
        raise ValueError("the size or the stride of a tensor is not made of integers, or not of as many")
    count = math.prod(size)
    end = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1 if count else offset
    if min((offset, *size, *stride)) < 0 or max(end, count) > length:
        raise ValueError(f"a tensor of size {size} reaches beyond its storage of {length} numbers")
    steps = [step * numbers.itemsize for step in stride]
    return np.ndarray(size, numbers.dtype, buffer=numbers, offset=offset * numbers.itemsize, strides=steps)
