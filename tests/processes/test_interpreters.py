"""Other interpreters: in one process (numpy has its word there, too), and those without a GIL."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import _kernels
from tests.cli.running import PACKAGE_HOME
from tests.feed.program import run_program

_RUN = """
    import sys, warnings
    warnings.simplefilter("ignore")
    KIND, CODE = sys.argv[1:3]
    try:
        import _interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters  # up to Python 3.12
        def run(code):
            one = interpreters.create(isolated=KIND == "own GIL")
            try:
                interpreters.run_string(one, code)
            except interpreters.RunFailedError as err:
                print(err)
            interpreters.destroy(one)
    else:
        def run(code):
            one = _interpreters.create("isolated" if KIND == "own GIL" else "legacy")
            failure = _interpreters.exec(one, code)
            if failure is not None:
                print(f"{failure.type.__name__}: {failure.msg}")
            _interpreters.destroy(one)
    for _ in range(int(sys.argv[3])):
        run(CODE)
    print("alive")
"""

_READ = """
import json, sys, warnings
warnings.simplefilter("ignore")  # numpy warns of what it does not promise
import recordio_bridge as rb
from recordio_bridge.feed import Feeder
path = {path!r}
rows = [int(row) for batch in rb.read(path, batch_rows=7) for row in batch["data"]]
with rb.open(path) as file, Feeder(path, 7, n_threads=2) as feeder:
    rows += [int(file[row]["data"]) for row in (41, 3)]
    rows += [int(row) for batch in feeder for row in batch["data"]]
rb.write(path + ".out.tfrecord", {{"data": rows}}, overwrite=True)
print(json.dumps(rows), flush=True)
"""

_LOAD_ALONE = f"""
import importlib.machinery, importlib.util
loader = importlib.machinery.ExtensionFileLoader("_kernels", {_kernels.__file__!r})
kernels = importlib.util.module_from_spec(importlib.util.spec_from_loader("_kernels", loader))
loader.exec_module(kernels)
print(kernels.crc32c(b"123456789"), flush=True)
"""


@pytest.mark.parametrize("suffix", [".rec", ".tfrecord", ".tfrecord.gz", ".npz", ".npy"])
def test_the_one_interpreter_of_a_process_that_has_numpy_reads_the_same_rows(tmp_path, suffix):
    """numpy 2 is loaded once in a process; h5py promises nothing of interpreters."""
    path = tmp_path / f"a{suffix}"
    rb.write(path, {"data": np.arange(50)})
    ended = run_program(_RUN, "one GIL", _READ.format(path=str(path)), 1)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"{json.dumps([*range(50), 41, 3, *range(50)])}\nalive\n"


def test_the_kernels_hold_no_state_that_interpreters_would_share():
    ended = run_program(_RUN, "one GIL", _LOAD_ALONE, 2)
    assert (ended.returncode, ended.stdout) == (
        0,
        f"{0xE3069283}\n" * 2 + "alive\n",
    )  # the check of CRC-32C in RFC 3720


if sys.version_info >= (3, 12):  # before, there is one GIL for all

    def test_an_interpreter_with_a_gil_of_its_own_is_refused_by_an_import_error_and_no_crash(tmp_path):
        ended = run_program(_RUN, "own GIL", "import recordio_bridge.api", 2)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.count("ImportError") >= 2
        assert ended.stdout.endswith("alive\n")

    def test_so_are_the_kernels_by_themselves():
        ended = run_program(_RUN, "own GIL", _LOAD_ALONE, 2)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.count("does not support loading in subinterpreters") == 2
        assert ended.stdout.endswith("alive\n")


# ---- without a GIL ----

_SETUP = """
import runpy, sys, sysconfig
sysconfig.get_config_vars()["Py_GIL_DISABLED"] = VALUE
sys.argv = ["setup.py", "--name"]
runpy.run_path("setup.py", run_name="__main__")
"""


@pytest.mark.parametrize("disabled", [0, 1])
def test_a_python_without_a_gil_is_refused_by_a_sentence_when_it_builds(tmp_path, disabled):
    code = _SETUP.replace("VALUE", str(disabled))
    ended = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE_HOME, capture_output=True, text=True, check=False)
    if disabled:
        assert ended.returncode == 1
        assert ended.stderr == (
            "recordio_bridge does not run on a free-threaded Python as yet: its extension keeps to the limited API, "
            "which such builds have not.\nUse the usual build of the same version: python3.13 in place of "
            "python3.13t.\n"
        )
    else:
        assert (ended.returncode, ended.stdout) == (0, "recordio_bridge\n")


def test_no_slot_of_the_extension_claims_what_is_not_promised():
    """Without Py_mod_gil, a Python that would load it turns its GIL on; without Py_mod_multiple_interpreters, one with
    a GIL of its own refuses it."""
    source = Path(_kernels.__file__).with_name("_native") / "module.c"
    assert "Py_mod_gil," not in source.read_text()
    assert "{Py_mod_multiple_interpreters" not in source.read_text()
