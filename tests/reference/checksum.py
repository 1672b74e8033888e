"""CRC-32C (Castagnoli), with the mask with which TFRecord stores it, and the CRC-32 of zip."""

from __future__ import annotations

from tests.reference.arguments import octets

_CRC32C = 0x82F63B78  # 0x1EDC6F41 with its bits reversed: the lowest bit of the register is the highest power
_CRC32 = 0xEDB88320  # 0x04C11DB7, likewise
_MASK_DELTA = 0xA282EAD8


def _register_after(byte: int, polynomial: int) -> int:
    """Divide one byte by the polynomial, bit by bit."""
    register = byte
    for _ in range(8):
        register = (register >> 1) ^ (polynomial if register & 1 else 0)
    return register


_TABLES = {polynomial: [_register_after(byte, polynomial) for byte in range(256)] for polynomial in (_CRC32C, _CRC32)}


def _crc(polynomial: int, data: object, value: int) -> int:
    """Go on from value; the register is inverted before and after."""
    register, table = ~value & 0xFFFFFFFF, _TABLES[polynomial]
    for byte in octets(data):
        register = (register >> 8) ^ table[(register ^ byte) & 0xFF]
    return register ^ 0xFFFFFFFF


def crc32c(data: object, value: int = 0) -> int:
    """CRC-32C of data, continuing from value."""
    return _crc(_CRC32C, data, value)


def crc32(data: object, value: int = 0) -> int:
    """CRC-32 of data, continuing from value."""
    return _crc(_CRC32, data, value)


crc32c_table = crc32c  # there are two kernels, but only one definition
crc32_table = crc32


def mask_crc(crc: int) -> int:
    """What TFRecord stores: rotated right by 15 bits and moved, so that the CRC of data with CRCs stays useful."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF
