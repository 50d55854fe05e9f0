import json
import shutil
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from stages.core import locked
from stages.core.errors import UserError

CONTENTS = {"a.json": b"{}", "folder/b.csv": b"x\n", "folder/below/c.txt": b"c"}


def digest(content: bytes) -> str:
    return md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, content in CONTENTS.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)
    return tmp_path


@pytest.fixture
def committed(folder: Path) -> Path:
    """A repository of DVC, which has written dvc.lock."""
    stages = {"make": {"cmd": "true", "outs": ["a.json", "folder"]}}
    YAML(typ="safe").dump({"stages": stages}, folder / "dvc.yaml")
    with Repo.init(no_scm=True) as repo:
        repo.commit(force=True)
    return folder


def refused(name: str) -> str:
    with pytest.raises(UserError) as caught:
        locked.read(Path(name))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", CONTENTS)
def test_without_dvc_lock_any_content_is_read(name: str) -> None:
    assert locked.read(Path(name)) == CONTENTS[name]


@pytest.mark.parametrize("name", CONTENTS)
def test_what_dvc_wrote_into_its_lock_is_read(committed: Path, name: str) -> None:
    assert locked.read(Path(name)) == CONTENTS[name]


@pytest.mark.parametrize("name", CONTENTS)
def test_another_content_is_refused_with_both_digests(committed: Path, name: str) -> None:
    Path(name).write_bytes(b"other")
    advice = "delete it and run `dvc repro`, which makes it anew, or accept it with `dvc commit`"
    expected = f"{name} has MD5 {digest(b'other')}; expected {digest(CONTENTS[name])}, by dvc.lock; {advice}"
    assert refused(name) == expected


def test_without_dvcs_listing_of_a_folder_another_content_is_refused_all_the_same(committed: Path) -> None:
    shutil.rmtree(".dvc/cache")
    assert locked.read(Path("folder/b.csv")) == CONTENTS["folder/b.csv"]
    Path("folder/below/c.txt").write_bytes(b"other")
    locked._listed.cache_clear()
    assert refused("folder/b.csv").startswith("folder/ does not hold the files that dvc.lock says; delete it")


def test_a_damaged_listing_in_dvcs_cache_is_not_believed(committed: Path) -> None:
    (listing,) = Path(".dvc/cache").rglob("*.dir")
    listing.chmod(0o644)
    listing.write_bytes(listing.read_bytes().replace(digest(CONTENTS["folder/b.csv"]).encode(), b"0" * 32))
    assert locked.read(Path("folder/b.csv")) == CONTENTS["folder/b.csv"]


def test_a_file_that_is_not_among_those_of_its_folder_is_refused(committed: Path) -> None:
    Path("folder/d").write_bytes(b"d")
    assert refused("folder/d").startswith("folder/d is none of the files that dvc.lock says folder/ holds; delete it")


def test_a_file_of_no_stage_is_read(committed: Path) -> None:
    Path("d").write_bytes(b"d")
    assert locked.read(Path("d")) == b"d"


def test_a_missing_file_and_one_that_is_a_folder_are_refused_in_one_line(folder: Path) -> None:
    assert refused("b").startswith("b is missing; run `dvc repro`")
    assert refused("folder").startswith("folder cannot be read: Is a directory;")


@pytest.mark.parametrize(
    "content",
    [b"", b"<<<<<<< HEAD\n", b"stages: [", b"stages: 1", b"stages: {a: 1}", b"stages: {a: {outs: [1]}}", b"\xff"],
)
def test_a_dvc_lock_that_dvc_did_not_write_is_refused(content: bytes) -> None:
    Path("dvc.lock").write_bytes(content)
    assert refused("a.json").startswith("dvc.lock")


def test_a_stage_that_is_no_more_does_not_make_an_out_wrong() -> None:
    digests: dict[str, Any] = {"old": "0" * 32, "new": digest(CONTENTS["a.json"])}
    stages = {name: {"outs": [{"path": "a.json", "md5": one}]} for name, one in digests.items()}
    Path("dvc.lock").write_text(json.dumps({"stages": stages}), encoding="utf-8")
    assert locked.read(Path("a.json")) == CONTENTS["a.json"]


def test_a_parser_that_fails_is_said_in_one_line() -> None:
    said = r"^a: x y; expected JSON; delete it and run `dvc repro`$"
    with pytest.raises(UserError, match=said), locked.parsing(Path("a"), "JSON"):
        raise ValueError("x\ny")
