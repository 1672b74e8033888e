"""CRC-32C (Castagnoli), and the mask with which TFRecord stores it."""

from __future__ import annotations

from tests.reference.arguments import octets

_POLYNOMIAL = 0x82F63B78  # 0x1EDC6F41 with its bits reversed: the lowest bit of the register is the highest power
_MASK_DELTA = 0xA282EAD8


def _register_after(byte: int) -> int:
    """Divide one byte by the polynomial, bit by bit."""
    register = byte
    for _ in range(8):
        register = (register >> 1) ^ (_POLYNOMIAL if register & 1 else 0)
    return register


_TABLE = [_register_after(byte) for byte in range(256)]


def crc32c(data: object, value: int = 0) -> int:
    """CRC-32C of data, continuing from value; the register is inverted before and after."""
    register = ~value & 0xFFFFFFFF
    for byte in octets(data):
        register = (register >> 8) ^ _TABLE[(register ^ byte) & 0xFF]
    return register ^ 0xFFFFFFFF


crc32c_table = crc32c  # there are two kernels, but only one definition


def mask_crc(crc: int) -> int:
    """What TFRecord stores: rotated right by 15 bits and moved, so that the CRC of data with CRCs stays useful."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF
