"""What users import, with which parameters, and what importing it costs."""

from __future__ import annotations

import configparser
import inspect
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge import errors

PARENTS = {  # each error and what it is besides
    "BridgeError": (Exception,),
    "FormatError": (errors.BridgeError, ValueError),
    "TruncatedError": (errors.FormatError,),
    "ChecksumError": (errors.FormatError,),
    "SchemaError": (errors.BridgeError, ValueError),
    "LossyError": (errors.SchemaError,),
    "SelectError": (errors.SchemaError,),
    "UnknownFormatError": (errors.BridgeError, LookupError),
    "MissingDependencyError": (errors.BridgeError, ImportError),
    "FeedError": (errors.BridgeError,),
    "MigrationError": (errors.BridgeError,),
    "SourceChangedError": (errors.MigrationError,),
    "PlanMismatchError": (errors.MigrationError,),
    "VerificationError": (errors.MigrationError,),
}
HEAVY = ("tensorflow", "mxnet", "h5py", "apache_beam", "cv2", "tqdm", "google.protobuf", "fsspec")
PACKAGE_HOME = Path(rb.__file__).resolve().parents[1]


def run_python(code: str) -> str:
    """What a new interpreter prints that finds this very package."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE_HOME)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def parameters(function: object) -> dict[str, inspect.Parameter]:
    assert callable(function)
    return dict(inspect.signature(function).parameters)


def has_options(function: object) -> bool:
    return any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters(function).values())


def positional(function: object) -> list[tuple[str, object]]:
    """The parameters that may be given by place, and their defaults."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
    return [(name, each.default) for name, each in parameters(function).items() if each.kind in kinds]


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys; from recordio_bridge import *; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run_python(code) == "[]\n"


def test_importing_the_package_alone_loads_not_even_numpy():
    """So that the command line can see to interrupts before."""
    code = "import sys, recordio_bridge as rb; before = set(sys.modules); rb.read; print('numpy' in before)"
    assert run_python(code) == "False\n"


def test_dir_names_all_that_is_public_also_before_it_is_imported():
    code = "import recordio_bridge as rb; print(set(rb.__all__) <= set(dir(rb)), hasattr(rb, 'no_such_name'))"
    assert run_python(code) == "True False\n"


def test_importing_mxrecordio_loads_neither_mxnet_nor_opencv():
    code = f"import sys, recordio_bridge.mxrecordio; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run_python(code) == "[]\n"


def test_reading_and_converting_load_nothing_heavy(tmp_path):
    code = (
        "import sys, recordio_bridge as rb\n"
        f"rb.write({str(tmp_path / 'a.rec')!r}, {{'id': [1], 'image': [b'x']}})\n"
        f"rb.convert({str(tmp_path / 'a.rec')!r}, {str(tmp_path / 'b.tfrecord')!r})\n"
        f"list(rb.read({str(tmp_path / 'b.tfrecord')!r}))\n"
        f"rb.write({str(tmp_path / 'c.rec')!r}, {{'label/values': [1]}}, payload='sagemaker')\n"
        f"list(rb.read({str(tmp_path / 'c.rec')!r}))\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert run_python(code) == "[]\n"


@pytest.mark.parametrize("name", sorted(rb.__all__))
def test_every_name_in_all_is_there(name):
    assert getattr(rb, name) is not None


def test_all_names_the_functions_classes_and_errors_of_the_public_surface():
    functions = {"inspect", "open", "read", "write", "convert", "verify"}
    classes = {"Batch", "Ragged", "Schema", "Field", "Summary", "RecordFile"}
    classes |= {"Manifest", "Report", "Problem", "Skipped"}
    assert functions | classes | set(PARENTS) | {"__version__"} <= set(rb.__all__)


def test_a_star_import_gives_exactly_all():
    code = "from recordio_bridge import *\nimport recordio_bridge as rb\nprint(set(rb.__all__) <= set(dir()))"
    assert run_python(code) == "True\n"


def test_the_version_is_that_of_the_metadata():
    assert isinstance(rb.__version__, str)
    assert all(part.isdigit() for part in rb.__version__.split(".")[:2])


@pytest.mark.parametrize("name", sorted(PARENTS))
def test_an_error_is_importable_from_both_places_and_is_the_same(name):
    assert getattr(rb, name) is getattr(errors, name)


@pytest.mark.parametrize(("name", "parents"), sorted(PARENTS.items()))
def test_the_tree_of_errors_is_as_documented(name, parents):
    kind = getattr(errors, name)
    assert all(issubclass(kind, parent) for parent in parents)
    assert issubclass(kind, errors.BridgeError)


def test_errors_of_the_file_system_are_not_ours():
    assert not issubclass(errors.BridgeError, OSError)


@pytest.mark.parametrize("name", ["FormatError", "TruncatedError", "ChecksumError"])
def test_a_format_error_carries_path_record_and_offset_through_pickle(name):
    error = getattr(errors, name)("a.rec: bad", path="a.rec", record=7, offset=1 << 40)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == "a.rec: bad"
    assert (copy.path, copy.record, copy.offset) == ("a.rec", 7, 1 << 40)


@pytest.mark.parametrize("name", ["SchemaError", "LossyError", "SelectError"])
def test_a_schema_error_carries_field_and_row_through_pickle(name):
    error = getattr(errors, name)("row 3 of field 'id'", field="id", row=3)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == "row 3 of field 'id'"
    assert (copy.field, copy.row) == ("id", 3)


@pytest.mark.parametrize("name", sorted(set(PARENTS)))
def test_every_error_pickles_with_its_message(name):
    error = getattr(errors, name)("what happened; what to do")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == "what happened; what to do"


def test_the_attributes_of_an_error_are_none_where_nothing_is_known():
    assert (errors.FormatError("x").path, errors.FormatError("x").record, errors.FormatError("x").offset) == (None,) * 3
    assert (errors.SchemaError("x").field, errors.SchemaError("x").row) == (None, None)


def test_a_missing_dependency_says_which_extra_to_install():
    error = errors.MissingDependencyError.for_extra("remote", "fsspec", "reading s3://")
    assert isinstance(error, ImportError)
    assert "fsspec" in str(error)
    assert "[remote]" in str(error)
    assert "pip install" in str(error)


def test_the_extra_all_brings_every_other_extra():
    setup = configparser.ConfigParser()
    setup.read(PACKAGE_HOME / "setup.cfg")
    extras = dict(setup["options.extras_require"])
    assert extras.pop("all") == f"recordio_bridge[{','.join(extras)}]"


def test_inspect_takes_a_path_and_options():
    assert positional(rb.inspect) == [("path", inspect.Parameter.empty)]
    assert has_options(rb.inspect)


def test_open_takes_a_path_and_options():
    assert positional(rb.open) == [("path", inspect.Parameter.empty)]
    assert has_options(rb.open)


def test_read_has_the_documented_parameters():
    assert positional(rb.read) == [
        ("path", inspect.Parameter.empty),
        ("batch_rows", 1024),
        ("fields", None),
        ("schema", None),
        ("on_bad_record", "raise"),
    ]
    assert has_options(rb.read)


def test_write_has_the_documented_parameters():
    assert positional(rb.write) == [
        ("path", inspect.Parameter.empty),
        ("batches", inspect.Parameter.empty),
        ("schema", None),
        ("overwrite", False),
    ]
    assert has_options(rb.write)


def test_convert_has_the_documented_parameters_and_all_options_by_keyword():
    assert positional(rb.convert) == [("src", inspect.Parameter.empty), ("dst", inspect.Parameter.empty)]
    expected = {
        "select": None,
        "shards": None,
        "shuffle": False,
        "seed": None,
        "workers": None,
        "verify": "content",
        "on_bad_record": "raise",
        "overwrite": False,
        "progress": False,
        "source_options": None,
        "target_options": None,
        "allow_lossy": (),
        "memory": 1 << 30,
    }
    found = {name: each for name, each in parameters(rb.convert).items() if name in expected}
    assert {name: each.default for name, each in found.items()} == expected
    assert {each.kind for each in found.values()} == {inspect.Parameter.KEYWORD_ONLY}


def test_verify_takes_one_path():
    assert positional(rb.verify) == [("path_or_directory", inspect.Parameter.empty)]


def test_a_summary_has_the_documented_attributes(tmp_path):
    rb.write(tmp_path / "a.rec", {"id": [1, 2], "image": [b"x", b"yy"]})
    summary = rb.inspect(tmp_path / "a.rec")
    assert summary.format == "recordio"
    assert list(summary.schema) == ["id", "image"]
    assert summary.num_rows == 2
    assert summary.nbytes == (tmp_path / "a.rec").stat().st_size
    assert all(isinstance(note, str) for note in summary.notes)


def test_what_the_functions_return_is_of_types_that_can_be_named(tmp_path):
    rb.write(tmp_path / "a.rec", {"id": [1, 2], "image": [b"x" * 30, b"yy"]})
    manifest = rb.convert(tmp_path / "a.rec", tmp_path / "b.tfrecord")
    assert isinstance(manifest, rb.Manifest)
    assert manifest.files == [
        str(tmp_path / name) for name in ("b.tfrecord", *(f"b.tfrecord.{s}.json" for s in ("schema", "manifest")))
    ]
    data = bytearray((tmp_path / "b.tfrecord").read_bytes())
    data[20] ^= 1
    (tmp_path / "b.tfrecord").write_bytes(data)
    report = rb.verify(tmp_path / "b.tfrecord")
    assert isinstance(report, rb.Report)
    assert [type(problem) for problem in report.problems] == [rb.Problem]
    rescued = rb.convert(tmp_path / "b.tfrecord", tmp_path / "c.tfrecord", on_bad_record="skip")
    assert [type(skipped) for skipped in rescued.skipped] == [rb.Skipped]


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Manifesto"):
        rb.Manifesto  # noqa: B018


def test_the_drop_in_has_the_names_of_mxnet_recordio():
    from recordio_bridge import mxrecordio as recordio

    names = ["MXRecordIO", "MXIndexedRecordIO", "IRHeader", "pack", "unpack", "pack_img", "unpack_img"]
    assert [name for name in names if not hasattr(recordio, name)] == []
    assert recordio.IRHeader._fields == ("flag", "label", "id", "id2")


def test_every_public_function_and_class_has_a_docstring():
    assert [name for name in rb.__all__ if callable(getattr(rb, name)) and not getattr(rb, name).__doc__] == []


def test_an_unknown_format_says_which_source_it_is_of_and_of_a_name_nothing(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"nothing that we know")
    with pytest.raises(rb.UnknownFormatError) as caught:
        rb.inspect(tmp_path / "a.bin")
    assert pickle.loads(pickle.dumps(caught.value)).path == str(tmp_path / "a.bin")
    for options in ({"format": "zip"}, {}):
        with pytest.raises(rb.UnknownFormatError) as caught:
            rb.write(tmp_path / "a.zip", {"id": [1]}, **options)
        assert caught.value.path is None
