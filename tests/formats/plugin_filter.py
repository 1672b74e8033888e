"""A filter of HDF5 that changes nothing, but counts the chunks that it unpacks; in place of those that are plugins."""

from __future__ import annotations

import ctypes

import h5py

NUMBER = 32_001  # one of those that HDF5 leaves for local use
unpacked: list[int] = []
"""The size of each chunk that was unpacked."""

_Filter = ctypes.CFUNCTYPE(
    ctypes.c_size_t,
    ctypes.c_uint,
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.c_void_p,
)


class _Class(ctypes.Structure):
    """H5Z_class2_t of HDF5, H5Zpublic.h."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("id", ctypes.c_int),
        ("encoder_present", ctypes.c_uint),
        ("decoder_present", ctypes.c_uint),
        ("name", ctypes.c_char_p),
        ("can_apply", ctypes.c_void_p),
        ("set_local", ctypes.c_void_p),
        ("filter", _Filter),
    )


@_Filter
def _count(flags: int, num_values: int, values: int, nbytes: int, nbytes_buffer: int, buffer: int) -> int:
    if flags & 0x0100:  # H5Z_FLAG_REVERSE
        unpacked.append(nbytes)
    return nbytes


_class = _Class(1, NUMBER, 1, 1, b"counts", None, None, _count)
h5py.h5z.register_filter(ctypes.addressof(_class))
