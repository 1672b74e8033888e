"""The kernels run without the GIL: side by side on the same memory, and on memory that cannot go away under them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from recordio_bridge import Batch, _kernels, example
from tests.feed.deadline import Call
from tests.formats.contract import plain

THREADS = 8


def sample(rows: int = 3000) -> Batch:
    numbers = np.arange(rows)
    return Batch.of(
        {
            "n": numbers,
            "x": (numbers[:, None] * [0.5, -1.0]).astype(np.float32),
            "name": [b"row %d" % row for row in range(rows)],
            "many": [np.arange(row % 5) for row in range(rows)],
        }
    )


def test_threads_decode_and_encode_the_same_memory_at_once():
    batch = sample()
    payloads, start = example.encode(batch), threading.Barrier(THREADS)
    expected = plain(batch)

    def work(number: int) -> None:
        start.wait()
        for _ in range(5):
            assert plain(example.decode(payloads, batch.schema)) == expected
            assert list(example.encode(batch)) == list(payloads)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))


@pytest.mark.parametrize("kernel", [_kernels.crc32c_table, _kernels.crc32_table])
def test_memory_cannot_be_resized_while_a_kernel_reads_it(kernel):
    block = bytes(range(256)) * (1 << 16)
    expected, refused = kernel(block), 0
    for _ in range(100):
        memory = bytearray(block)
        call = Call(lambda memory=memory: kernel(memory))
        while call.is_alive() and not refused:
            try:
                memory.append(0)
                del memory[-1]
            except BufferError:  # Existing exports of data
                refused += 1
        assert call.wait() in (expected, kernel(block + b"\0"))
        if refused:
            break
    assert refused


def test_what_a_kernel_was_given_can_be_resized_when_it_is_done_also_by_an_error():
    memory, starts, lengths = bytearray(64), np.empty(4, np.int64), np.empty(4, np.int64)
    _kernels.scan_recordio(memory, 0, 64, True, starts, lengths)
    memory.append(0)
    with pytest.raises(ValueError, match="start"):
        _kernels.scan_recordio(memory, 9, 3, True, starts, lengths)
    with pytest.raises(ValueError, match="items of"):
        _kernels.scan_recordio(memory, 0, 64, True, starts, lengths.view(np.int32))
    memory.append(0)
    assert len(memory) == 66
