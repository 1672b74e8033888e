"""Running Orders on Apache Beam. The only importer of apache_beam.

Orders travel, records do not: the pipeline is

    Create(lines) | Reshuffle | Map(work)

where a line is an Order as JSON, and work reads the source, writes the target, verifies it and leaves a receipt, all in
the folders that every worker sees. What goes through Beam's own shuffle and coders is a few kilobytes an Order.

- Create gives the lines out; without the Reshuffle a runner fuses it with Map, and one worker would do everything.
- Nothing here depends on how a runner bundles the lines. A bundle that is run again, after a worker died with it, meets
  Orders whose receipts are there already, for which work does nothing: what is lost is the Order that was cut short.
- A runner may call work on several threads of a process at a time, and on two workers with the same line.
- Lines and work travel to workers by pickle, work by its name in its module: workers need this package and apache_beam
  installed, both in the version of the caller. Nothing of the caller's __main__ goes along.

Runners differ in what they do about a worker that died. Flink, Spark and Dataflow can run its bundle again, as they are
configured (Flink: --number_of_execution_retries). Seen with apache-beam 2.77.0: Prism ends the job at once, which is a
MigrationError here; Beam's direct runner with --direct_running_mode=multi_processing waits for it for ever.
"""

from __future__ import annotations

import difflib
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress

from ..errors import MigrationError, MissingDependencyError

_LOG = logging.getLogger(__name__)
_SILENCE = logging.NullHandler()

logging.root.addHandler(_SILENCE)  # Beam's import warns that Google's libraries are missing, and would set up logging
try:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, SetupOptions, StandardOptions
    from apache_beam.runners.runner import PipelineResult, PipelineState
except ImportError as err:
    raise MissingDependencyError.for_extra("beam", "apache_beam", "migrate --engine beam") from err
finally:
    logging.root.removeHandler(_SILENCE)

_DIRECT = ("direct", "directrunner")  # Beam takes names of runners in any case, with or without the word runner
_IN_THIS_PROCESS = "FnApiRunner"
_WITH_JOB_SERVER = ("portable", "flink", "spark", "kafkastreams")
"""Runners whose job server knows arguments that apache_beam itself does not."""
_HELP = "the arguments of each runner are at https://beam.apache.org/documentation/#runners"


def run_on_beam(lines: Sequence[str], arguments: Sequence[str], work: Callable[[str], str]) -> None:
    """Have the workers of a Beam runner call work with each line, and wait until all are done.

    arguments are Beam's own, such as --runner=FlinkRunner. Without a runner, and for DirectRunner, it is Beam's own
    FnApiRunner on this machine: DirectRunner itself would first try to download a runner, Prism, and there ignore the
    arguments that begin with --direct. (Prism is --runner=PrismRunner.) Ctrl-C cancels the job.

    Raises:
        MigrationError: an argument that nobody knows, or the runner failed, or work raised as often as the runner
            tried. Orders that are done stay done.
    """
    if lines:
        with _beam_heard():
            _run(lines, _options(list(arguments)), work)


def _run(lines: Sequence[str], options: PipelineOptions, work: Callable[[str], str]) -> None:
    runner = options.view_as(StandardOptions).runner
    _LOG.info("%d orders go to Beam's %s", len(lines), runner)
    try:
        pipeline = beam.Pipeline(options=options)
        _ = pipeline | beam.Create(lines, reshuffle=False) | beam.Reshuffle() | "Perform" >> beam.Map(work)
        state = _wait(pipeline.run())
    except Exception as err:  # the border of an engine: there is no common class for what runners and their parts raise
        _raise_interrupt(err)
        raise MigrationError(_failure(runner, _reason(err))) from err
    if state != PipelineState.DONE:
        raise MigrationError(_failure(runner, f"the job ended as {state}"))


@contextmanager
def _beam_heard() -> Iterator[None]:
    """Show Beam's own warnings on standard error where the program has not set up logging.

    Beam would set it up itself, for good, and whatever else is logged would be shown as well, or a second time.
    """
    if logging.root.handlers:
        yield
        return
    logger, handler = logging.getLogger("apache_beam"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("Beam: %(message)s"))
    logging.root.addHandler(_SILENCE)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logging.root.removeHandler(_SILENCE)


def _options(arguments: list[str]) -> PipelineOptions:
    if not {"-h", "--help"}.isdisjoint(arguments):
        raise MigrationError(f"Beam: {_HELP}")
    usage = io.StringIO()  # a screenful of everything that Beam knows, for any mistake
    try:
        with redirect_stderr(usage):
            options = PipelineOptions(arguments)
            unknown = _unknown(options, arguments)
    except SystemExit as err:
        what = usage.getvalue().rstrip().rpartition("error: ")[2]
        raise MigrationError(f"Beam: {what}; {_HELP}") from err
    standard = options.view_as(StandardOptions)
    if standard.runner is None or standard.runner.lower() in _DIRECT:
        standard.runner = _IN_THIS_PROCESS
    if unknown:
        told = f"Beam's {standard.runner}: {' '.join(unknown)!r} is no argument that it knows"
        if not _has_job_server(standard.runner):
            raise MigrationError(f"{told}{_meant(unknown[0])}; {_HELP}")
        _LOG.warning("%s; its job server is asked, and Beam discards what that does not know either", told)
    if options.view_as(DirectOptions).direct_running_mode == "multi_processing":
        _LOG.warning("Beam's direct runner waits for ever when a worker process dies; --engine local does not")
    options.view_as(SetupOptions).save_main_session = False  # workers need none of it: work has a module
    return options


def _unknown(options: PipelineOptions, arguments: list[str]) -> list[str]:
    """The arguments that no class of options in apache_beam declares; Beam itself discards them with a log line."""
    unknown: list[str] = []
    options.get_all_options(
        add_extra_args_fn=lambda parser: unknown.extend(parser.parse_known_args(arguments)[1]),
        retain_unknown_options=True,  # which saves that log line
    )
    return unknown


def _meant(argument: str) -> str:
    known = [f"--{name}" for name in PipelineOptions([]).get_all_options()]
    close = difflib.get_close_matches(argument.partition("=")[0], known, 1)
    return f", did you mean {close[0]}?" if close else ""


def _has_job_server(runner: str) -> bool:
    return "." in runner or runner.lower().removesuffix("runner") in _WITH_JOB_SERVER  # a dotted name may be anything


def _wait(result: PipelineResult) -> str:
    try:
        return str(result.wait_until_finish())
    except BaseException as err:
        if not isinstance(err, Exception):  # Ctrl-C and the like: without this the job would go on where it runs
            with suppress(Exception):  # a runner that cannot cancel; what the caller is to see is the interrupt
                result.cancel()
        raise


def _raise_interrupt(error: BaseException) -> None:
    """Raise the Ctrl-C, or the like, that came while work ran in this thread: Beam makes a RuntimeError of it."""
    origin = error.__context__
    while origin is not None:
        if not isinstance(origin, Exception):
            raise origin
        origin = origin.__context__


def _reason(error: Exception) -> str:
    """What went wrong, without the traceback of the worker, which is in the cause."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


def _failure(runner: str, reason: str) -> str:
    return (
        f"Beam's {runner}: {reason}; files that are done stay: when the cause is put right, run the same "
        "command with --resume"
    )
