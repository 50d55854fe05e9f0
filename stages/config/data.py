"""The schema of `data` in params.yaml: recipes, and a person's own file."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from stages.config.strict import OR_FRACTION, RefusedError, Strict, chosen_by, matching, quote


def check_distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return `values`, or refuse them if one occurs twice."""
    if len(set(values)) < len(values):
        raise RefusedError(quote(values), "a list in which none occurs twice")
    return values


def _number_of_json(key: Any, information: ValidationInfo) -> Any:
    """Return a key of a JSON object, which is text, as the number that it stands for."""
    return int(key) if information.mode == "json" and isinstance(key, str) and key.isdecimal() else key


DataFile = Annotated[
    str,
    Field(max_length=200),
    matching(
        r"data/(?!prepared/)(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*/)*[A-Za-z0-9_-][A-Za-z0-9_.-]*",
        "the path of a file below data/, not in data/prepared, of letters, digits, _, -, . and /",
    ),
]
# Keras's seeds have 32 bits.
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Class = Annotated[int, Field(ge=0, le=1_000_000), BeforeValidator(_number_of_json)]
Fraction = Annotated[float, Field(ge=0, le=0.999), OR_FRACTION]
Column = Annotated[str, Field(min_length=1, max_length=200)]
Columns = Annotated[tuple[Column, ...], Field(max_length=10_000, strict=False), AfterValidator(check_distinct)]


class MnistData(Strict):
    """MNIST; the validation split is the last `validation_split` of the training examples, as in Keras."""

    splits: ClassVar = ("train", "validation", "test")

    file: DataFile
    recipe: Literal["mnist"]
    validation_split: Annotated[float, Field(ge=0.001, le=0.999), OR_FRACTION]  # both parts have examples


class Exercise4Data(Strict):
    """The course's digits, derived from MNIST: the first `examples_per_class`, resized to `side` pixels."""

    splits: ClassVar = ("train", "test")

    file: DataFile
    recipe: Literal["exercise4"]
    examples_per_class: Annotated[int, Field(ge=1, le=5421)]  # MNIST has 5,421 of its rarest digit, 5
    side: Annotated[int, Field(ge=1, le=28)]


class OwnData(Strict):
    """A person's own file: a table (CSV or Parquet) whose columns `target` are predicted, or arrays (NPZ).

    An NPZ file has the arrays x and y, and may have sample_weight, x_validation, y_validation, x_test, y_test, and
    first weights such as weights/hidden.kernel. `given` names the splits that it has beside train. `test_split` and
    `validation_split` are fractions of the rows: chosen by chance, with `seed`, or the tail of the rows as Keras does
    if `shuffle` is false. The rows of a split keep their order. `sample_weight` is a column of a table; for an NPZ it
    is the name of its array. With `names: hide` columns and classes have numbers instead of names in every result.
    """

    recipe: Literal["own"]
    file: DataFile
    target: Annotated[Columns | None, BeforeValidator(lambda value: [value] if isinstance(value, str) else value)] = (
        None
    )
    drop: Columns = ()
    sample_weight: Column | None = None
    given: Annotated[
        tuple[Literal["validation", "test"], ...], Field(strict=False), AfterValidator(check_distinct)
    ] = ()
    validation_split: Fraction = 0.0
    test_split: Fraction = 0.0
    shuffle: bool = True
    seed: Seed = 0
    names: Literal["show", "hide"] = "show"

    @property
    def splits(self) -> tuple[str, ...]:
        """Return the splits that there will be."""
        made = {"validation": self.validation_split, "test": self.test_split}
        return ("train", *(split for split in ("validation", "test") if made[split] or split in self.given))

    @property
    def is_table(self) -> bool:
        """Return whether the file is a table."""
        return self.file.endswith((".csv", ".parquet"))

    @model_validator(mode="after")
    def _check_file(self) -> Self:
        if not self.file.endswith((".csv", ".parquet", ".npz")):
            raise RefusedError(quote(self.file), "a file that ends in .csv, .parquet or .npz", "file")
        if self.is_table and not self.target:
            raise RefusedError("missing", "the column, or the columns, that the network shall predict", "target")
        if not self.is_table and (self.target or self.drop):
            key = "target" if self.target else "drop"
            raise RefusedError(f"{key} with an NPZ file", "none: its arrays are x and y", key)
        if self.is_table and self.given:
            raise RefusedError(quote(self.given), "none for a table: only an NPZ file has splits", "given")
        used = [*(self.target or ()), *self.drop, *([self.sample_weight] if self.sample_weight else [])]
        if twice := next((column for column in used if used.count(column) > 1), None):
            raise RefusedError(quote(twice), "each column in one of target, drop and sample_weight")
        for split in self.given:
            if getattr(self, f"{split}_split"):
                raise RefusedError(f"{split}_split", f"none, because the file has the split {split}", f"{split}_split")
        if self.validation_split + self.test_split > 0.999:
            raise RefusedError("validation_split and test_split", "less than 1 together", "test_split")
        return self


def _own_without_recipe(value: Any) -> Any:
    return {"recipe": "own", **value} if isinstance(value, Mapping) else value


Data = Annotated[
    MnistData | Exercise4Data | OwnData,
    Field(discriminator="recipe"),
    chosen_by("recipe", MnistData, Exercise4Data, OwnData),
    BeforeValidator(_own_without_recipe),
]


class Subset(Strict):
    """A part of the training split: the first examples of each named class; maps a class to their number."""

    # The training split of MNIST has 60,000 examples.
    first_of_each_class: Annotated[dict[Class, Annotated[int, Field(ge=1, le=60_000)]], Field(min_length=1)]
