"""Images: encoded ones (bytes, as JPEG and PNG are) to arrays and back, by OpenCV, of which this is the only importer.

    gray                  uint8[H, W, 1]      encoding takes [H, W], too
    colour                uint8[H, W, 3]      RGB
    colour with alpha     uint8[H, W, 4]      RGBA; gray with alpha and a palette with transparency become it, too
    PNG of 16 bits        uint16[H, W, C]     never scaled to 8

Pixels are those that the file stores, as in TensorFlow: an EXIF orientation turns nothing, and colour profiles and
gamma are not applied. A JPEG in CMYK becomes RGB as OpenCV does it. A column has one size and one number of channels;
what fits it without a loss is made to: gray is repeated to RGB, full opacity is added, an alpha that is opaque
everywhere is left out.

A JPEG has no checksum: one that is cut is found, but one that is damaged inside may decode to another picture.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _kernels
from .batch import Column, Ragged
from .errors import FormatError, LossyError, MissingDependencyError, SchemaError, SelectError
from .schema import Field

Pixels: TypeAlias = NDArray[Any]  # Any: uint8 or uint16

CHANNELS = {"gray": 1, "rgb": 3, "rgba": 4}
_NAMES = {count: name for name, count in CHANNELS.items()}
MOST_PIXELS = 1 << 28
"""Of an image that is decoded: 16,384 x 16,384, and 768 MiB as RGB; OpenCV's own limit is 2**30."""
PIXELS_A_BYTE = 8256
"""Of an encoded image: deflate unpacks 1032 bytes from one, of 8 pixels each where they take a bit; JPEG has 512."""
_PIXELS_OF_OPENCV = "OPENCV_IO_MAX_IMAGE_PIXELS"
_THREADS = min(4, os.cpu_count() or 1)  # OpenCV decodes without the GIL
_RUN = 8  # images that a thread takes at a time: a small PNG takes less than handing it over
_DEFAULT_QUALITY = 95  # of JPEG, as MXNet's


def opencv(purpose: str) -> ModuleType:
    """The module cv2.

    Raises:
        MissingDependencyError: it is not installed; purpose is what needs it.
    """
    try:
        if "cv2" in sys.modules:
            return importlib.import_module("cv2")
        with _most_pixels():
            return importlib.import_module("cv2")
    except ImportError as err:
        raise MissingDependencyError.for_extra("images", "opencv-python-headless", purpose) from err


@contextmanager
def _most_pixels() -> Iterator[None]:
    """For as long as OpenCV is loaded, when it looks how many pixels it may decode, unless the user says that.

    It is for kinds whose headers we do not read, such as TIFF.
    """
    if _PIXELS_OF_OPENCV in os.environ:
        yield
        return
    os.environ[_PIXELS_OF_OPENCV] = str(MOST_PIXELS)
    try:
        yield
    finally:
        os.environ.pop(_PIXELS_OF_OPENCV, None)  # or another thread was first


class Quiet:
    """OpenCV's log is off while any thread is inside: it goes to standard error, and our errors say the same.

    What libpng prints by itself, of a checksum that does not fit, nothing in OpenCV turns off.
    """

    _lock, _inside, _level = threading.Lock(), 0, 0

    def __enter__(self) -> None:
        cv2 = opencv("decoding images")
        with self._lock:
            if not Quiet._inside:
                Quiet._level = cv2.setLogLevel(0)  # which gives the level before
            Quiet._inside += 1

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            Quiet._inside -= 1
            if not Quiet._inside:
                opencv("decoding images").setLogLevel(Quiet._level)

    @classmethod
    def forked(cls) -> None:
        """In a forked process: the threads that were inside are not in it, and one may have held the lock."""
        if cls._inside:
            opencv("decoding images").setLogLevel(cls._level)
        cls._lock, cls._inside = threading.Lock(), 0


os.register_at_fork(after_in_child=Quiet.forked)


# ---- what a file says of itself ----


@dataclass(frozen=True, slots=True)
class Images:
    """What the files of a column say of themselves, as survey_images finds it; -1 for a size that is not there."""

    kinds: NDArray[np.uint8]
    heights: NDArray[np.int64]
    widths: NDArray[np.int64]
    traits: NDArray[np.uint8]

    @classmethod
    def of(cls, column: Column) -> Images:
        assert isinstance(column, Ragged)  # bytes are
        rows = len(column)
        found = cls(np.empty(rows, "u1"), np.empty(rows, np.int64), np.empty(rows, np.int64), np.empty(rows, "u1"))
        _kernels.survey_images(column.spans, found.kinds, found.heights, found.widths, found.traits)
        return found

    def check(self, row: int) -> None:
        """Raise where decoding would not give what is there, or fail.

        Raises:
            FormatError: the image is cut or damaged, as far as can be seen, or holds what an array would not keep.
        """
        kind, traits = self.kinds[row], int(self.traits[row])
        if traits & _kernels.SEVERAL:
            raise FormatError("a GIF, or an animation, may hold several pictures; make a PNG of each first")
        if traits & _kernels.TRANSPARENT and not traits & _kernels.COLOUR:
            raise FormatError("a gray PNG with a transparent shade, which OpenCV would drop; save it with alpha")
        if kind != _kernels.NO_IMAGE and self.heights[row] < 0:
            raise FormatError("the image ends inside its header, or that is damaged: it says no size")
        if kind == _kernels.PNG and not traits & _kernels.WHOLE:
            raise FormatError("the image ends inside its header; it is cut")
        if kind == _kernels.JPEG and not traits & _kernels.WHOLE:  # which OpenCV fills up with gray
            raise FormatError("the JPEG has no end-of-image marker; it is cut")

    def check_pixels(self, row: int, nbytes: int) -> None:
        """FormatError where an image of so many bytes claims more pixels than are decoded, or than it can hold."""
        kind, pixels = self.kinds[row], int(self.heights[row]) * int(self.widths[row])
        if pixels > MOST_PIXELS:
            raise FormatError(f"the image has {pixels} pixels, and at most {MOST_PIXELS} are decoded; scale it down")
        if kind in (_kernels.JPEG, _kernels.PNG) and pixels > PIXELS_A_BYTE * nbytes:
            raise FormatError(f"the header claims {pixels} pixels, which {nbytes} bytes cannot hold; it is cut")


# ---- decoding ----


def decode_image(content: bytes) -> Pixels:
    """The pixels of one image, with its own number of channels (BGR, as OpenCV has it).

    Raises:
        FormatError: the image is cut, damaged, or of a kind that has no place in a column.
    """
    images = Images.of(Ragged.of([content]))
    images.check(0)
    images.check_pixels(0, len(content))
    return _pixels(content, images, 0)


def _pixels(content: bytes, images: Images, row: int) -> Pixels:
    cv2 = opencv("decoding images")
    try:
        with Quiet():
            pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    except cv2.error as err:
        raise FormatError(f"OpenCV cannot decode the image: {err.err or err}") from err
    if pixels is None:
        known = images.kinds[row] != _kernels.NO_IMAGE
        what = "cut or damaged" if known else f"no image (it begins with {content[:8].hex(' ') or 'nothing'})"
        raise FormatError(f"OpenCV cannot decode its {len(content)} bytes; they are {what}")
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.shape[2] not in _NAMES:
        what = f"{pixels.shape[2]} channels of {pixels.dtype}"
        raise FormatError(f"the image has {what}, and 1, 3 or 4 of 8 or 16 bits were expected; save it as PNG")
    return np.asarray(pixels)


def decoded_field(field: Field, content: bytes, mode: str) -> Field:
    """The field of arrays that images of a field become, by the first of them.

    mode: "gray", "rgb" or "rgba"; "" takes the channels of that image.
    """
    pixels = decode_image(content)
    channels = CHANNELS[mode] if mode else pixels.shape[2]
    return Field(field.name, pixels.dtype.name, (*pixels.shape[:2], channels))


class Decoder:
    """Decodes the rows of a column to arrays of one size.

    Args:
        field: what the column becomes: uint8 or uint16, (height, width, channels).
        lossy: alpha may be dropped.
    """

    def __init__(self, field: Field, lossy: bool = False) -> None:
        self.field, self._lossy = field, lossy
        self._cv2 = opencv("decoding images")

    def __call__(self, column: Ragged) -> tuple[Pixels, dict[int, FormatError], dict[str, int]]:
        """The arrays of all rows; the rows that hold no sound image, and why; and what was done to how many images.

        Raises:
            SchemaError: an image has another size or type than the column (.row).
            LossyError: an image has alpha, and the column has none (.row).
        """
        shape = tuple(n for n in self.field.shape if n is not None)
        pixels = np.zeros((len(column), *shape), dtype=self.field.numpy_dtype)
        images = Images.of(column)
        broken: dict[int, FormatError] = {}
        changes: dict[str, int] = {}

        def decode(row: int) -> str:
            content = column[row]
            assert isinstance(content, bytes)  # a field of bytes, one a row
            try:
                return self._decode(content, images, pixels[row], row)
            except FormatError as err:
                what = f"row {row} of field {self.field.name!r}: {err}"
                broken[row] = FormatError(what, record=row)
                return ""

        for change in _in_threads(decode, len(column)):
            if change:
                changes[change] = changes.get(change, 0) + 1
        return pixels, broken, changes

    def _decode(self, content: bytes, images: Images, out: Pixels, row: int) -> str:
        """Decode one image into its row; what was done to make it fit."""
        images.check(row)
        if images.kinds[row] != _kernels.NO_IMAGE:  # before memory is taken for what a header claims
            self._check_size((int(images.heights[row]), int(images.widths[row])), row)
        pixels = _pixels(content, images, row)
        self._check_size(pixels.shape[:2], row)
        if pixels.dtype != out.dtype:
            raise self._misfit(
                row, f"has pixels of {pixels.dtype}", f"of {out.dtype}", "convert the files to one depth"
            )
        cv2, have, want = self._cv2, pixels.shape[2], out.shape[2]
        if have == want == 1:
            out[:] = pixels
            return ""
        if want == 1 or (have, want) == (4, 3):
            return self._without(pixels, out, row)
        codes = {
            (3, 3): (cv2.COLOR_BGR2RGB, ""),
            (4, 4): (cv2.COLOR_BGRA2RGBA, ""),
            (1, 3): (cv2.COLOR_GRAY2RGB, "are gray: their channel was repeated to RGB"),
            (1, 4): (cv2.COLOR_GRAY2RGBA, "are gray: their channel was repeated to RGB, with full opacity"),
            (3, 4): (cv2.COLOR_BGR2RGBA, "have no alpha: they got full opacity"),
        }
        code, change = codes[have, want]
        cv2.cvtColor(pixels, code, dst=out)
        return change

    def _without(self, pixels: Pixels, out: Pixels, row: int) -> str:
        """An image with more channels than the column has."""
        name, have, want = self.field.name, pixels.shape[2], out.shape[2]
        if want == 1:
            advice = f"let all be colour: --decode {name}={_NAMES[have]} (decode={{{name!r}: {_NAMES[have]!r}}})"
            raise self._misfit(row, "has colour", "gray, as the first image is", advice)
        opaque = bool((pixels[:, :, 3] == np.iinfo(pixels.dtype).max).all())
        if not (opaque or self._lossy):
            raise LossyError(
                f"row {row} of field {name!r}: the image is partly transparent, and the column has no alpha; keep it "
                f"with --decode {name}=rgba, or drop it with --allow-lossy {name}",
                field=name,
                row=row,
            )
        self._cv2.cvtColor(pixels, self._cv2.COLOR_BGRA2RGB, dst=out)
        return "have an alpha that is opaque everywhere: it was left out" if opaque else "lost their transparency"

    def _check_size(self, size: Sequence[int], row: int) -> None:
        if tuple(size) != self.field.shape[:2]:
            height, width = self.field.shape[:2]
            advice = (
                "a column of arrays has one size: leave --decode away and let the training program decode and resize, "
                "or make the images one size first"
            )
            raise self._misfit(row, f"is {size[1]} x {size[0]} pixels", f"{width} x {height} as the first", advice)

    def _misfit(self, row: int, found: str, expected: str, advice: str) -> SchemaError:
        name = self.field.name
        return SchemaError(
            f"row {row} of field {name!r}: the image {found}, expected {expected}; {advice}", field=name, row=row
        )


def _in_threads(work: Callable[[int], Any], rows: int) -> list[Any]:  # Any: what work gives
    """The results of all rows, in their order; the error of the first row that has one."""

    def run(first: int) -> list[Any]:
        return [work(row) for row in range(first, min(first + _RUN, rows))]

    if rows <= _RUN or _THREADS == 1:
        return [work(row) for row in range(rows)]
    with ThreadPoolExecutor(_THREADS, "images") as pool:
        runs = pool.map(run, range(0, rows, _RUN))
        return [result for results in runs for result in results]


# ---- encoding ----


@dataclass(frozen=True, slots=True)
class Encoding:
    """How arrays become images: "png", "png:9" (compression, 0 to 9), "jpeg", "jpeg:95" (quality, 1 to 100)."""

    kind: str
    level: int | None = None

    @classmethod
    def parse(cls, text: str) -> Encoding:
        """What such a text says; ValueError for others."""
        kind, _, level = text.partition(":")
        kind = {"jpg": "jpeg"}.get(kind, kind)
        lowest, highest = {"png": (0, 9), "jpeg": (1, 100)}.get(kind, (0, -1))
        if highest < 0 or (":" in text and not (level.isascii() and level.isdigit() and len(level) < 4)):
            raise ValueError(f"encode {text!r}: expected png, png:LEVEL, jpeg or jpeg:QUALITY")
        if level and not lowest <= int(level) <= highest:
            raise ValueError(f"encode {text!r}: expected {lowest} to {highest} behind {kind}:")
        return cls(kind, int(level) if level else (_DEFAULT_QUALITY if kind == "jpeg" else None))

    @property
    def note(self) -> str | None:
        """What to say of a field that it encodes."""
        return f"encoded as JPEG of quality {self.level}, which changes pixels" if self.kind == "jpeg" else None

    def check(self, field: Field) -> None:
        """SelectError for a field that it cannot encode."""
        dtypes = ("uint8",) if self.kind == "jpeg" else ("uint8", "uint16")
        channels = (1, 3) if self.kind == "jpeg" else (1, 3, 4)
        shape = field.shape
        fits = len(shape) == 2 or (len(shape) == 3 and shape[2] in channels)
        if field.dtype not in dtypes or not fits or not all(shape):
            raise SelectError(
                f"encode: field {field} is no image for {self.kind}, which takes {' or '.join(dtypes)} of "
                f"shape [H, W] or [H, W, C] with C {', '.join(map(str, channels))}",
                field=field.name,
            )


def encode_images(column: Pixels, encoding: Encoding, name: str) -> Ragged:
    """Each row of arrays as the bytes of an image. name is for messages."""
    cv2 = opencv("encoding images")
    codes = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    setting = cv2.IMWRITE_JPEG_QUALITY if encoding.kind == "jpeg" else cv2.IMWRITE_PNG_COMPRESSION
    settings = [] if encoding.level is None else [setting, encoding.level]

    def encode(row: int) -> bytes:
        pixels = column[row]
        if pixels.ndim == 3 and pixels.shape[2] in codes:
            pixels = cv2.cvtColor(pixels, codes[pixels.shape[2]])
        try:
            done, content = cv2.imencode(f".{encoding.kind}", pixels, settings)
        except cv2.error as err:
            raise SchemaError(f"row {row} of field {name!r}: {err.err or err}", field=name, row=row) from err
        if not done:
            what = f"row {row} of field {name!r}: OpenCV cannot encode {pixels.shape} as {encoding.kind}"
            raise SchemaError(what, field=name, row=row)
        return bytes(content)

    return Ragged.of(_in_threads(encode, len(column)), name=name)


def is_encoded(field: Field) -> bool:
    """Whether a field can hold encoded images, one a row."""
    return field.dtype == "bytes" and field.shape == ()


# ---- for feeding ----

if TYPE_CHECKING:
    from .crops import decode_and_crop as decode_and_crop
else:

    def __getattr__(name: str) -> object:
        """decode_and_crop, whose module imports this one."""
        if name == "decode_and_crop":
            from .crops import decode_and_crop

            return decode_and_crop
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
