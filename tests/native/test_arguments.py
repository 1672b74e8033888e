"""What the kernels take: _kernels.pyi is what the module and the twins promise, to the parameter and the dtype."""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import recordio_bridge
from recordio_bridge import _kernels
from tests import reference
from tests.native.agreement import REFUSED, assert_refused, block_of, outcome, room, values_of
from tests.native.messages import chunk, entry, example

STUB = ast.parse((Path(recordio_bridge.__file__).parent / "_kernels.pyi").read_text())
FUNCTIONS = {node.name: node for node in STUB.body if isinstance(node, ast.FunctionDef)}
FEATURE = chunk(3, chunk(1, b"\1"))
EXAMPLE = example(entry(b"x", FEATURE))
ONE = values_of([b"abcd"])

GOOD: dict[str, Callable[[], list[object]]] = {  # arguments that every kernel takes
    "crc32": lambda: [b"abc", 0],
    "crc32_table": lambda: [b"abc", 0],
    "crc32c": lambda: [b"abc", 0],
    "crc32c_table": lambda: [b"abc", 0],
    "lzf_length": lambda: [b"\0a"],
    "scan_recordio": lambda: [block_of(bytes(4)), 0, 4, False, room(1), room(1)],
    "walk_recordio": lambda: [bytes(4), 0, 4, bytearray(56), room(1), room(1), block_of(bytes(24))],
    "resync_recordio": lambda: [bytes(4), 0, 4, True],
    "frame_recordio": lambda: [[ONE], 0, block_of(bytes(99)), room(1), False],
    "scan_tfrecord": lambda: [bytes(4), 0, 4, False, room(1), room(1)],
    "walk_tfrecord": lambda: [bytes(4), 0, 4, 0, room(1), room(1)],
    "resync_tfrecord": lambda: [bytes(4), 0, 4, True],
    "frame_tfrecord": lambda: [ONE, 0, block_of(bytes(99)), room(1)],
    "gather_spans": lambda: [ONE, block_of(bytes(4))],
    "digest_rows": lambda: [ONE, (np.zeros(1, np.int64), np.ones(1, np.int64)), np.zeros(1, np.uint32)],
    "read_spans": lambda: [0, np.zeros(1, np.int64), np.zeros(1, np.int64), block_of(b"")],
    "parse_index": lambda: [b"1\t2\n", room(1), room(1)],
    "encode_examples": lambda: [
        [(b"x", reference.BYTES, 0, ONE, None)],
        0,
        False,
        block_of(bytes(99)),
        room(1),
        room(1),
    ],
    "find_features": lambda: [values_of([EXAMPLE]), [b"x"], room(1), room(1)],
    "survey_features": lambda: [values_of([EXAMPLE]), [b"x"], np.zeros(4, np.int64), room(1), room(1)],
    "survey_images": lambda: [ONE, np.zeros(1, np.uint8), room(1), room(1), np.zeros(1, np.uint8)],
    "count_values": lambda: [values_of([FEATURE]), np.zeros(1, np.uint8), room(1)],
    "fill_bytes": lambda: [values_of([chunk(1, chunk(1, b"v"))]), room(1), room(1)],
    "fill_floats": lambda: [values_of([chunk(2, chunk(1, bytes(4)))]), np.zeros(1, np.float32)],
    "fill_ints": lambda: [values_of([FEATURE]), 4, np.zeros(1, np.int64)],
    "find_values": lambda: [values_of([chunk(1, chunk(1, b"x"))]), [b"\x01x"], False, room(1), room(1)],
    "count_tensors": lambda: [values_of([chunk(7, chunk(1, b"\1"))]), np.zeros(1, np.uint8), room(3)],
    "fill_tensors": lambda: [values_of([chunk(2, chunk(1, bytes(4)))]), 2, 1, np.zeros(1, np.float32)],
    "fill_texts": lambda: [values_of([chunk(9, chunk(1, b"v"))]), 1, room(1), room(1)],
}


def parameters(name: str) -> dict[str, str]:
    """Names and annotations of a function of the stub; all of them by place only."""
    arguments = FUNCTIONS[name].args
    assert not arguments.args
    assert not arguments.kwonlyargs
    return {each.arg: ast.unparse(each.annotation) for each in arguments.posonlyargs}


def call(name: str, *arguments: object) -> Callable[[ModuleType], object]:
    return lambda module: getattr(module, name)(*arguments)


# ---- the stub, the module, the twins ----


def test_the_stub_has_the_names_of_the_module() -> None:
    constants = {node.target.id for node in STUB.body if isinstance(node, ast.AnnAssign) and node.value is None}
    public = {name for name in dir(_kernels) if not name.startswith("_")}
    assert constants | set(FUNCTIONS) == public
    assert set(GOOD) == set(FUNCTIONS)
    assert all(type(getattr(_kernels, name)) is int for name in constants)
    assert {name: getattr(reference, name) for name in constants} == {
        name: getattr(_kernels, name) for name in constants
    }


@pytest.mark.parametrize("name", GOOD)
def test_a_twin_has_the_parameters_of_the_stub(name: str) -> None:
    assert list(inspect.signature(getattr(reference, name)).parameters) == list(parameters(name))


@pytest.mark.parametrize("name", GOOD)
def test_a_kernel_takes_as_many_arguments_as_the_stub_says_and_no_names(name: str) -> None:
    kernel, most = getattr(_kernels, name), len(parameters(name))
    fewest = most - len(FUNCTIONS[name].args.defaults)
    for count in (fewest - 1, most + 1):
        with pytest.raises(
            TypeError, match=rf"(exactly|at least|at most) ({fewest}|{most}) arguments? \({count} given\)"
        ):
            kernel(*[None] * count)
    with pytest.raises(TypeError, match="no keyword arguments"):
        kernel(**dict.fromkeys(parameters(name)))


@pytest.mark.parametrize("name", GOOD)
def test_a_kernel_gives_as_many_results_as_the_stub_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    returns = ast.unparse(FUNCTIONS[name].returns)
    for module in (_kernels, reference):
        arguments = GOOD[name]()
        if name == "read_spans":
            arguments[0] = os.open(os.devnull, os.O_RDONLY)
        found = call(name, *arguments)(module)
        shape = found if isinstance(found, tuple) else (found,)
        kinds = ", ".join("None" if each is None else type(each).__name__ for each in shape)
        assert (f"tuple[{kinds}]" if isinstance(found, tuple) else kinds) == returns
        if name == "read_spans":
            os.close(arguments[0])


# ---- arrays of another dtype, spans that are no tuples ----

OTHERS = {
    "_Int64": ["float64", "uint64", "int32", "complex64", ">i8"],
    "NDArray[np.uint8]": ["int16", "bool", "float64"],
    "NDArray[np.uint32]": ["int32", "float32", "uint64"],
    "NDArray[np.float32]": ["int32", "float64", "uint32"],
    "NDArray[np.generic]": ["float64", "uint64", "int32", "bool"],
    "_Bytes": ["int16", "float64"],
}


@pytest.mark.parametrize("name", GOOD)
def test_an_array_of_another_dtype_is_refused(name: str) -> None:
    calls = {}
    for place, (parameter, annotation) in enumerate(parameters(name).items()):
        for dtype in OTHERS.get(annotation, []):
            arguments = GOOD[name]()
            given = np.frombuffer(arguments[place], np.uint8) if annotation == "_Bytes" else arguments[place]
            items = max(1, given.nbytes // np.dtype(dtype).itemsize) if annotation == "_Bytes" else len(given)
            arguments[place] = np.zeros(items, dtype)
            calls[f"{parameter} as {dtype}"] = call(name, *arguments)
    assert_refused(calls)


@pytest.mark.parametrize(
    "name", [name for name in GOOD if "tuple" in str(parameters(name)) or "_Spans" in str(parameters(name))]
)
def test_spans_that_are_no_tuple_or_have_other_arrays_are_refused(name: str) -> None:
    """A list of three is no span: another thread could change it."""
    calls = {}
    for place, annotation in enumerate(parameters(name).values()):
        if "_Spans" not in annotation and "tuple" not in annotation:
            continue
        for what, change in WRONG_SPANS.items():
            arguments = GOOD[name]()
            arguments[place] = change(arguments[place])
            calls[f"{place}: {what}"] = call(name, *arguments)
    assert_refused(calls)


def changed(value: object, change: Callable[[tuple], object]) -> object:
    """The innermost tuple that ends in an array, changed; whatever is around it kept."""
    if isinstance(value, list):
        return [changed(each, change) for each in value]
    assert isinstance(value, tuple)
    if isinstance(value[-1], np.ndarray):
        return change(value)
    return tuple(changed(each, change) if isinstance(each, tuple) else each for each in value)


WRONG_SPANS: dict[str, Callable[[object], object]] = {
    "a list": lambda value: changed(value, list),
    "one short": lambda value: changed(value, lambda spans: spans[:-1]),
    "one long": lambda value: changed(value, lambda spans: (*spans, spans[-1])),
    "nothing": lambda value: changed(value, lambda spans: 7),
    "floats": lambda value: changed(value, lambda spans: (*spans[:-1], spans[-1].astype(np.float64))),
    "unsigned": lambda value: changed(value, lambda spans: (*spans[:-1], spans[-1].astype(np.uint64))),
    "objects": lambda value: changed(value, lambda spans: (*spans[:-1], spans[-1].astype(object))),
}


def test_a_column_that_is_no_tuple_is_refused() -> None:
    column, *rest = GOOD["encode_examples"]()
    calls = {
        "a list": call("encode_examples", [list(column[0])], *rest),
        "a number": call("encode_examples", [7], *rest),
        "none": call("encode_examples", [None], *rest),
        "four": call("encode_examples", [column[0][:4]], *rest),
    }
    assert_refused(calls)


def test_the_letter_of_an_int64_does_not_matter() -> None:
    """numpy has two types of 64 bits, of which one is int64."""
    for dtype in (np.longlong, np.int64, "<i8"):
        starts, lengths = np.zeros(1, dtype), np.full(1, 4, dtype)
        for module in (_kernels, reference):
            assert outcome(call("gather_spans", (b"abcd", starts, lengths), block_of(bytes(4))), module) != REFUSED
