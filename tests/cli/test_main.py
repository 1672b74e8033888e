"""What holds for every verb: help, usage errors, exit codes, where the words go."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge import api
from recordio_bridge.cli import main
from recordio_bridge.formats import format_names
from tests.cli.running import run, run_module, start_module
from tests.samples import frame_rec, image_rec, make_example, write_tfrecord

VERBS = ["convert", "info", "head", "index", "verify", "formats"]


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_ends_with_two_examples(capsys, verb):
    for option in ("--help", "-h"):
        outcome = run(capsys, verb, option)
        assert outcome.code == 0
        assert outcome.stderr == ""
        lines = [line.strip() for line in outcome.stdout.splitlines() if line.strip()]
        assert all(line.startswith(f"recordio-bridge {verb}") for line in lines[-2:])
        assert not lines[-3].startswith("recordio-bridge")
        assert lines[-2] != lines[-1]


def test_the_help_of_the_program_names_every_verb(capsys):
    outcome = run(capsys, "--help")
    assert outcome.code == 0
    assert [verb for verb in VERBS if f"\n    {verb} " not in outcome.stdout] == []


def test_the_help_of_the_program_names_every_format(capsys):
    said = run(capsys, "--help").stdout
    known = {
        "hdf5": "HDF5",
        "insightface": "InsightFace's verification sets",
        "npy": ".npy",
        "npz": ".npz",
        "recordio": "MXNet RecordIO",
        "tfrecord": "TFRecord",
    }
    assert [name for name in format_names() if known[name] not in " ".join(said.split())] == []


def test_no_help_mentions_what_is_only_for_workers(capsys):
    assert "_work" not in run(capsys, "--help").stdout


def test_the_version_goes_to_standard_output(capsys):
    outcome = run(capsys, "--version")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert rb.__version__ in outcome.stdout


def test_the_module_runs_as_the_program_does():
    outcome = run_module("--version")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert rb.__version__ in outcome.stdout
    assert run_module("formats").code == 0
    assert run_module("no-such-verb").code == 2


def test_help_loads_neither_the_formats_optional_packages_nor_a_progress_bar():
    import subprocess
    import sys

    from tests.cli.running import PACKAGE_HOME

    code = (
        f"import sys; sys.path.insert(0, {str(PACKAGE_HOME)!r})\n"
        "from recordio_bridge.cli import main\n"
        "main(['convert', '--help'])\n"
        "print([name for name in ('tensorflow', 'h5py', 'tqdm', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-verb"],
        ["convert"],
        ["convert", "a.rec"],
        ["convert", "a.rec", "b.tfrecord", "c"],
        ["info"],
        ["head", "a.rec", "-n", "many"],
        ["head", "a.rec", "-n", "-1"],
        ["convert", "a.rec", "b.tfrecord", "--shards", "0"],
        ["convert", "a.rec", "b.tfrecord", "--shards", "two"],
        ["convert", "a.rec", "b.tfrecord", "--workers", "0"],
        ["convert", "a.rec", "b.tfrecord", "--verify", "maybe"],
        ["convert", "a.rec", "b.tfrecord", "--on-bad-record", "ignore"],
        ["convert", "a.rec", "b.tfrecord", "--in", "payload"],
        ["convert", "a.rec", "b.tfrecord", "--in", "payload=zip"],
        ["convert", "a.rec", "b.tfrecord", "--in", "paylod=raw"],
        ["convert", "a.rec", "b.tfrecord", "--out", "compression=ZIP"],
        ["convert", "a.rec", "b.tfrecord", "--pack", "id"],
        ["convert", "a.rec", "b.tfrecord", "--select", "id"],
        ["convert", "a.rec", "b.tfrecord", "--select", "n=lable"],
        ["convert", "a.rec", "b.tfrecord", "--select", "n=label[0"],
        ["convert", "a.rec", "b.tfrecord", "--select", "n=id[0]"],
        ["convert", "a.rec", "b.tfrecord", "--select", "n:int65=id"],
        ["convert", "a.rec", "b.tfrecord", "--select", "n:int64=image"],
        ["convert", "a.rec", "b.tfrecord", "--select", "n=id", "n:int32=id"],
        ["convert", "a.rec", "b.tfrecord", "--allow-lossy", "lable"],
        ["convert", "a.rec", "b.tfrecord", "--select", "n=label", "--allow-lossy", "label"],
        ["convert", "a.rec", "b.tfrecord", "--pack", "lable=raw"],
        ["convert", "a.rec", "b.tfrecord", "--pack", "label=zip"],
        ["convert", "a.rec", "b.tfrecord", "--pack", "image=raw"],
        ["convert", "a.rec", "b.tfrecord", "--in", "payload=raw", "--in", "payload=image"],
        ["convert", "a.rec", "b.zip"],
        ["convert", "a.rec", "b.rec.gz"],
        ["convert", "a.rec", "b.tfrecord.gz.zz"],
        ["convert", "a.rec", "b.tfrecord.gz", "--out", "compression=ZLIB"],
        ["convert", "a.rec", "b.tfrecord.gz", "--out", "compression=ZLIB", "--shards", "2", "--workers", "2"],
        ["convert", "a.rec", "b.tfrecord.zz", "--out", "compression=GZIP"],
        ["convert", "a.rec", "b.rec", "--out", "labels=a.lst"],
        ["convert", "a.rec", "b"],
        ["convert", "a.rec", "b.tfrecord", "--out", "format=zip"],
        ["info", "a.rec", "--in", "format=zip"],
        ["info", "a.rec", "--no-such-option"],
        ["info", "a.rec", "-v", "-q"],
    ],
)
def test_a_mistake_in_the_arguments_exits_2_with_words_on_standard_error(capsys, tmp_path, monkeypatch, arguments):
    image_rec(tmp_path / "a.rec", 3)
    monkeypatch.chdir(tmp_path)
    outcome = run(capsys, *arguments)
    assert outcome.code == 2
    assert outcome.stdout == ""
    assert outcome.stderr.strip()
    assert "Traceback" not in outcome.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.idx", "a.rec"]


@pytest.mark.parametrize("shards", [[], ["--shards", "2", "--workers", "2"]])
def test_a_field_that_is_not_there_exits_2_also_where_the_fields_had_to_be_read_out_of_the_records(
    capsys, tmp_path, shards
):
    source = write_tfrecord(tmp_path / "a.tfrecord", [make_example({"id": [n]}) for n in range(4)])
    outcome = run(capsys, "convert", source, tmp_path / "b.rec", "--select", "n=di", *shards)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "select 'n=di'" in outcome.stderr
    assert "there are id" in outcome.stderr


def test_a_row_that_lacks_a_value_exits_1_as_that_is_in_the_data(capsys, tmp_path):
    outcome = run(
        capsys, "convert", image_rec(tmp_path / "a.rec", 3), tmp_path / "b.tfrecord", "--select", "n=label[1]"
    )
    assert outcome.code == 1
    assert "a.rec: record 0 at byte 0: field 'label' has 1 value" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["convert", "a", "b", "--shrads", "3"], "--shards"),
        (["convert", "a", "b", "--verfy", "none"], "--verify"),
        (["convert", "a", "b", "--on_bad_record", "skip"], "--on-bad-record"),
        (["info", "a", "--jsn"], "--json"),
        (["convrt", "a", "b"], "convert"),
        (["inof", "a"], "info"),
    ],
)
def test_an_unknown_option_or_verb_is_answered_with_the_one_that_was_meant(capsys, arguments, meant):
    outcome = run(capsys, *arguments)
    assert outcome.code == 2
    assert f"did you mean {meant}" in outcome.stderr.replace("'", "").lower() or f"{meant}?" in outcome.stderr


def test_a_pattern_that_the_shell_has_expanded_is_answered_with_how_to_give_it(capsys):
    outcome = run(capsys, "convert", "a.rec", "b.rec", "c.tfrecord")
    assert outcome.code == 2
    assert "'c.tfrecord' is one argument too many" in outcome.stderr
    assert "in quotes" in outcome.stderr


def test_what_the_system_says_begins_with_the_path_as_our_own_messages_do(capsys, tmp_path):
    source = image_rec(tmp_path / "a.rec", 3)
    outcome = run(capsys, "info", source, "--in", f"labels={tmp_path / 'none.lst'}")
    assert outcome.code == 1
    assert outcome.stderr == f"recordio-bridge: error: {tmp_path / 'none.lst'}: No such file or directory\n"


def test_verbose_says_what_a_source_is_read_as(capsys, tmp_path):
    source = image_rec(tmp_path / "a.rec", 3)
    assert "a.rec is read as RecordIOOptions(payload='image'" in run(capsys, "info", source, "-v").stderr
    assert run(capsys, "info", source).stderr == ""


def test_sources_of_several_formats_are_told_with_an_example_of_each(capsys, tmp_path):
    for name in ("a.rec", "b.rec", "c.rec", "d.rec", "e.rec"):
        image_rec(tmp_path / name, 1)
    write_tfrecord(tmp_path / "z.tfrecord", [make_example({"id": [1]})])
    outcome = run(capsys, "info", tmp_path)
    assert outcome.code == 1
    assert "a.rec is recordio, z.tfrecord is tfrecord; " in outcome.stderr


@pytest.mark.parametrize(("option", "known"), [("paylod=raw", "payload"), ("payload=zip", "raw")])
def test_an_unknown_option_of_a_format_is_answered_with_those_there_are(capsys, tmp_path, option, known):
    outcome = run(capsys, "info", image_rec(tmp_path / "a.rec", 3), "--in", option)
    assert outcome.code == 2
    assert known in outcome.stderr


@pytest.mark.parametrize("verb", ["info", "head", "verify", "index"])
def test_a_file_that_is_not_there_exits_1_and_is_named(capsys, tmp_path, verb):
    outcome = run(capsys, verb, tmp_path / "missing.rec")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert "missing.rec" in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("verb", ["info", "head", "index"])
def test_a_damaged_file_exits_1_with_path_record_and_byte(capsys, tmp_path, verb):
    path = image_rec(tmp_path / "a.rec", 3)
    (tmp_path / "a.idx").unlink()
    data = bytearray(path.read_bytes())
    second = data.index(bytes.fromhex("0a23d7ce"), 4)
    data[second] ^= 1
    path.write_bytes(data)
    outcome = run(capsys, verb, path)
    assert outcome.code == 1
    assert f"a.rec: record 1 at byte {second}" in outcome.stderr


def test_an_interrupt_exits_130_with_a_word_on_standard_error(capsys, tmp_path, monkeypatch):
    def interrupt(*arguments: object, **options: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "convert", interrupt)
    outcome = run(capsys, "convert", image_rec(tmp_path / "a.rec", 3), tmp_path / "b.tfrecord")
    assert (outcome.code, outcome.stdout) == (130, "")
    assert "interrupt" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def start_long_conversion(folder: Path, workers: int) -> subprocess.Popen:
    """A conversion into folder/out that is in the middle of writing."""
    (folder / "a.rec").write_bytes(frame_rec(os.urandom(1 << 20)) * 96)
    (folder / "out").mkdir()
    arguments = ["--in", "payload=raw", "--shards", 8, "--workers", workers]
    process = start_module("convert", folder / "a.rec", folder / "out" / "b.tfrecord.gz", *arguments)
    while not any(path.stat().st_size for path in (folder / "out").iterdir()):
        assert process.poll() is None
    return process


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupt"), (signal.SIGTERM, 143, "terminat")]
)
def test_a_signal_to_end_ends_a_running_conversion_and_leaves_no_files(tmp_path, number, code, word, workers):
    process = start_long_conversion(tmp_path, workers)
    process.send_signal(number)
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (code, "")
    assert word in stderr
    assert "Traceback" not in stderr
    assert os.listdir(tmp_path / "out") == []


def test_a_second_request_to_end_does_not_disturb_the_clearing_up(tmp_path):
    process = start_long_conversion(tmp_path, 2)
    for _ in range(50):  # timeout(1) sends two
        process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate()
    assert (process.returncode, "Traceback" in stderr) == (143, False)
    assert os.listdir(tmp_path / "out") == []


def test_the_workers_of_a_killed_conversion_end_quietly_and_clear_up(tmp_path):
    process = start_long_conversion(tmp_path, 2)
    process.kill()
    stdout, stderr = process.communicate()  # until the workers, too, have closed standard error
    assert (process.returncode, stdout, stderr) == (-signal.SIGKILL, "", "")
    assert os.listdir(tmp_path / "out") == []


def test_main_leaves_the_handling_of_signals_as_it_was(capsys, tmp_path):
    image_rec(tmp_path / "a.rec", 3)
    for handler in (signal.SIG_DFL, signal.SIG_IGN, lambda number, frame: None):
        before = signal.signal(signal.SIGTERM, handler)
        try:
            assert run(capsys, "info", tmp_path / "a.rec").code == 0
            assert signal.getsignal(signal.SIGTERM) is handler
        finally:
            signal.signal(signal.SIGTERM, before)


def test_main_runs_in_a_thread_too(tmp_path):
    image_rec(tmp_path / "a.rec", 3)
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(main(["info", str(tmp_path / "a.rec")])))
    thread.start()
    thread.join()
    assert codes == [0]


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    image_rec(tmp_path / "a.rec", 4_000)
    process = start_module("head", tmp_path / "a.rec", "-n", "4000")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("0: ")
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 0


def test_the_exit_code_of_the_module_is_that_of_main(tmp_path):
    image_rec(tmp_path / "a.rec", 3)
    assert run_module("info", tmp_path / "a.rec").code == 0
    assert run_module("info", tmp_path / "missing.rec").code == 1
    assert run_module("info").code == 2
    (tmp_path / "a.rec").write_bytes((tmp_path / "a.rec").read_bytes()[:-1])
    assert run_module("verify", tmp_path / "a.rec").code == 3


@pytest.mark.parametrize(
    ("arguments", "hint", "error"),
    [
        (
            ["convert", "a", "b", "--shards", "z"],
            "convert SRC DST [OPTIONS]",
            "argument --shards: invalid int value: 'z'",
        ),
        (["info", "a", "--jsom"], "info PATH [OPTIONS]", "unknown argument '--jsom', did you mean --json?"),
        (["info"], "info PATH [OPTIONS]", "the following arguments are required: PATH"),
        (["convrt"], "VERB [OPTIONS]", "unknown verb 'convrt', did you mean convert?"),
        ([], "VERB [OPTIONS]", "the following arguments are required: VERB"),
    ],
)
def test_a_usage_error_is_two_lines(capsys, arguments, hint, error):
    outcome = run(capsys, *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    first, second = outcome.stderr.splitlines()
    program = " ".join(["recordio-bridge", *hint.split()[:1]]) if hint[0].islower() else "recordio-bridge"
    assert first == f"usage: recordio-bridge {hint} ({program} --help lists them)"
    assert second.startswith(f"{program}: error: {error}")
