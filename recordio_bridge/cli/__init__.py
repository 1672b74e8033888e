"""The command line: one module a verb, each with add_args and run.

Exit codes: 0 done, 1 failed, 2 usage, 3 verification found a difference, 130 interrupted
(Ctrl-C), 143 terminated (SIGTERM).
"""

from __future__ import annotations

import argparse
import difflib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from .. import __version__
from ..errors import BridgeError, SelectError, UnknownFormatError, VerificationError
from ..interrupts import INTERRUPTED, raise_again
from ..migrate import WORKER_VERB
from .system import described
from .terminal import LogOnStandardError, discard, finish, say_help, tell

VERBS = ("convert", "migrate", "info", "head", "index", "verify", "formats")
DONE, FAILED, USAGE, DIFFERENT, TERMINATED = 0, 1, 2, 3, 143
_PAIRS = ("--select", "--in", "--out", "--pack", "--encode")  # take NAME=VALUE, one or several


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == [WORKER_VERB]:
        from ..migrate.workers import be_worker

        return be_worker(*arguments[1:])
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that a terminal cannot show is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(arguments)
        finish()
        return code
    except KeyboardInterrupt:
        return _complain("interrupted; nothing was left half-written", INTERRUPTED)
    except _Terminated:
        return _complain("terminated; nothing was left half-written", TERMINATED)
    except BrokenPipeError:  # the reader of our output has enough (| head): not an error, and nothing more to say
        discard(sys.stdout)
        return DONE
    except VerificationError as err:
        return _complain(str(err), DIFFERENT)
    except BridgeError as err:
        return _complain(str(err), USAGE if _is_usage(err) else FAILED)
    except OSError as err:
        return _complain(described(err), FAILED)
    except ValueError as err:  # a mistake in the arguments
        return _complain(str(err), USAGE)


def _run(arguments: list[str]) -> int:
    """Do what the arguments ask for, and return the exit code."""
    parser, verbs, commands = _parser()
    arguments, behind = _cut_at_dashes(arguments)
    try:
        args = _parse(parser, commands, _repeated(arguments))
        args = _with_config(args, parser, commands, arguments)
        args.engine_arguments = behind
    except SystemExit as end:  # argparse's way to say that it has answered, or complained
        return end.code if isinstance(end.code, int) else USAGE
    with _talking(args), _terminable():
        raise_again()
        code: int = verbs[args.verb].run(args)
        return code


def _is_usage(error: BridgeError) -> bool:
    """Whether it is the arguments that are wrong, and not the data."""
    return isinstance(error, SelectError) or (isinstance(error, UnknownFormatError) and error.path is None)


def _parse(
    parser: argparse.ArgumentParser, commands: dict[str, argparse.ArgumentParser], arguments: list[str]
) -> argparse.Namespace:
    """parse_args that also says what was meant."""
    verb = next((argument for argument in arguments if not argument.startswith("-")), None)
    if verb is not None and verb not in commands:
        parser.error(f"unknown verb {verb!r}{_meant(verb, commands)}; there are {', '.join(commands)}")
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        command = commands[args.verb]
        if not unknown[0].startswith("-"):
            command.error(
                f"{unknown[0]!r} is one argument too many; "
                "several files are given as a folder, or as a pattern in quotes, such as '*.rec'"
            )
        known = [option for action in command._actions for option in action.option_strings]
        command.error(f"unknown argument {unknown[0]!r}{_meant(unknown[0], known)}")
    return args


class _Parser(argparse.ArgumentParser):
    """With an error that is not hidden behind all options, and that says what it says as all else is said."""

    def error(self, message: str) -> NoReturn:
        names = [str(action.metavar) for action in self._get_positional_actions()]
        hint = " ".join([self.prog, *names, "[OPTIONS]"])
        tell(f"usage: {hint} ({self.prog} --help lists them)")
        tell(f"{self.prog}: error: {message}")
        raise SystemExit(USAGE)

    def _print_message(self, message: str, file: object = None) -> None:
        say_help(message)  # argparse's own passes over a disk that is full


def _meant(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word.partition("=")[0], list(known), 1)
    return f", did you mean {close[0]}?" if close else ""


def _parser() -> tuple[argparse.ArgumentParser, dict[str, ModuleType], dict[str, argparse.ArgumentParser]]:
    parser = _Parser(
        prog="recordio-bridge",
        description="Read, convert and verify MXNet RecordIO, TFRecord, HDF5, .npz and .npy; read InsightFace's "
        "verification sets.",
    )
    parser.add_argument("--version", action="version", version=f"recordio-bridge {__version__}")
    commands = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs: dict[str, ModuleType] = {}
    made: dict[str, argparse.ArgumentParser] = {}
    for name in VERBS:
        verbs[name] = module = import_module(f".{name}", __name__)
        made[name] = command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.HELP[0].upper() + module.HELP[1:] + ".",
            epilog="examples:\n" + "\n".join(f"  {example}" for example in module.EXAMPLES),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_args(command)
        talk = command.add_mutually_exclusive_group()
        talk.add_argument("-v", "--verbose", action="store_true", help="say also what each source is read as")
        talk.add_argument(
            "-q",
            "--quiet",
            action="store_true",
            help="show no progress and no notes; errors, warnings and what was left out are always said",
        )
    return parser, verbs, made


def _cut_at_dashes(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The arguments up to --, and those behind it, which are for an engine."""
    at = arguments.index("--") if arguments[:1] == ["migrate"] and "--" in arguments else len(arguments)
    return arguments[:at], arguments[at + 1 :]


def _with_config(
    args: argparse.Namespace,
    parser: argparse.ArgumentParser,
    commands: dict[str, argparse.ArgumentParser],
    arguments: list[str],
) -> argparse.Namespace:
    """The arguments, with those of the file that --config names before them."""
    if getattr(args, "config", None) is None:
        return args
    from . import migrate
    from .config import read_config

    try:
        paths, options = read_config(args.config, migrate.add_options, migrate.check_options, arguments)
    except ValueError as err:
        commands[args.verb].error(str(err))
    return _parse(parser, commands, _repeated([args.verb, *options, *([] if args.paths else paths), *arguments[1:]]))


def _repeated(arguments: Sequence[str]) -> list[str]:
    """`--select A=x B=y` written out as `--select A=x --select B=y`, so that paths may follow a pair."""
    written: list[str] = []
    option = ""
    for argument in arguments:
        if argument.startswith("-"):
            option = argument if argument in _PAIRS else ""
        elif option and written[-1] != option:
            if "=" in argument:
                written.append(option)
            else:
                option = ""
        written.append(argument)
    return written


@contextmanager
def _talking(args: argparse.Namespace) -> Iterator[None]:
    """Show what the library logs on standard error, while the command runs: its warnings in any case."""
    logger, handler = logging.getLogger("recordio_bridge"), LogOnStandardError()
    before = logger.level
    logger.setLevel(logging.INFO if args.verbose else logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Terminated(BaseException):
    """SIGTERM came. As KeyboardInterrupt, it lets everything on its way clear up."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Make an exception of SIGTERM, where that would end the process at once."""

    ending = False

    def end(number: int, frame: object) -> None:
        nonlocal ending
        if not ending:  # timeout(1) sends two: the second finds us on our way out
            ending = (
                True  # and not SIG_IGN: Python tells of a signal that came before it is ignored and finds no handler
            )
            raise _Terminated

    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if not ending and signal.getsignal(signal.SIGTERM) is end:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _complain(message: str, code: int) -> int:
    tell(f"recordio-bridge: error: {message}")
    return code
