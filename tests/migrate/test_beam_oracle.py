"""Orders on Beam's own runner, in this process and in others; scripts/flink, prism and portable have real engines."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import SetupOptions, StandardOptions

from recordio_bridge.errors import MigrationError, MissingDependencyError
from recordio_bridge.migrate import beam
from recordio_bridge.migrate.beam import run_on_beam
from tests.cli.running import run_module
from tests.migrate.orders_on_beam import content_of, fail_at_two, write_file
from tests.migrate.trees import rec_tree
from tests.samples import contents, image_payload, write_rec

HOME = Path(__file__).resolve().parents[2]
IN_PROCESSES = ("--runner=DirectRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2")


def lines_for(folder: Path, count: int) -> list[str]:
    return [json.dumps({"number": number, "target": str(folder / f"{number}.out")}) for number in range(count)]


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "workers"}


def wanted(count: int) -> dict[str, bytes]:
    return {f"{number}.out": content_of(number) for number in range(count)}


def workers(folder: Path) -> list[tuple[int, int]]:
    """The number of an order and the process that ran it, in the order of their beginnings."""
    lines = (folder / "workers").read_text().splitlines()
    return [(int(number), int(process)) for number, process in map(str.split, lines)]


def test_without_arguments_every_order_is_run_once_in_this_process(tmp_path: Path) -> None:
    run_on_beam(lines_for(tmp_path, 5), [], write_file)
    assert written(tmp_path) == wanted(5)
    assert sorted(workers(tmp_path)) == [(number, os.getpid()) for number in range(5)]


def test_orders_travel_to_worker_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HOME), os.environ.get("PYTHONPATH", "")]))
    run_on_beam(lines_for(tmp_path, 6), IN_PROCESSES, write_file)
    assert written(tmp_path) == wanted(6)
    assert sorted(number for number, _ in workers(tmp_path)) == list(range(6))
    processes = {process for _, process in workers(tmp_path)}
    assert os.getpid() not in processes
    assert len(processes) == 2
    assert "waits for ever when a worker process dies" in caplog.text


def test_no_orders_start_no_pipeline() -> None:
    run_on_beam([], ["--runner=Nothing"], write_file)


def test_more_orders_than_fit_one_message_travel_whole(tmp_path: Path) -> None:
    orders = [{**json.loads(line), "schema": "x" * 1_000_000} for line in lines_for(tmp_path, 8)]
    run_on_beam([json.dumps(order) for order in orders], ["--direct_running_mode=multi_threading"], write_file)
    assert written(tmp_path) == wanted(8)


def test_what_an_order_raises_is_told_in_one_line_and_what_is_done_stays(tmp_path: Path) -> None:
    with pytest.raises(MigrationError) as caught:
        run_on_beam(lines_for(tmp_path, 4), [], fail_at_two)
    message = str(caught.value)
    assert message.startswith("Beam's FnApiRunner: OSError: [Errno 28] No space left on device: ")
    assert message.endswith("run the same command with --resume")
    assert len(message.splitlines()) == 1
    assert caught.value.__cause__ is not None
    kept = written(tmp_path)
    assert "2.out" not in kept
    run_on_beam(lines_for(tmp_path, 4), [], write_file)  # as --resume does
    assert written(tmp_path) == {**wanted(4), **kept}


@pytest.mark.parametrize("stray", ["--direct_num_wrokers=2", "--verbose", "-x", "fast"])
def test_an_argument_that_beam_does_not_know_is_refused_before_anything_runs(tmp_path: Path, stray: str) -> None:
    with pytest.raises(MigrationError, match=rf"FnApiRunner: '{stray}' is no argument that it knows"):
        run_on_beam(lines_for(tmp_path, 1), ["--runner=DirectRunner", stray], write_file)
    assert list(tmp_path.iterdir()) == []


def test_a_mistyped_argument_is_told_with_the_one_that_was_meant() -> None:
    with pytest.raises(
        MigrationError, match=r"'--direct_num_wrokers=2' .*, did you mean --direct_num_workers\?; the arguments of each"
    ):
        run_on_beam(["{}"], ["--direct_num_wrokers=2"], write_file)


def test_help_leads_to_beams_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MigrationError, match=r"^Beam: the arguments of each runner are at https:"):
        run_on_beam(["{}"], ["--runner=FlinkRunner", "--help"], write_file)
    assert capsys.readouterr() == ("", "")


def test_an_argument_that_a_job_server_may_know_is_passed_on_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing listens on port 1, so that it comes no further than that."""
    arguments = ["--runner=PortableRunner", "--job_endpoint=localhost:1", "--job_server_timeout=1", "--checkpoints=3"]
    with pytest.raises(MigrationError, match=r"^Beam's PortableRunner: FutureTimeoutError; .*--resume$"):
        run_on_beam(["{}"], arguments, write_file)
    assert "'--checkpoints=3' is no argument that it knows; its job server is asked" in caplog.text


def test_a_value_that_beam_cannot_read_is_told_without_a_page_of_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MigrationError, match="Beam: argument --direct_num_workers: invalid int value: 'two'; the arg"):
        run_on_beam(lines_for(tmp_path, 1), ["--direct_num_workers=two"], write_file)
    assert capsys.readouterr() == ("", "")


def test_an_unknown_runner_is_an_error_that_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match=r"Beam's Hadoop: Unexpected pipeline runner: Hadoop\..*FlinkRunner"):
        run_on_beam(lines_for(tmp_path, 1), ["--runner=Hadoop"], write_file)


def test_flink_without_a_jar_that_can_be_read_says_so(tmp_path: Path) -> None:
    arguments = ["--runner=FlinkRunner", f"--flink_job_server_jar={tmp_path / 'none.jar'}"]
    with pytest.raises(MigrationError, match=r"Beam's FlinkRunner: Unable to parse jar URL .*none\.jar"):
        run_on_beam(lines_for(tmp_path, 1), arguments, write_file)


def test_neither_the_callers_arguments_nor_its_main_reach_beam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["program", "--runner=Nothing", "--save_main_session"])
    options = beam._options(["--save_main_session"])
    assert options.view_as(StandardOptions).runner == "FnApiRunner"
    assert options.view_as(SetupOptions).save_main_session is False


@pytest.mark.parametrize("name", ["DirectRunner", "directrunner", "direct"])
def test_the_direct_runner_is_the_one_that_heeds_its_arguments_and_downloads_nothing(name: str) -> None:
    assert beam._options([f"--runner={name}"]).view_as(StandardOptions).runner == "FnApiRunner"


@pytest.mark.parametrize("name", ["FlinkRunner", "PrismRunner", "apache_beam.runners.direct.DirectRunner"])
def test_any_other_runner_is_taken_as_it_was_written(name: str) -> None:
    assert beam._options([f"--runner={name}"]).view_as(StandardOptions).runner == name


def test_a_job_that_ends_in_any_other_state_than_done_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beam, "_wait", lambda result: "CANCELLED")
    with pytest.raises(MigrationError, match=r"the job ended as CANCELLED; .*--resume"):
        run_on_beam(["{}"], [], len)  # type: ignore[arg-type]  # nobody looks at what it returns


class _Terminated(BaseException):
    """As what the command line makes of SIGTERM."""


@dataclass
class _Job:
    """A job that is waited for when a signal comes."""

    interrupt: BaseException
    cancelled: bool = False

    def wait_until_finish(self) -> str:
        raise self.interrupt

    def cancel(self) -> None:
        self.cancelled = True
        raise NotImplementedError


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, _Terminated])
def test_ctrl_c_cancels_a_job_that_runs_elsewhere_and_passes_on(interrupt: type[BaseException]) -> None:
    job = _Job(interrupt())
    with pytest.raises(interrupt):
        beam._wait(job)
    assert job.cancelled


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, _Terminated])
def test_ctrl_c_while_an_order_is_run_in_this_process_passes_on(interrupt: type[BaseException]) -> None:
    def work(line: str) -> str:
        raise interrupt

    with pytest.raises(interrupt):
        run_on_beam(["{}"], [], work)


def test_without_beam_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "recordio_bridge.migrate.beam")
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(MissingDependencyError, match=r"needs apache_beam: pip install 'recordio_bridge\[beam\]'"):
        import recordio_bridge.migrate.beam  # noqa: F401


def test_a_program_that_has_not_set_up_logging_is_left_as_it_was(tmp_path: Path) -> None:
    """And hears nothing of what is no warning of ours."""
    code = (
        "import logging\nfrom recordio_bridge.migrate.beam import run_on_beam\n"
        "from tests.migrate.orders_on_beam import write_file\n"
        f"run_on_beam({lines_for(tmp_path, 2)!r}, [], write_file)\n"
        "assert logging.root.handlers == logging.getLogger('apache_beam').handlers == []"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert written(tmp_path) == wanted(2)


def test_logging_that_is_set_up_is_not_touched(tmp_path: Path) -> None:
    before = list(logging.root.handlers)  # pytest's
    run_on_beam(lines_for(tmp_path, 1), [], write_file)
    assert before
    assert logging.root.handlers == before


# ---- from the command line to the last file ----

LIMITED = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
runpy.run_module("recordio_bridge", run_name="__main__", alter_sys=True)
"""
"""The command, where no file can be larger than 1 MiB."""


def outputs(out: Path) -> dict[str, str]:
    """All files of a migration but its plan and receipts, which tell the places and times of files."""
    return {name: digest for name, digest in contents(out).items() if ".unfinished/" not in name}


def test_the_command_gives_the_files_of_the_local_engine_also_when_an_order_failed(tmp_path: Path) -> None:
    """One source is in quarantine throughout; the file of another is too large in the first run."""
    src = rec_tree(tmp_path / "src", [30, 20, 9])
    bad, large = src / "part-0001.rec", src / "part-0003.rec"
    bad.write_bytes(bytes(4) + bad.read_bytes()[4:])
    write_rec(large, [image_payload(59, 1.0, os.urandom(1 << 21))], [59])
    asked = ("--to", "tfrecord", "--shards", "3")
    local = run_module("migrate", src, tmp_path / "local/out", *asked, "--engine", "local")
    assert local.code == 1
    assert str(bad) in local.stderr

    out = tmp_path / "beam/out"
    command = ["migrate", str(src), str(out), *asked, "--engine", "beam"]
    limited = [sys.executable, "-c", LIMITED, *command]
    first = subprocess.run(limited, cwd=HOME, capture_output=True, text=True, check=False)
    assert first.returncode == 1
    assert "File too large" in first.stderr
    assert "--resume" in first.stderr
    assert not [name for name in outputs(out) if not name.endswith(".tfrecord")]

    second = run_module(*command, "--resume", "--", *IN_PROCESSES)
    assert second.code == 1
    assert str(bad) in second.stderr
    assert outputs(out) == outputs(tmp_path / "local/out")
    assert {"out.tfrecord.manifest.json", "out.migration.json", "out.quarantine.jsonl"} < outputs(out).keys()
    assert second.stdout.replace("beam/out", "local/out") == local.stdout
