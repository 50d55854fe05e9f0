"""A person's own table or arrays become data to train on, or are refused in one line that shows no value."""

import gzip
import io
import os
import pickle
import re
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.base.errors import UserError
from stages.config.data import OwnData
from stages.config.schema import Task
from stages.data import own, prepared, splits, tables
from stages.data.prepared import Prepared

SECRET = "Winterbottom"
NPZ = Path("data/own/a.npz")
# Without the time of compression: its bytes name tests, and all workers must collect the same names.
ZIPPED = gzip.compress(b"age,sick\n1,0\n2,1\n", mtime=0)
READ_PARQUET = pd.read_parquet


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data/own").mkdir(parents=True)


def settings(file: str, **more: Any) -> OwnData:
    return OwnData.model_validate({"recipe": "own", "file": f"data/own/{file}", **more})


def of_table(text: str, task: Task = "binary", **more: Any) -> tuple[Prepared, list[str]]:
    Path("data/own/a.csv").write_text(text, encoding="utf-8")
    return own.prepare(settings("a.csv", **{"target": "sick", **more}), task)


def of_arrays(arrays: dict[str, Any], task: Task = "multiclass", **more: Any) -> Prepared:
    np.savez(NPZ, **arrays)
    return own.prepare(settings("a.npz", **more), task)[0]


def rows(n: int) -> str:
    """Return a table whose input is the number of the row."""
    return "age,sick\n" + "".join(f"{row},{row % 2}\n" for row in range(n))


def test_a_table_becomes_inputs_by_name_and_classes_with_their_values() -> None:
    data, said = of_table("age,id,sick\n31,7,2\n40.5,8,5\n")
    assert said == []
    assert data.x["train"].tolist() == [[31.0, 7.0], [40.5, 8.0]]
    assert data.x["train"].dtype == np.float32
    assert (data.y["train"].tolist(), data.y["train"].dtype.name) == ([0, 1], "uint8")
    assert (data.facts.features, data.facts.classes, data.facts.model_dump()["values"]) == (
        ["age", "id"],
        ["2", "5"],
        [2.0, 5.0],
    )
    assert data.given("train").tolist() == [[2.0], [5.0]]  # as Keras sees the column


def test_a_column_of_text_becomes_a_column_per_value_and_the_stage_says_so() -> None:
    data, said = of_table("sex,age,sick\nf,1,yes\nm,2,no\nf,3,no\n")
    assert said == ["column sex is text and becomes 2 columns of 0 and 1"]
    assert data.facts.features == ["age", "sex: value 1", "sex: value 2"]
    assert data.x["train"].tolist() == [[1, 1, 0], [2, 0, 1], [3, 1, 0]]
    assert (data.facts.classes, data.facts.model_dump()["values"], data.y["train"].tolist()) == (
        ["no", "yes"],
        None,
        [1, 0, 0],
    )


def test_dropped_columns_may_have_anything_and_a_column_may_weigh_the_rows() -> None:
    data, _ = of_table("name,w,age,sick\n,0.5,1,0\nb,2,2,1\n", drop=["name"], sample_weight="w")
    assert data.facts.features == ["age"]
    assert data.sample_weight is not None
    assert data.sample_weight.tolist() == [0.5, 2.0]


@pytest.mark.parametrize(("task", "dtype"), [("regression", "float64"), ("multilabel", "uint8")])
def test_several_columns_may_be_the_target(task: Task, dtype: str) -> None:
    data, _ = of_table("a,sick,old\n1,0,1\n2,1,1\n", task, target=["sick", "old"])
    assert (data.y["train"].tolist(), data.y["train"].dtype.name) == ([[0, 1], [1, 1]], dtype)
    assert data.facts.classes == ["sick", "old"]


def test_a_parquet_file_gives_the_data_of_the_same_csv_file() -> None:
    text = "sex,age,sick\nf,1,yes\nm,2,no\n"
    of_csv, said = of_table(text)
    frame = pd.read_csv(Path("data/own/a.csv"))
    frame.to_parquet("data/own/a.parquet")
    of_parquet, also_said = own.prepare(settings("a.parquet", target="sick"), "binary")
    assert (of_csv.facts, said) == (of_parquet.facts, also_said)
    assert np.array_equal(of_csv.x["train"], of_parquet.x["train"])


def test_hidden_names_are_numbers() -> None:
    text = "diagnosis,age,sick\nflu,1,ill\ncold,2,well\n"
    facts = of_table(text, names="hide")[0].facts
    assert facts.hidden
    assert (facts.features, facts.classes) == (["input 0", "input 1", "input 2"], ["class 0", "class 1"])
    facts = of_table("a,sick\n1,2\n2,3\n", "regression", names="hide")[0].facts
    assert (facts.features, facts.classes) == (["input 0"], ["target 0"])


def test_arrays_keep_their_shape_and_bytes_and_may_have_splits_weights_and_first_weights() -> None:
    arrays = {"x": np.zeros((3, 2, 2), np.uint8), "y": np.array([7, 9, 9]), "sample_weight": np.ones(3)}
    arrays |= {"x_test": np.ones((1, 2, 2), np.uint8), "y_test": np.array([9]), "weights/hidden.kernel": np.eye(2)}
    data = of_arrays(arrays, given=["test"])
    assert {split: (x.shape, x.dtype.name) for split, x in data.x.items()} == {
        "train": ((3, 2, 2), "uint8"),
        "test": ((1, 2, 2), "uint8"),
    }
    assert {split: y.tolist() for split, y in data.y.items()} == {"train": [0, 1, 1], "test": [1]}
    assert data.given("test").tolist() == [9.0]
    assert data.first_weights["hidden.kernel"].dtype == np.float32
    prepared.write(Path("data/prepared/a.npz"), data)
    assert prepared.read(Path("data/prepared/a.npz")).given("train").tolist() == [7.0, 9.0, 9.0]


def test_one_hot_columns_are_classes() -> None:
    data = of_arrays({"x": np.zeros((2, 1)), "y": np.array([[0, 0, 1], [1, 0, 0]])})
    assert (data.y["train"].tolist(), data.n_classes, data.facts.model_dump()["values"]) == ([2, 0], 3, None)
    assert data.given("train").tolist() == [[0, 0, 1], [1, 0, 0]]


@given(st.integers(50, 400), st.integers(0, 40), st.integers(0, 40), st.booleans())
def test_every_row_is_in_one_split_in_the_order_of_the_file(n: int, validation: int, test: int, shuffle: bool) -> None:
    fractions = {"validation_split": validation / 100, "test_split": test / 100}
    parts = splits.rows_of_splits(n, settings("a.csv", target="a", shuffle=shuffle, seed=3, **fractions))
    assert list(parts) == ["train", *(split for split in ("validation", "test") if fractions[f"{split}_split"])]
    assert sorted(np.concatenate(list(parts.values()))) == list(range(n))
    assert all((np.diff(part) > 0).all() for part in parts.values())
    for split, percent in (("validation", validation), ("test", test)):
        if percent:
            assert abs(len(parts[split]) - n * percent / 100) < 2
    if not shuffle:
        assert np.concatenate(list(parts.values())).tolist() == list(range(n))


@given(st.integers(50, 2000), st.floats(0.05, 0.95))
def test_the_tail_of_the_rows_is_the_validation_split_of_keras(n: int, fraction: float) -> None:
    parts = splits.rows_of_splits(n, settings("a.csv", target="a", shuffle=False, validation_split=fraction))
    assert parts["train"].tolist() == list(range(int(n * (1 - fraction))))


def test_a_shuffled_split_depends_on_the_seed_alone() -> None:
    chosen = [of_table(rows(60), test_split=0.5, seed=seed)[0].x["test"].ravel().tolist() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    data = of_table(rows(60), test_split=0.5)[0]
    assert all(np.array_equal(data.x[split].ravel() % 2, data.y[split]) for split in ("train", "test"))


def test_fewer_than_50_rows_are_scored_on_training_and_the_stage_says_so() -> None:
    for n, expected in ((2, ["train"]), (49, ["train"]), (50, ["train", "test"])):
        data, said = of_table(rows(n), test_split=0.2)
        assert list(data.x) == list(data.y) == expected
        assert said == [f"{n} rows are too few to split; networks are scored on the rows that they learn"][: n < 50]


@pytest.mark.tried("own data")
def test_a_split_without_rows_is_refused_with_what_to_change() -> None:
    for fractions, expected in (
        ({"test_split": 0.999}, "train; expected smaller fractions of the others"),
        ({"test_split": 0.99, "validation_split": 0.005}, "train; expected smaller fractions of the others"),
    ):
        with pytest.raises(UserError, match=rf"^data/own/a.csv: 50 rows leave none for the split {expected}$"):
            of_table(rows(50), "binary", **fractions)


def many(text: str) -> str:
    return "a,sick\n" + "".join(f"{text}{row},{row % 2}\n" for row in range(1001))


@pytest.mark.tried("own data")
@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        (
            "age,sick\n1,0\n,1\n",
            {},
            "column age has 1 missing values of 2, the first in row 2; fill them or drop their",
        ),
        ("age,sick\n1,\n2,1\n", {}, "column sick has 1 missing values of 2, the first in row 1; "),
        (f"age,name\n1,{SECRET}\n", {}, "line 1: no column sick among 2; expected its name there"),
        (f"1,{SECRET}\n2,{SECRET}\n", {}, "no column sick, and the first line has numbers; expected a header of names"),
        ("sick,age\n", {}, "no rows; expected a header and a row per example"),
        ("", {}, "No columns to parse from file; expected a table with one header"),
        ("sick\n0\n1\n", {}, "no column is left for the inputs; expected at least one beside the target"),
        ("age,sick\n1,0\n2,0\n", {}, "the training examples are of one class; expected at least two"),
        (f"age,sick\n1,{SECRET}\n2,{SECRET}\n", {}, "the training examples are of one class; expected at least two"),
        ("age,sick\n1,0\n2,1\n3,2\n", {}, "the target has 3 classes; expected at most 2 with task binary"),
        ("age,sick\n1,0.5\n2,1\n", {}, "the target has fractions; expected classes, or task: regression"),
        ("age,sick\n1,inf\n2,1\n", {}, "the target has values that are not finite; expected classes"),
        (f"age,sick\n1,{SECRET}\n2,1\n", {"task": "regression"}, "the target is not of numbers; expected numbers"),
        ("age,sick\n1,2\n2,1\n", {"task": "multilabel"}, "the target is not of columns of 0 and 1; expected a column"),
        ("a,sick,b\n1,1,1\n2,0,1\n", {"target": ["sick", "b"]}, "2 columns as target of a binary task; expected a sin"),
        (
            "age,sick\n1e39,0\n2,1\n",
            {},
            "row 1 of column age is not finite in float32; expected finite numbers; mend or",
        ),
        (f"age,w,sick\n1,{SECRET},0\n2,b,1\n", {"sample_weight": "w"}, "sample_weight is not of numbers; expected num"),
        (f"age,sick\n{SECRET},1,0\nb,2,1\n", {}, "the rows have more fields than the header; expected a name for each"),
        (f"age,sick\n1,0\n2,1,{SECRET}\n", {}, "Error tokenizing data. C error: Expected 2 fields in line 3, saw 3; "),
        (many(SECRET), {}, "column a is text with 1001 different values; expected at most 1000; name the column under"),
        (
            f'"\x1bsick",c\n1,{SECRET}\n',
            {},
            "line 1: no column sick among 2; expected its name there; did you mean \\x1bsick?",
        ),
        (f"{SECRET},{SECRET}s\nb,c\n", {"names": "hide"}, "line 1: no column sick among 2; expected its name there"),
        ("age,sick,age\n1,0,2\n", {}, "line 1: columns 1 and 3 have the name age; expected different names"),
        ("age,sick,sick\n1,0,0\n", {"names": "hide"}, "line 1: columns 2 and 3 have the same name; expected different"),
        (
            "caf\u00e9,cafe\u0301,sick\n1,2,0\n",
            {},
            "line 1: columns 1 and 2 have the name caf\u00e9; expected different",
        ),
        (",sick\n0,0\n1,1\n", {}, "line 1: column 1 has no name; expected a name for each column; write one there, or"),
        ("age;sick\n1,5;0\n", {}, "line 1: no comma; expected fields that are separated by commas, and 1.5 instead of"),
        (
            'age,sick\n"1,5",0\n"2,5",1\n',
            {},
            "column age has 2 numbers among 2 different values, but is read as text; ",
        ),
        (f"age,sick\n1,0\n2,1\n{9 * SECRET},1\n", {}, "column age has 2 numbers among 3 different values, but is read"),
        ("age,sick\n" + 30 * "9" + ",0\n2,1\n", {}, "column age has 2 numbers among 2 different values, but is read"),
        (
            "age,sick\n1,0\n2\n",
            {},
            "column sick has 1 missing values of 2, the first in row 2; fill them or drop their",
        ),
        ("age,sick\n1\0,0\n2,1\n", {}, "line 2: a byte of 0; expected text in UTF-8; save the table as UTF-8"),
        (f'age,sick\n1,0\n"{SECRET},1\n', {}, "Error tokenizing data. C error: EOF inside string starting at row 2; "),
        ("age,sick\n1,caf\u00e9\n2,cafe\u0301\n", {}, "two classes of the target look the same, because accents are"),
        (f"a,sick\n{SECRET},0\n,1\n", {"names": "hide"}, "column 1 has 1 missing values of 2, the first in row 2; "),
    ],
)
def test_a_table_that_cannot_be_trained_on_is_refused_in_a_line_without_values(
    text: str, more: dict[str, Any], expected: str
) -> None:
    with pytest.raises(UserError) as caught:
        of_table(text, **more)
    message = str(caught.value)
    assert message.startswith(f"data/own/a.csv: {expected}")
    assert SECRET not in message
    assert message.isprintable()


@pytest.mark.tried("own data")
def test_more_numbers_than_memory_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "MOST_CELLS", 59)
    with pytest.raises(
        UserError, match=r": 60 rows of 1 inputs are too many; expected at most 59 numbers; keep a part"
    ):
        of_table(rows(60))


@pytest.mark.tried("own data")
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("age,sick\nMüller,1\n".encode("latin-1"), "line 2: byte 0xfc is not UTF-8; save the table as UTF-8"),
        ("age,sick\n1,0\n".encode("utf-16"), "the file is in UTF-16; expected a table as text in UTF-8"),
        (ZIPPED, "the file is compressed by gzip; expected a table as text in UTF-8"),
        (b"PK\3\4", "the file is a ZIP archive or a workbook; expected a table as text in UTF-8"),
        (b"PAR1", "the file is a Parquet file; expected a table as text in UTF-8"),
        (bytes(100), "line 1: a byte of 0; expected text in UTF-8"),
        (b"\n\n", "No columns to parse from file; expected a table with one header"),
    ],
)
def test_bytes_that_are_no_table_are_refused_with_their_line(content: bytes, expected: str) -> None:
    Path("data/own/a.csv").write_bytes(content)
    with pytest.raises(UserError, match=rf"^data/own/a.csv: {re.escape(expected)}"):
        own.prepare(settings("a.csv", target="sick"), "binary")


@pytest.mark.tried("own data")
@pytest.mark.parametrize(
    ("bad", "mended"),
    [
        ("age,sick\nMü,1\nb,0\n".encode("latin-1"), "age,sick\nMü,1\nb,0\n".encode()),
        ("age,sick\n1,0\n2,1\n".encode("utf-16"), b"age,sick\n1,0\n2,1\n"),
        (ZIPPED, b"age,sick\n1,0\n2,1\n"),
        (b"age;sick\n1,5;0\n2,5;1\n", b"age,sick\n1.5,0\n2.5,1\n"),
        (b"age,age,sick\n1,2,0\n2,3,1\n", b"age,age2,sick\n1,2,0\n2,3,1\n"),
        (b",sick\n1,0\n2,1\n", b"age,sick\n1,0\n2,1\n"),
        (b"age,sick\n1,0\n,1\n3,1\n", b"age,sick\n1,0\n3,1\n"),
        (b"age,sick\ninf,0\n2,1\n3,0\n", b"age,sick\n2,1\n3,0\n"),
        (b'age,sick\n"1,000",0\n2,1\n', b"age,sick\n1000,0\n2,1\n"),
    ],
)
def test_what_a_refusal_says_mends_the_table(bad: bytes, mended: bytes) -> None:
    Path("data/own/a.csv").write_bytes(bad)
    with pytest.raises(UserError):
        own.prepare(settings("a.csv", target="sick"), "binary")
    Path("data/own/a.csv").write_bytes(mended)
    assert len(own.prepare(settings("a.csv", target="sick"), "binary")[0].x["train"]) == 2


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffage,sick\n1,no\n2,yes\n",
        "age,sick\r\n1,no\r\n2,yes\r\n",
        "age,sick\r1,no\r2,yes\r",
        '"age" , sick \n1,no\n2,yes\n'.replace(" ", ""),
        "\n\nage,sick\n1,no\n\n2,yes\n",
    ],
)
def test_a_byte_order_mark_every_end_of_line_quotes_and_empty_lines_are_read(text: str) -> None:
    Path("data/own/a.csv").write_bytes(text.encode())
    data, _ = own.prepare(settings("a.csv", target="sick"), "binary")
    assert (data.facts.features, data.facts.classes, data.x["train"].tolist()) == (["age"], ["no", "yes"], [[1], [2]])


def test_names_may_be_anything_and_an_unnamed_column_can_be_dropped() -> None:
    data, _ = of_table('"a,b","c""d","e\nf",<b>,😀,=cmd|x,sick\n1,2,3,4,5,6,=A1\n1,2,3,4,5,6,<i>\n')
    assert data.facts.features == ["a,b", 'c"d', "e\nf", "<b>", "😀", "=cmd|x"]
    assert data.facts.classes == ["<i>", "=A1"]
    # What the refusal of a column without a name says.
    assert of_table(",age,sick\n0,1,0\n1,2,1\n", drop=["Unnamed: 0"])[0].facts.features == ["age"]


def test_a_wide_table_works() -> None:
    names = [f"c{place}" for place in range(2000)]
    header, row = ",".join(names), ",".join("1" for _ in names)
    assert of_table(f"{header},sick\n{row},0\n{row},1\n")[0].facts.features == names


@pytest.mark.tried("own data")
@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (
            [[1, 2], [3, 4]],
            "column a has lists, structures or bytes; expected numbers or text; split it, or name it und",
        ),
        ([{"n": SECRET}, {"n": "b"}], "column a has lists, structures or bytes"),
        ([b"\xff", b"b"], "column a has lists, structures or bytes"),
    ],
)
def test_nested_columns_are_refused_as_inputs_and_as_targets(column: list[Any], expected: str) -> None:
    pd.DataFrame({"a": column, "sick": [0, 1], "b": [1, 2]}).to_parquet("data/own/a.parquet")
    for more in ({"target": "sick"}, {"target": "a"}):
        with pytest.raises(UserError, match=rf"^data/own/a.parquet: {expected}"):
            own.prepare(settings("a.parquet", **more), "binary")
    # What the refusal says.
    data, _ = own.prepare(settings("a.parquet", target="sick", drop=["a"]), "binary")
    assert data.facts.features == ["b"]


def test_decimals_are_numbers_and_times_are_no_targets() -> None:
    frame = pd.DataFrame({"a": [Decimal("1.5"), Decimal(2)], "sick": pd.to_datetime(["2020-01-01", "2020-01-02"])})
    frame.assign(sick=[0, 1]).to_parquet("data/own/a.parquet")
    assert own.prepare(settings("a.parquet", target="sick"), "binary")[0].x["train"].tolist() == [[1.5], [2]]
    frame.to_parquet("data/own/a.parquet")
    for task in ("binary", "regression"):
        with pytest.raises(UserError, match=r"^data/own/a.parquet: the target has .*; expected "):
            own.prepare(settings("a.parquet", target="sick"), task)


@pytest.mark.tried("own data")
@pytest.mark.parametrize("content", [b"age,sick", b"PAR1", b"PARE" + bytes(60) + b"\x10\0\0\0PARE"])
def test_a_parquet_file_that_is_cut_off_or_encrypted_is_refused(content: bytes) -> None:
    Path("data/own/a.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"^data/own/a.parquet: .*; expected a table with one header$"):
        own.prepare(settings("a.parquet", target="sick"), "binary")


@pytest.mark.tried("own data")
def test_files_beyond_the_limits_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pd, "read_csv", None)
    monkeypatch.setattr(pd, "read_parquet", None)
    monkeypatch.setattr(tables, "MOST_BYTES", 10)
    with pytest.raises(UserError, match=r": the table has 0 MB; expected at most 0 MB; keep a part of the rows, or"):
        of_table("age,sick\n1,0\n2,1\n")
    # What the refusal says, as far as the limit of a Parquet file allows.
    pd.DataFrame({"a": [1, 2], "sick": [0, 1]}).to_parquet("data/own/a.parquet")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pd, "read_parquet", READ_PARQUET)
        own.prepare(settings("a.parquet", target="sick"), "binary")
    monkeypatch.setattr(tables, "MOST_CELLS", 3)
    with pytest.raises(
        UserError, match=r": the table has 2 rows of 2 columns; expected at most 3 numbers; keep a part"
    ):
        own.prepare(settings("a.parquet", target="sick"), "binary")
    monkeypatch.setattr(own, "MOST_BYTES", 10)
    with pytest.raises(UserError, match=r": the arrays have 0 MB; expected at most 0 MB; keep a part of the rows, or"):
        of_arrays({"x": X, "y": Y})


@pytest.mark.tried("own data")
def test_a_file_that_changes_while_it_is_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    read = pd.read_csv

    def read_and_append(path: Path, **more: Any) -> pd.DataFrame:
        frame: pd.DataFrame = read(path, **more)
        with path.open("a") as file:
            file.write("3,0\n")
        return frame

    monkeypatch.setattr(pd, "read_csv", read_and_append)
    with pytest.raises(
        UserError, match=r"^data/own/a.csv: the file changed while it was read; .*; enter `dvc repro` ag"
    ):
        of_table("age,sick\n1,0\n2,1\n")
    # What the refusal says: once nothing writes, the same works.
    monkeypatch.setattr(pd, "read_csv", read)
    assert len(own.prepare(settings("a.csv", target="sick"), "binary")[0].x["train"]) == 3


@pytest.mark.tried("own data")
@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_file_is_refused_without_being_read(kind: str) -> None:
    path = Path("data/own/b.csv")
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(UserError, match=r"^data/own/b.csv is a folder or a device; expected a file with the data of"):
        own.prepare(settings("b.csv", target="sick"), "binary")


def test_a_missing_file_is_named() -> None:
    Path("data/own/b.csv").symlink_to("nowhere")
    with pytest.raises(
        UserError, match=r"^data/own/b.csv is missing; expected the data of the case, as data.file says$"
    ):
        own.prepare(settings("b.csv", target="sick"), "binary")


X, Y = np.zeros((2, 3)), np.array([0, 1])


@pytest.mark.tried("own data")
@pytest.mark.parametrize(
    ("arrays", "more", "expected"),
    [
        ({"y": Y}, {}, "no array x; expected it beside the arrays y"),
        ({"x": X, "y": Y}, {"given": ["test"]}, "no array x_test; expected it beside the arrays x, y"),
        ({"x": X, "y": Y[:1]}, {}, "x is [2, 3] and y is [1]; expected a row per example, [n, features], and [n] or"),
        ({"x": X[0], "y": Y}, {}, "x is [3] and y is [2]; expected a row per example"),
        ({"x": X, "y": Y, "x_test": X[:, :2], "y_test": Y}, {"given": ["test"]}, "x_test is [2, 2]; expected examples"),
        ({"x": X + np.nan, "y": Y}, {}, "an input has values that are not finite in float32; expected finite numbers"),
        ({"x": np.full((2, 3), SECRET), "y": Y}, {}, "an input is not of numbers; expected numbers"),
        ({"x": X, "y": Y + np.nan}, {}, "the target has values that are not finite; expected classes"),
        ({"x": X, "y": Y}, {"sample_weight": "w"}, "no array w; expected it, as data.sample_weight says"),
        ({"x": X, "y": Y, "sample_weight": np.ones(3)}, {}, "sample_weight is [3]; expected [2], one per row"),
        ({"x": X + 1j, "y": Y}, {}, "an input has complex128; expected real numbers"),
        ({"x": X.astype("M8[s]"), "y": Y}, {}, "an input has datetime64[s]; expected real numbers"),
        ({"x": X, "y": Y + 1j}, {}, "the target has complex numbers, times or structures; expected numbers or texts"),
        ({"x": X, "y": np.array([b"\xff", b"a"])}, {}, "the target has bytes that are not ASCII; expected texts as cl"),
        ({"x": X[:, :0], "y": Y}, {}, "x is [2, 0] and y is [2]; expected a row per example"),
        ({"x": X, "y": X[:, :0]}, {}, "x is [2, 3] and y is [2, 0]; expected a row per example"),
        ({"x": X, "y": X, "x_test": X, "y_test": Y}, {"given": ["test"]}, "y_test is [2]; expected the columns of y"),
        ({"x": X, "y": np.array([SECRET, "b", "c", "d"])[:2].reshape(1, 2)}, {}, "x is [2, 3] and y is [1, 2]; expect"),
        (
            {"x": np.array([[SECRET, None]], object), "y": Y},
            {},
            "not an archive of arrays of numbers or text; expected",
        ),
    ],
)
def test_arrays_that_cannot_be_trained_on_are_refused_in_a_line_without_values(
    arrays: dict[str, Any], more: dict[str, Any], expected: str
) -> None:
    with pytest.raises(UserError) as caught:
        of_arrays(arrays, **more)
    assert str(caught.value).startswith(f"data/own/a.npz: {expected}")
    assert SECRET not in str(caught.value)


@pytest.mark.tried("own data")
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"\x93NUMPY", b"x,y\n1,2\n", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_archive_of_arrays_is_refused(content: bytes) -> None:
    NPZ.write_bytes(content)
    with pytest.raises(UserError, match=r"^data/own/a.npz: (not an archive of arrays|no array x)"):
        own.prepare(settings("a.npz"), "binary")


class Pickled:
    """An object that writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("unpickled"),)


def header(shape: tuple[int, ...]) -> bytes:
    """Return the beginning of an array in a NPY file, without its numbers."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize(
    "member",
    [pickle.dumps(Pickled()), header((10**6, 10**6)), header((2**40, 2**40)), header((-1, 3)), header((2, 3))],
    ids=["pickle", "8 TB", "overflow", "negative", "cut off"],
)
def test_archives_are_never_unpickled_and_need_no_more_memory_than_they_have_bytes(member: bytes) -> None:
    for name in ("x.npy", "x"):
        with zipfile.ZipFile(NPZ, "w") as packed:
            packed.writestr(name, member)
        with pytest.raises(UserError, match=r"^data/own/a.npz: not an archive of arrays"):
            own.prepare(settings("a.npz"), "binary")
    pickled = np.empty(1, object)
    pickled[0] = Pickled()
    with pytest.raises(UserError, match=r"^data/own/a.npz: not an archive of arrays"):
        of_arrays({"x": pickled, "y": Y})
    assert not Path("unpickled").exists()


@pytest.mark.tried("own data")
def test_a_single_array_is_refused() -> None:
    with NPZ.open("wb") as file:
        np.save(file, X)
    with pytest.raises(UserError, match=r"^data/own/a.npz: not an archive of arrays"):
        own.prepare(settings("a.npz"), "binary")


def test_texts_in_one_split_and_numbers_in_another_are_texts_in_both() -> None:
    arrays = {"x": X, "y": np.array(["0", "b"]), "x_test": X, "y_test": Y}
    assert of_arrays(arrays, given=["test"]).facts.classes == ["0", "1", "b"]
