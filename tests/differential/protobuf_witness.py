"""What protobuf without a C backend makes of messages, for witness.py; started with that setting in its environment."""

from __future__ import annotations

import numpy as np
from google.protobuf.internal import api_implementation
from google.protobuf.message import DecodeError

from recordio_bridge.messages import Example
from tests.differential.messages import told_by
from tests.differential.told import Told

assert api_implementation.Type() == "python"
np.seterr(all="ignore")


def parse(message: bytes) -> Told:
    """The features of an Example."""
    try:
        return Told([told_by(Example.FromString(message))])
    except DecodeError as err:
        return Told([], str(err))
