import math
import os
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, boolean_dtypes, floating_dtypes, integer_dtypes
from numpy.typing import NDArray

from stages.core import files

finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4),
    max_leaves=12,
)
# Archives keep what a machine of any byte order reads: little-endian here.
dtypes = boolean_dtypes() | integer_dtypes(endianness="<") | floating_dtypes(endianness="<", sizes=(16, 32, 64))
named_arrays = st.dictionaries(
    st.from_regex(r"[a-z_0-9]{1,8}", fullmatch=True),
    arrays(dtypes, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)),
    max_size=4,
)

WRITERS: dict[str, Callable[[Path], None]] = {
    "bytes": lambda path: files.write_bytes(path, b"new"),
    "text": lambda path: files.write_text(path, "new"),
    "json": lambda path: files.write_json(path, {"new": 1}),
    "csv": lambda path: files.write_csv(path, pd.DataFrame({"new": [1]})),
    "npz": lambda path: files.write_npz(path, {"new": np.arange(3)}),
}


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(json_values)
def test_json_is_read_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    files.write_json(path, value)
    assert files.read_json(path) == value


@given(json_values)
def test_the_order_of_keys_does_not_reach_a_json_file(value: Any) -> None:
    assert files.json_text(reversed_keys(value)) == files.json_text(value)


@given(finite)
def test_a_float_has_its_shortest_exact_form_in_json(value: float) -> None:
    assert files.json_text(value) == f"{value!r}\n"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: {"loss": v}, lambda v: [{"a": [v]}]])
def test_a_number_that_is_not_finite_is_refused_in_json(
    tmp_path: Path, value: float, wrap: Callable[[float], Any]
) -> None:
    path = tmp_path / "value.json"
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, wrap(value))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("value", "written"), [(1.5, 1.5), (math.nan, None), (math.inf, None), (-math.inf, None)])
def test_a_number_that_is_not_finite_becomes_none(value: float, written: float | None) -> None:
    assert files.finite_or_none(value) == written


@given(st.lists(st.tuples(st.floats(allow_nan=True), st.integers(-(2**63), 2**63 - 1), st.booleans()), min_size=1))
def test_a_table_is_read_back_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, int, bool]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "table.csv"
    table = pd.DataFrame(rows, columns=["loss", "seed", "diverged"])
    files.write_csv(path, table)
    pd.testing.assert_frame_equal(files.read_csv(path), table, check_exact=True)


def test_a_table_has_empty_cells_for_missing_values_and_unix_line_ends() -> None:
    table = pd.DataFrame({"loss": [0.1, math.nan, math.inf, -math.inf], "split": list("abcd")})
    assert files.csv_text(table) == "loss,split\n0.1,a\n,b\ninf,c\n-inf,d\n"


@given(named_arrays)
def test_arrays_are_read_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, NDArray[Any]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "arrays.npz"
    files.write_npz(path, content)
    read = files.read_npz(path)
    assert list(read) == sorted(content)
    for name, array in content.items():
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape)
        assert read[name].tobytes() == array.tobytes()


@given(named_arrays)
def test_neither_order_of_names_nor_memory_layout_reach_an_archive(content: dict[str, NDArray[Any]]) -> None:
    rearranged = {name: np.asfortranarray(content[name]) if content[name].ndim else content[name] for name in content}
    assert files.npz_bytes(reversed_keys(rearranged)) == files.npz_bytes(content)


def test_an_archive_holds_no_time_and_is_not_deflated(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    files.write_npz(path, {"b": np.zeros(1000), "a": np.arange(3)})
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    assert [member.filename for member in members] == ["a.npy", "b.npy"]
    for member in members:
        assert member.date_time == (1980, 1, 1, 0, 0, 0)
        assert member.compress_type == zipfile.ZIP_STORED
        assert member.create_system == 3


def test_an_array_of_objects_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        files.write_npz(tmp_path / "arrays.npz", {"a": np.array([{}])})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("writer", WRITERS)
def test_a_writer_makes_the_folders_of_its_file(tmp_path: Path, writer: str) -> None:
    path = tmp_path / "a" / "b" / "file"
    WRITERS[writer](path)
    assert path.is_file()
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("broken", ["fdopen", "replace"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str, broken: str, error: type[BaseException]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, broken, fail)
        with pytest.raises(error):
            WRITERS[writer](path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_of_writers_at_once_each_file_is_of_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [name * 100_000 for name in (b"a", b"b", b"c")]

    def write(content: bytes) -> None:
        for _ in range(50):
            files.write_bytes(path, content)
            assert path.read_bytes() in contents

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, contents))
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_file_that_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for path, reason in {
        tmp_path / "folder": "Is a directory",
        tmp_path / "file" / "a": f"{tmp_path / 'file'}: File exists",
        tmp_path / "file" / "a" / "b": f"{tmp_path / 'file' / 'a'}: Not a directory",
    }.items():
        with pytest.raises(OSError) as caught:
            files.write_text(path, "new")
        assert (caught.value.filename, caught.value.strerror) == (str(path), f"cannot be written: {reason}")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


def test_a_written_file_is_readable_by_all(tmp_path: Path) -> None:
    files.write_text(tmp_path / "file", "new")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_text_keeps_its_line_ends_and_is_utf_8(tmp_path: Path) -> None:
    files.write_text(tmp_path / "file", "a\r\nb\nλ")
    assert (tmp_path / "file").read_bytes() == b"a\r\nb\n\xce\xbb"
