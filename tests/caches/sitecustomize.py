"""Let TensorFlow cut its products as on a processor with other caches. For tests only.

Python imports this module at its start if its folder is on PYTHONPATH. The environment variable EMULATED_CACHES holds
the sizes of the first, second and third level in bytes, such as 32768,1048576,33554432. Eigen asks the processor once
and keeps the answer in a static variable; this module fills that variable as soon as TensorFlow is imported.
"""

import ctypes
import importlib.abc
import importlib.machinery
import mmap
import os
import struct
import sys
from pathlib import Path

LIBRARY = "libtensorflow_cc.so.2"
# The variable and the flag that says that it has its value, as C++ names them.
SIZES = b"_ZZN5Eigen8internal20manage_caching_sizesENS_6ActionEPlS2_S2_E12m_cacheSizes"
IS_SET = b"_ZGVZN5Eigen8internal20manage_caching_sizesENS_6ActionEPlS2_S2_E12m_cacheSizes"
# Numbers and layouts of ELF, 64 bits.
SYMBOL_TABLE = 2
SECTION = struct.Struct("<IIQQQQIIQQ")
ADDRESS_IN_SYMBOL = 8


def addresses(path: str, names: tuple[bytes, ...]) -> dict[bytes, int]:
    """Return the addresses of symbols in the shared library at `path`, relative to where it is loaded."""
    found: dict[bytes, int] = {}
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as elf:  # noqa: PTH123
        (start,) = struct.unpack_from("<Q", elf, 40)
        size_of_section, n_sections = struct.unpack_from("<HH", elf, 58)
        sections = [SECTION.unpack_from(elf, start + number * size_of_section) for number in range(n_sections)]
        for _, kind, _, _, offset, size, linked, _, _, size_of_symbol in sections:
            if kind != SYMBOL_TABLE:
                continue
            strings, size_of_strings = sections[linked][4:6]
            for name in names:
                string = elf.find(b"\0" + name + b"\0", strings, strings + size_of_strings) + 1 - strings
                place = elf.find(struct.pack("<I", string), offset, offset + size)
                while place >= 0 and (place - offset) % size_of_symbol:
                    place = elf.find(struct.pack("<I", string), place + 1, offset + size)
                if place >= 0:
                    (found[name],) = struct.unpack_from("<Q", elf, place + ADDRESS_IN_SYMBOL)
    return found


def emulate(sizes: list[int]) -> None:
    """Fill Eigen's variable in this process, into which TensorFlow is loaded."""
    loaded = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()]
    start, path = next(
        (int(fields[0].partition("-")[0], 16), fields[-1])
        for fields in loaded
        if fields[-1].endswith(LIBRARY) and int(fields[2], 16) == 0
    )
    found = addresses(path, (SIZES, IS_SET))
    (ctypes.c_ssize_t * 3).from_address(start + found[SIZES])[:] = sizes
    ctypes.c_byte.from_address(start + found[IS_SET]).value = 1


class Finder(importlib.abc.MetaPathFinder):
    """A finder that lets the import of TensorFlow end with `emulate`."""

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def execute_and_emulate(module):  # type: ignore[no-untyped-def]
            execute(module)
            emulate([int(size) for size in os.environ["EMULATED_CACHES"].split(",")])

        spec.loader.exec_module = execute_and_emulate
        return spec


if os.environ.get("EMULATED_CACHES"):
    sys.meta_path.insert(0, Finder())
