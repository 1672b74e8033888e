"""Writing files of framed records, RecordIO and TFRecord alike: a block is framed while the one before is written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..errands import Errand, Errands
from ..files import Output, Pending
from .framed import BLOCK

_BUFFERS = 3  # one that is filled, and two on their way to the file

Fill = Callable[[int, NDArray[np.uint8], NDArray[np.int64]], tuple[int, int]]
"""fill(first, out, heads) frames rows from first on into out, as many as fit: (rows, bytes)."""


class FrameWriter:
    """Frames rows into a buffer, while a thread writes those before to the file."""

    def __init__(self, out: Output) -> None:
        self.out = out
        self.position = 0
        """Bytes written so far, before compression."""
        self._buffer = np.empty(BLOCK, dtype=np.uint8)
        self._filled = 0
        self._thread = Errands()
        self._writing: deque[tuple[NDArray[np.uint8], Errand[None]]] = deque()

    def write(self, rows: int, fill: Fill) -> NDArray[np.int64]:
        """Append rows; return the offset of each."""
        heads = np.empty(rows, dtype=np.int64)
        done = 0
        while done < rows:
            count, written = fill(done, self._buffer[self._filled :], heads[done:])
            heads[done : done + count] += self.position + self._filled
            done, self._filled = done + count, self._filled + written
            if done < rows:
                self._make_room(grow=count == 0 and self._filled == 0)
        return heads

    def _make_room(self, grow: bool) -> None:
        if grow:
            self._buffer = np.empty(2 * len(self._buffer), dtype=np.uint8)
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        """Let the thread write what is framed; a buffer that it is done with is filled next."""
        written = self._thread.submit(self.out.write, self._buffer[: self._filled])
        self._writing.append((self._buffer, written))
        self.position += self._filled
        self._filled = 0
        self._buffer = self._settle() if len(self._writing) == _BUFFERS else np.empty(BLOCK, dtype=np.uint8)

    def _settle(self) -> NDArray[np.uint8]:
        """Wait for the oldest write, and give back its buffer."""
        buffer, written = self._writing.popleft()
        written.result()
        return buffer

    def finish(self) -> Pending:
        """Write the rest and complete the file."""
        self._hand_over()
        while self._writing:
            self._settle()
        self._thread.close()
        return self.out.finish()

    def abort(self) -> None:
        """Stop and remove the file."""
        self._thread.close(drop=True)
        self.out.abort()
