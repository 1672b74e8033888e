"""Encoded images of any size to arrays of one size: decoded, scaled, cropped and mirrored, as a transform of a feed.

    with CustomRunner("train.rec", transform=decode_and_crop(224, random_crop=True, flip=True)) as runner:
        for ids, labels, images in runner.dataset(n_threads=2):  # images: uint8[rows, 224, 224, 3], RGB

OpenCV decodes without the GIL, one image after another on each thread of the feed: n_threads is how many are decoded
at a time. (A pool of threads in the transform took the same time of the processors, 3.1 ms for a photograph.)

Pixels are those that the file stores, in RGB: an EXIF orientation turns nothing, gray is repeated, alpha is left out,
of 16 bits the upper 8 are taken.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _kernels
from .arguments import pair, whole
from .batch import Batch, Ragged
from .errors import FormatError, SelectError, placed
from .feed.schedule import Position, position
from .images import PIXELS_A_BYTE, Images, Quiet, is_encoded, opencv
from .memory import aligned_empty

_log = logging.getLogger(__name__)

Pixels: TypeAlias = NDArray[np.uint8]
Size: TypeAlias = "tuple[int, int]"  # height, width
Window: TypeAlias = "tuple[slice, slice]"

_MOST_PIXELS = (1 << 28) // 3  # 256 MiB as RGB, for each thread
_APART = 1  # keeps the random numbers apart from those of the feed's shuffling by the same seed


def decode_and_crop(
    size: int | Size,
    *,
    resize: int | None = None,
    random_crop: bool = False,
    flip: bool = False,
    seed: int = 0,
    field: str = "image",
    on_bad: Literal["raise", "skip"] = "raise",
) -> Callable[[Batch], Batch]:
    """A transform for CustomRunner and Feeder: encoded images of any size become uint8[rows, height, width, 3], RGB.

    Pixels are those that the file stores: an EXIF orientation turns nothing, gray is repeated, alpha is left out, and
    of a PNG of 16 bits the upper 8 are taken. The other columns stay as they are. An image that is smaller than the
    window is first scaled up, both sides alike, until it just covers it. What is random depends on (seed, epoch, number
    of the batch, row) alone: it is the same for any number of threads, and another in every epoch. Outside of a feed,
    each call is batch 0 of epoch 0. Trainers that each have a shard count their batches alike: give each a seed of its
    own here (as seed=index of its shard), or all draw the same windows for batches of the same number.

    Args:
        size: of the window: height and width, or one number for both.
        resize: scale each image first, both sides alike, so that its shorter side has this length. A JPEG is then
            decoded at a half, a quarter or an eighth of its size where that is large enough: to 256, photographs of
            640 to 1280 pixels took 2.9 ms each in place of 6.4. Its pixels differ a little from those scaled at once.
        random_crop: the window lies anywhere in the image; else in its middle.
        flip: mirror every other image, at random, left to right.
        field: the column of encoded images: JPEG, PNG, WebP or BMP.
        on_bad: "raise" stops at an image that is none, or cut or damaged; "skip" leaves its row out, with a warning in
            the log, and it is counted in stats().skipped; a batch without a sound image is not fed. Not together with
            drop_remainder=True, which promises that no batch has fewer rows: use one of the two.

    Raises:
        TypeError, ValueError: size, resize or seed is none, or out of range.
        MissingDependencyError: OpenCV is not installed.
    """
    what = "a whole number, or (height, width), of 1 or more"
    height, width = pair("size", (size, size) if hasattr(size, "__index__") else size, what)
    if height < 1 or width < 1:
        raise ValueError(f"size={size!r}: expected {what}")
    if resize is not None:
        resize = whole("resize", resize, 1, "the length of the shorter side")
    seed = whole("seed", seed, 0)
    if on_bad not in ("raise", "skip"):
        raise ValueError(f"on_bad={on_bad!r}: expected 'raise' or 'skip'")
    opencv("decode_and_crop")
    return _Crops((height, width), resize or 0, random_crop, flip, seed, field, on_bad == "skip")


@dataclass(frozen=True, slots=True)
class _Crops:
    """What decode_and_crop gives; resize is 0 where nothing is scaled but what is too small."""

    size: Size
    resize: int
    random_crop: bool
    flip: bool
    seed: int
    field: str
    skips: bool

    def __call__(self, batch: Batch) -> Batch:
        """The batch with arrays in place of its images, in a block of their own.

        Raises:
            SelectError: the field is not there, or holds no encoded images.
            FormatError: an image cannot be decoded (.record is its row), and is not to be left out.
        """
        column = self._encoded(batch)
        at = position.get(Position(0, 0))
        images = Images.of(column)
        kinds, sizes = images.kinds.tolist(), list(zip(images.heights.tolist(), images.widths.tolist(), strict=True))
        randoms = _randoms(self.seed, at, len(batch))
        pixels = aligned_empty((len(batch), *self.size, 3), np.uint8)
        bad = []
        for row in range(len(batch)):
            content = column[row]
            assert isinstance(content, bytes)  # a field of bytes, one a row
            try:
                _check_header(content, kinds[row], sizes[row])
                if kinds[row] == _kernels.JPEG:
                    images.check(row)  # finds one that is cut, of which OpenCV makes gray pixels in silence
                self._fill(pixels[row], content, kinds[row], sizes[row], randoms[row])
            except FormatError as err:
                advice = "" if self.skips else "; mend it, or leave such rows out with on_bad='skip'"
                error = _about(err, batch, row, self.field, at, advice)
                if not self.skips:
                    raise error from err
                _log.warning("left out %s", error)
                bad.append(row)
        columns = {name: pixels if name == self.field else given for name, given in batch.items()}
        made = Batch(columns)
        return made.take(np.delete(np.arange(len(batch)), bad)) if bad else made

    def _encoded(self, batch: Batch) -> Ragged:
        found = batch.schema.find(self.field)
        column = None if found is None or not is_encoded(found) else batch[self.field]
        if isinstance(column, Ragged):
            return column
        others = [field.name for field in batch.schema.values() if is_encoded(field)]
        raise SelectError(
            f"decode_and_crop: field {self.field!r} is {'not there' if found is None else found.kind}, and encoded "
            f"images were expected; field= says where they are{f', such as {others[0]!r}' if others else ''}",
            field=self.field,
        )

    def _fill(self, out: Pixels, content: bytes, kind: int, size: Size, randoms: list[int]) -> None:
        """Decode an image of this kind and size, and write its window to out."""
        cv2 = opencv("decode_and_crop")
        scaled = self._scaled(size)
        pixels = _decode(content, size, scaled if kind == _kernels.JPEG else size)
        if pixels.shape[:2] != scaled:
            way = cv2.INTER_AREA if scaled[0] < pixels.shape[0] else cv2.INTER_LINEAR
            pixels = cv2.resize(pixels, scaled[::-1], interpolation=way)
        window = pixels[self._window(scaled, randoms)]
        if self.flip and randoms[2] >> 63:
            window = cv2.flip(window, 1)
        cv2.cvtColor(window, cv2.COLOR_BGR2RGB, dst=out)

    def _scaled(self, size: Size) -> Size:
        """The size to which an image is scaled before the window is cut out.

        Raises:
            FormatError: it is so narrow that it would become huge.
        """
        (height, width), (least_height, least_width) = size, self.size
        scale = max((self.resize or min(size)) / min(size), least_height / height, least_width / width)
        scaled = max(least_height, round(height * scale)), max(least_width, round(width * scale))
        if scaled[0] * scaled[1] > max(_MOST_PIXELS, least_height * least_width):
            raise FormatError(
                f"it is {width} x {height}, and to cover the window it would have to be scaled up to "
                f"{scaled[1]} x {scaled[0]}, of which at most {_MOST_PIXELS:,} pixels are taken"
            )
        return scaled

    def _window(self, size: Size, randoms: list[int]) -> Window:
        """The part of an image of this size that is kept."""
        height, width = self.size
        spare = size[0] - height, size[1] - width
        if self.random_crop:  # raw numbers have 64 bits: their upper end says which of spare + 1 places
            top, left = (number * (places + 1) >> 64 for number, places in zip(randoms, spare, strict=False))
        else:
            top, left = spare[0] // 2, spare[1] // 2
        return slice(top, top + height), slice(left, left + width)


def _randoms(seed: int, at: Position, rows: int) -> list[list[int]]:
    """Three random numbers of 64 bits for each row: for its window's place, down and across, and for mirroring."""
    bits = np.random.PCG64(np.random.SeedSequence([seed, *at, _APART]))  # its stream stays as it is (NEP 19)
    numbers: list[list[int]] = bits.random_raw(rows * 3).reshape(rows, 3).tolist()
    return numbers


def _check_header(content: bytes, kind: int, size: Size) -> None:
    """Look at what the first bytes say, before memory is taken for it.

    Raises:
        FormatError: they are not of an image, or it cannot be one of this size.
    """
    if kind not in (_kernels.JPEG, _kernels.PNG, _kernels.WEBP, _kernels.BMP):
        begin = (
            f"they begin with {content[:8].hex(' ')}" if content else "metadata? where= of a feed leaves such rows out"
        )
        what = f"are no image ({begin})"
        what = "are a GIF, which may hold several pictures" if kind == _kernels.GIF else what
        raise FormatError(f"its {len(content)} bytes {what}; expected JPEG, PNG, WebP or BMP")
    height, width = size
    if height < 0:
        raise FormatError(f"the header in its {len(content)} bytes gives no height and width; it is cut or damaged")
    if height * width > _MOST_PIXELS:
        raise FormatError(
            f"it is {width} x {height}, and more than {_MOST_PIXELS:,} pixels are not decoded; scale it down"
        )
    if kind in (_kernels.JPEG, _kernels.PNG) and height * width > PIXELS_A_BYTE * len(content):
        raise FormatError(f"its header says {width} x {height}, which {len(content)} bytes cannot hold; it is cut")


def _decode(content: bytes, size: Size, least: Size) -> Pixels:
    """The pixels of an image of this size (BGR), reduced by 2, 4 or 8 where that leaves no less than the least."""
    cv2 = opencv("decode_and_crop")
    ways = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
    by = max((by for by in ways if size[0] // by >= least[0] and size[1] // by >= least[1]), default=1)
    how = ways.get(by, cv2.IMREAD_COLOR) | cv2.IMREAD_IGNORE_ORIENTATION
    pixels: NDArray[Any] | None  # Any: what OpenCV gives
    try:
        with Quiet():
            pixels = cv2.imdecode(np.frombuffer(content, np.uint8), how)
    except cv2.error as err:
        raise FormatError(f"OpenCV cannot decode it: {err.err or err}") from err
    if pixels is None:
        raise FormatError(f"OpenCV cannot decode its {len(content)} bytes; they are cut or damaged")
    expected = -(-size[0] // by), -(-size[1] // by)
    if pixels.shape[:2] != expected:
        found = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise FormatError(f"its header says {size[1]} x {size[0]}, and it is {found} decoded; it is damaged")
    return pixels


def _about(error: FormatError, batch: Batch, row: int, field: str, at: Position, advice: str) -> FormatError:
    """The error with what tells the image from others: its file and record where they are known, and its row."""
    ids = dict(batch).get("id")
    known = f" (id {ids[row]})" if isinstance(ids, np.ndarray) else ""
    where = f"row {row} of field {field!r}{known}, in batch {at.batch} of epoch {at.epoch}"
    about = FormatError(f"{where}: {error}{advice}", record=row)
    return about if batch.places is None else placed(about, batch.places[row])
