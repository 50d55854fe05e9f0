"""The same bits on other processors: `pytest -m emulated`, up to half an hour.

Debian's qemu-user emulates another processor. Other caches are emulated on this one (tests/caches).
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from stages.base import files

# The oldest kind that is supported: AVX2 without AVX-512. Its caches, of 32 KB, are those of KB_32.
HASWELL = "Haswell-noTSX"
# The sizes of the first, second and third level, in bytes.
KB_32, KB_48, KB_64 = "32768,1048576,33554432", "49152,1310720,33554432", "65536,524288,16777216"

pytestmark = pytest.mark.emulated

Hashes = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def hashes(
    root: Path, raw_mnist: Mapping[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hashes]:
    """A function that returns what tests/bits.py prints on a processor or with caches that are emulated.

    All of them are computed from the start on, two at a time, the longest first.
    """
    mnist = tmp_path_factory.mktemp("raw") / "mnist.npz"
    files.write_archive(mnist, raw_mnist)
    qemu = shutil.which("qemu-x86_64")

    def computed(*options: str, processor: str = "", caches: str = "") -> dict[str, str]:
        # qemu runs the file of the interpreter itself, which does not know of a virtual environment.
        command = [str(Path(sys.executable).resolve()), "-m", "tests.bits", str(mnist), *options]
        # Losses have no products, so one per optimizer is enough elsewhere.
        command += ["--fewer"] * bool(processor or caches)
        if processor:
            command = [str(qemu), "-cpu", processor, *command]
        searched = [*[str(root / "tests/caches")] * bool(caches), str(root), sysconfig.get_path("purelib")]
        environment = os.environ | {"EMULATED_CACHES": caches, "PYTHONPATH": os.pathsep.join(searched)}
        ended = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr[-3000:]
        result: dict[str, str] = json.loads(ended.stdout)
        return result

    with ThreadPoolExecutor(2) as pool:
        futures = {
            (plain, processor, caches): pool.submit(computed, *["--plain"] * plain, processor=processor, caches=caches)
            for plain, processor, caches in [
                *([(False, HASWELL, "")] if qemu else []),
                (False, "", ""),
                *[(plain, "", caches) for plain in (False, True) for caches in (KB_32, KB_48, KB_64)],
            ]
        }

        def result(processor: str = "", caches: str = "", *, plain: bool = False) -> dict[str, str]:
            if processor and not qemu:
                pytest.skip("qemu-x86_64 is not installed (Debian's package qemu-user)")
            return futures[plain, processor, caches].result()

        yield result


def test_short_trainings_are_of_every_kind(hashes: Hashes) -> None:
    here = hashes()
    assert {name.split()[0] for name in here} == {"prepare", "train", "baseline"}
    assert sum(name.startswith("train own") for name in here) >= 4
    assert {name.removesuffix(", wider") for name in here if name.endswith(", wider")} == {
        "train mnist as_posted@2.2",
        "train ex4 as_posted@2.2",
        "train ex4 assignment@2.2",
    }


@pytest.mark.parametrize("caches", [KB_32, KB_48, KB_64])
def test_no_bit_depends_on_the_caches(hashes: Hashes, caches: str) -> None:
    assert_same(hashes(caches=caches), hashes())


@pytest.mark.parametrize("caches", [KB_48, KB_64])
def test_bits_of_plain_layers_depend_on_the_caches(hashes: Hashes, caches: str) -> None:
    """The test before this one can fail."""
    assert hashes(caches=caches, plain=True) != hashes(caches=KB_32, plain=True)


def test_no_bit_depends_on_the_processor(hashes: Hashes) -> None:
    assert_same(hashes(processor=HASWELL), hashes())


def assert_same(there: dict[str, str], here: dict[str, str]) -> None:
    optimizers = {"train mnist as_posted@2.2", "train ex4 as_posted@2.2", "train ex4 assignment@2.2"}
    assert optimizers | {f"{name}, wider" for name in optimizers} <= there.keys()
    assert {name for name in here if name.startswith("train own")} <= there.keys()
    assert there == {name: here[name] for name in there}
