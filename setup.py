"""Builds the one C extension; everything else is in setup.cfg.

The extension keeps to the limited API of Python 3.11 (the first in which Py_buffer belongs to it), so that one abi3
wheel serves 3.11 and every later version.
"""

import sysconfig

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, ExecError, PlatformError


class build_native(build_ext):
    """Say what is missing when there is no C compiler: there is no slower fallback to hide behind."""

    def build_extension(self, extension):
        try:
            super().build_extension(extension)
        except (CompileError, ExecError, PlatformError) as err:
            raise SystemExit(
                f"recordio_bridge has a native core and could not compile it ({err}).\n"
                "It needs a C11 compiler: on Debian and Ubuntu 'apt install gcc', on Fedora 'dnf install gcc', "
                "on macOS 'xcode-select --install'."
            ) from err


if sysconfig.get_config_var("Py_GIL_DISABLED"):
    raise SystemExit(
        "recordio_bridge does not run on a free-threaded Python as yet: its extension keeps to the limited API, which "
        "such builds have not.\n"
        "Use the usual build of the same version: python3.13 in place of python3.13t."
    )

setup(
    ext_modules=[
        Extension(
            "recordio_bridge._kernels",
            sources=[
                f"recordio_bridge/_native/{name}.c"
                for name in (
                    *("module", "module_examples", "module_sagemaker", "arguments"),
                    *("kernels", "crc32", "crc32c", "example", "survey", "sagemaker", "images", "lzf"),
                )
            ],
            depends=[
                f"recordio_bridge/_native/{name}.h" for name in ("kernels", "slices", "wire", "arguments", "module")
            ],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            extra_compile_args=["-std=c11", "-O3", "-Wall", "-Wextra", "-Wno-unused-parameter"],
            py_limited_api=True,
        )
    ],
    cmdclass={"build_ext": build_native},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
