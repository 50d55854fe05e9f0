"""Files that stages read, damaged in every way: refused with their path, and nothing is written."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from miniature import Miniature, locked, opened, raw_digits, refused, snapshot, stages_of

from stages import fetch, track
from stages.core import digits, files
from stages.core.errors import UserError

Damage = Callable[[Path, bytes, list[Path]], bytes]


def flipped(share: float) -> Damage:
    """Flips one bit, of the byte at that share of the content."""

    def damage(path: Path, content: bytes, others: list[Path]) -> bytes:
        place = int(share * len(content))
        return content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]

    return damage


def reshaped(path: Path, content: bytes, others: list[Path]) -> bytes:
    """The same numbers in another shape and dtype; of what is no archive, the same bytes the other way round."""
    if path.suffix != ".npz":
        return content[::-1]
    return files.npz_bytes({name: array.reshape(-1).astype(np.float64) for name, array in files.read_npz(path).items()})


DAMAGES: dict[str, Damage] = {
    "emptied": lambda path, content, others: b"",
    "cut in the middle": lambda path, content, others: content[: len(content) // 2],
    "cut by a byte": lambda path, content, others: content[:-1],
    "longer by a byte": lambda path, content, others: content + b"\0",
    **{f"a bit flipped at {share:.0%}": flipped(share) for share in (0, 0.13, 0.5, 0.77, 0.999)},
    "swapped": lambda path, content, others: next(
        (other for file in others if (other := file.read_bytes()) != content), content[::-1]
    ),
    "reshaped": reshaped,
}


@pytest.fixture(scope="module")
def repository(miniature: Miniature, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return locked(miniature, root, tmp_path_factory.mktemp("damaged") / "copy")


@pytest.fixture
def here(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(repository)
    return repository


def others(path: Path) -> list[Path]:
    """Other files of the same name elsewhere, or else beside it: what `path` may have been swapped with."""
    alike = [*path.parent.parent.rglob(path.name), *path.parent.glob(f"*{path.suffix}")]
    return [other for other in alike if other != path]


def damaged(path: Path) -> Iterator[str]:
    """Damage the file at `path` in every way, one after the other, and mend it in the end."""
    content = path.read_bytes()
    for name, damage in DAMAGES.items():
        made = damage(path, content, others(path))
        assert made != content, (path, name)
        path.write_bytes(made)
        try:
            yield name
        finally:
            path.write_bytes(content)


def names(message: str, path: Path) -> bool:
    """Whether `message` says what is wrong with `path`, what was expected and what to do.

    Of a folder that DVC does not cache it only knows the digest of the whole.
    """
    of_file = message.startswith(f"{path} has MD5 ") and "; expected " in message
    of_folder = message.startswith(f"{path.parent}/ does not hold the files that dvc.lock says; ")
    return (of_file or of_folder) and "delete it and run `dvc repro`" in message


def inputs_of(miniature: Miniature, stage: str) -> list[Path]:
    """The files that `stage` reads, but for params.yaml, whose damages are edits."""
    return [Path(name) for name in sorted(miniature.read[stage]) if name != "params.yaml"]


def test_a_stage_refuses_every_damaged_file_that_it_reads_and_writes_nothing(
    here: Path, miniature: Miniature, counted: Callable[[str, int], None]
) -> None:
    refusals = 0
    for stage, command in stages_of(miniature.parameters).items():
        if stage in ("fetch", "plan"):
            continue
        read = inputs_of(miniature, stage)
        assert read, stage
        for path in read:
            for damage in damaged(path):
                before = snapshot(here)
                message = refused(*command)
                assert names(message, path), (stage, damage, message)
                assert snapshot(here) == before, (stage, damage)
                refusals += 1
    counted("damaged inputs of stages", refusals)


def test_what_track_shows_of_a_damaged_file_is_nothing(here: Path, counted: Callable[[str, int], None]) -> None:
    results = track.Results()
    _, specs, models = track.read_specs()
    assert models
    shown: list[Callable[[], object]] = [
        partial(results.content, one) for parent in specs for one in (parent, *parent.children)
    ]
    shown += [partial(results.model, model) for model in models]
    refusals = 0
    for show in shown:
        opened(here)
        show()
        # No result is in timings/.
        read = {Path(name) for name in opened(here) if not name.startswith(("timings/", "dvc.lock", ".dvc/"))}
        for path in read:
            for damage in damaged(path):
                with pytest.raises(UserError) as caught:
                    show()
                assert names(str(caught.value), path), (damage, caught.value)
                assert "\n" not in str(caught.value), damage
                refusals += 1
    counted("damaged inputs of track", refusals)


@pytest.mark.parametrize("name", ["reports/metrics.json", "reports/references.csv", "configs/mnist-fixed.json"])
def test_track_makes_no_store_of_damaged_results(here: Path, name: str) -> None:
    for _ in damaged(Path(name)):
        assert names(refused("track"), Path(name))
        assert not Path("mlflow.db").exists()


def test_the_users_files_of_mnist_are_refused_when_damaged(tmp_path: Path) -> None:
    raw = raw_digits()
    contents = {name: digits.idx_bytes(raw[array]) for name, array in digits.ARRAY_OF_FILE.items()}
    digests = {name: digits.sha256(content) for name, content in contents.items()}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in contents:
        for _ in damaged(tmp_path / name):
            with pytest.raises(ValueError, match=f"^{name} has SHA-256 [0-9a-f]{{64}}, expected {digests[name]}$"):
                fetch.from_folder(str(tmp_path), digests)
    assert fetch.from_folder(str(tmp_path), digests).keys() == raw.keys()


def test_dvc_repro_makes_a_damaged_file_anew(here: Path, tmp_path: Path) -> None:
    shutil.copytree(here, tmp_path / "copy")
    path = tmp_path / "copy" / "runs/ex4-fixed/final.csv"
    content = path.read_bytes()
    path.write_bytes(content[:-9])
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "dvc", "repro", "train@ex4-fixed"]
    subprocess.run(command, cwd=tmp_path / "copy", env=environment, check=True, capture_output=True)
    assert path.read_bytes() == content
