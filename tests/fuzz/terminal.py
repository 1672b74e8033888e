"""The command line's looks at a file: an answer in lines that a terminal can show, or one that names the file."""

from __future__ import annotations

import ast
import io
import json
from contextlib import redirect_stderr, redirect_stdout

import recordio_bridge as rb
from recordio_bridge import cli
from recordio_bridge.cli import VERBS, head, info, verify
from tests.fuzz.promises import Target, broken, check_named

LOADED = (head, info, verify, VERBS)  # as in targets.py
CODES = {0: "done", 1: "failed", 2: "not what is asked for", 3: "differs"}


def said(path: str, *arguments: str) -> str | None:
    """What a command answers; None where it failed."""
    out, told = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(told):
        code = cli.main([*arguments, path])
    text = out.getvalue()
    unfit = [line for line in (text + told.getvalue()).split("\n") if not line.isprintable()]
    if code not in CODES or unfit:
        broken(f"{arguments} ends with {code}, and says {unfit!r:.300}")
    if code in (1, 2):
        check_named(path, RuntimeError(told.getvalue()))
        return None
    return text


def shown(path: str) -> None:
    """What info, head and verify say, for people and for programs."""
    for command in ("info", "head", "verify"):
        answer, content = said(path, command), said(path, command, "--json")
        if (answer is None) != (content is None):
            broken(f"{command} says {answer!r:.200}, and as JSON {content!r:.200}")
        for line in (content or "").splitlines():
            json.loads(line)


def parse_function(path: str) -> None:
    """The function that parses a TFRecord: Python that does no more, however its fields are called."""
    text = said(path, "info", "--parse-fn")
    if text is None:
        return
    code = ast.parse(text)
    names = {each.id for each in ast.walk(code) if isinstance(each, ast.Name)}
    spec = next(each.value for each in code.body if isinstance(each, ast.Assign))
    fields = [key.value for key in spec.keys] if isinstance(spec, ast.Dict) else []
    if not names <= {"tf", "SPEC", "parse", "record", "records", "row", "files"} or fields != [
        *rb.inspect(path).schema
    ]:
        broken(f"is more than a function: {text!r:.300}")


TARGETS: dict[str, tuple[str, Target]] = {
    **{f"{name}-said": (f"x.{name}", shown) for name in ("rec", "tfrecord", "npz", "h5")},
    "parse-fn": ("x.tfrecord", parse_function),
}
