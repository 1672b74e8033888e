"""Other people's libraries, as witnesses for what a file holds."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

import numpy


def import_mxnet() -> ModuleType:
    """mxnet 1.9.1, which asks for a name that numpy dropped in 1.24, and warns of much while it is imported."""
    if "bool" not in vars(numpy):
        numpy.bool = bool  # type: ignore[attr-defined, misc]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("mxnet")
