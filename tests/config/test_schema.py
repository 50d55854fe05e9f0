"""Refusals of params.yaml: each refusal says where the value stands, what it is, and what is expected."""

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from config.params_content import ABSENT, CONTENT, ROOT, changed, refusal
from stages.config import load
from stages.config.schema import Execution

MNIST = "cases.mnist.as_posted"
WIDER = "cases.mnist.fixes.wider_hidden.set"
FIXED = "cases.mnist.variants.fixed"
ZEROS = "cases.ex4.variants.zeros_10.data.first_of_each_class"
BASELINE = CONTENT["cases"]["ex4"]["baselines"]["logistic_regression"]
ADDRESS = "an address that begins with https:// or http://"
NAME = "a name of at most 64 letters, digits, _ and - that begins with a letter"
DATA_FILE = "the path of a file below data/, not in data/prepared, of letters, digits, _, -, . and /"
ONE_LINE = "text in one line, without control characters"
KEYS = ", ".join(CONTENT["cases"]["mnist"]["as_posted"])
VARIANT_KEYS = "fixes, set, data, seeds, keras"


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("sedes", "seeds, execution, cases"),
        (
            "cases.mnist.dataset",
            "title, source, data, judged_by, keras, as_posted, fixes, variants, baselines, published",
        ),
        ("cases.mnist.data.side", "file, recipe, validation_split"),
        (f"{MNIST}.epoch", KEYS),
        (f"{MNIST}.optimizer.rate", "name, learning_rate"),
        (f"{MNIST}.initializer.limit", "name"),
        (f"{WIDER}.hidden_unit", KEYS),
        ("cases.mnist.fixes.wider_hidden.because", "why, set"),
        (f"{FIXED}.fix", VARIANT_KEYS),
        ("cases.mnist.baselines.logistic_regression.max_iters", "input_scale, C, max_iter, one_vs_all"),
        ("execution.jobs", "backend, workers, scheduler"),
    ],
)
def test_an_unknown_key_is_refused_with_the_keys_that_exist(path: str, keys: str) -> None:
    content = changed(path, 1)
    content["cases"] = content.pop("cases")
    assert refusal(content) == f"{path}: unknown key; expected one of: {keys}"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (f"{MNIST}.epochs", "10", '"10"; expected a whole number'),
        (f"{MNIST}.epochs", True, "true; expected a whole number"),
        (f"{MNIST}.epochs", 10.0, "10.0; expected a whole number"),
        (f"{MNIST}.epochs", 0, "0; expected a number of at least 1"),
        (f"{MNIST}.epochs", 10**7, "10000000; expected a number of at most 1000000"),
        (f"{MNIST}.l2", "0", '"0"; expected a number'),
        (f"{MNIST}.l2", -0.1, "-0.1; expected a number of at least 0"),
        (f"{MNIST}.l2", float("inf"), "Infinity; expected a finite number"),
        (f"{MNIST}.hidden_units", 64, "64; expected a list"),
        (f"{MNIST}.hidden_units", [1] * 33, f"[{'1, ' * 25}1...; expected at most 32 entries"),
        (f"{MNIST}.hidden_units.0", 0, "0; expected a number of at least 1"),
        (
            f"{MNIST}.hidden_units",
            [10_000, 5_000],
            "[10000, 5000] with 57890000 weights; expected units with at most 50000000 weights",
        ),
        (f"{MNIST}.hidden_activation", "gelu", "\"gelu\"; expected 'linear', 'relu', 'sigmoid' or 'tanh'"),
        (f"{MNIST}.output_units", 2, "2; expected 1 or 10"),
        (f"{MNIST}.output_units", True, "true; expected a whole number"),
        ("cases.mnist.keras", [], "[]; expected 1 or more entries"),
        ("cases.mnist.keras.0", 2.2, "2.2; expected '2.2' or '3'"),
        (f"{MNIST}.optimizer", "adam", '"adam"; expected a mapping whose name is one of: sgd, adam, tnc'),
        (f"{MNIST}.optimizer.name", "rmsprop", '"rmsprop"; expected one of: sgd, adam, tnc'),
        (f"{MNIST}.optimizer.learning_rate", 0, "0; expected a number above 0"),
        (f"{MNIST}.optimizer.learning_rate", float("nan"), "NaN; expected a finite number"),
        ("cases", {}, "{}; expected 1 or more entries"),
        ("cases.bad name", CONTENT["cases"]["ex4"], f'"bad name"; expected {NAME}'),
        ("cases.x; rm -r *", CONTENT["cases"]["ex4"], f'"x; rm -r *"; expected {NAME}'),
        ("cases.mnist.title", 5, "5; expected text"),
        ("cases.mnist.title", "a\nb", f'"a\\nb"; expected {ONE_LINE}'),
        ("cases.mnist.title", "\u202eb", f'"\\u202eb"; expected {ONE_LINE}'),
        ("cases.mnist.title", "x" * 401, f'"{"x" * 76}...; expected text of at most 400 characters'),
        (
            "cases.mnist.title",
            "${seeds}",
            '"${seeds}"; expected text without ${, because DVC replaces what begins with it',
        ),
        ("cases.mnist.source", "javascript:alert(1)", f'"javascript:alert(1)"; expected {ADDRESS}'),
        ("cases.mnist.source", "https://u:p@x/", f'"https://u:p@x/"; expected {ADDRESS}'),
        ("cases.mnist.data", "mnist", '"mnist"; expected a mapping whose recipe is one of: mnist, exercise4'),
        ("cases.mnist.data.recipe", "cifar", '"cifar"; expected one of: mnist, exercise4'),
        ("cases.mnist.data.validation_split", 1, "1; expected a number of at most 0.999"),
        ("cases.mnist.data.file", "/etc/passwd", f'"/etc/passwd"; expected {DATA_FILE}'),
        ("cases.mnist.data.file", "data/../x.npz", f'"data/../x.npz"; expected {DATA_FILE}'),
        ("cases.mnist.data.file", "data/prepared/ex4.npz", f'"data/prepared/ex4.npz"; expected {DATA_FILE}'),
        ("cases.ex4.data.side", 29, "29; expected a number of at most 28"),
        ("cases.mnist.judged_by", "test_accuracy", "\"test_accuracy\"; expected 'train' or 'test'"),
        ("cases.mnist.fixes", [], "[]; expected a mapping of keys to values"),
        ("cases.mnist.fixes.-f", {"why": "", "set": {}}, f'"-f"; expected {NAME}'),
        (
            "cases.mnist.baselines.logistic_regression",
            5,
            "5; expected a mapping of the keys input_scale, C, max_iter, one_vs_all",
        ),
        ("cases.mnist.baselines.logistic_regression.one_vs_all", 1, "1; expected true or false"),
        ("cases.ex4.baselines.NaN", BASELINE, '"NaN"; expected another name: readers of CSV do not take NaN for text'),
        (f"{FIXED}.fixes", "scaled_inputs", '"scaled_inputs"; expected a list'),
        (f"{ZEROS}.10", 5, "10; expected a number below 10"),
        (f"{ZEROS}.0", 0, "0; expected a number of at least 1"),
        (f"{ZEROS}.1", 501, "501; expected at most data.examples_per_class, 500"),
        (ZEROS, {"zero": 5}, '"zero"; expected a whole number'),
        (ZEROS, {}, "{}; expected 1 or more entries"),
        ("seeds", [], "[]; expected 1 or more entries"),
        ("seeds", [0, 1, 0], "[0, 1, 0]; expected a list in which none occurs twice"),
        ("seeds.1", -1, "-1; expected a number of at least 0"),
        ("seeds.1", 2**31, "2147483648; expected a number below 2147483648"),
        ("execution.backend", "ray", "\"ray\"; expected 'loky', 'threading' or 'dask'"),
        ("execution.workers", 10**30, f"{10**30}; expected a number of at most 1024"),
        ("execution.scheduler", "tcp://h:1", '"tcp://h:1"; expected none with backend loky: only dask has one'),
    ],
)
def test_a_wrong_value_is_refused_with_its_path_and_what_is_expected(path: str, value: Any, expected: str) -> None:
    place = f"{path}.zero" if value == {"zero": 5} else path
    assert refusal(changed(path, value)) == f"{place}: {expected}"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("seeds", "a list"),
        ("cases", "a mapping of keys to values"),
        ("cases.mnist.title", "text"),
        ("cases.mnist.data", "a mapping whose recipe is one of: mnist, exercise4"),
        (MNIST, f"a mapping of the keys {KEYS}"),
        (f"{MNIST}.epochs", "a whole number"),
        (f"{MNIST}.optimizer", "a mapping whose name is one of: sgd, adam, tnc"),
        (f"{MNIST}.optimizer.name", "one of: sgd, adam, tnc"),
        (f"{MNIST}.optimizer.learning_rate", "a number"),
        ("execution.workers", "a whole number with backend loky"),
    ],
)
def test_a_missing_key_is_refused_with_what_is_expected_for_it(path: str, expected: str) -> None:
    assert refusal(changed(path, ABSENT)) == f"{path}: missing; expected {expected}"


@pytest.mark.parametrize(
    ("settings", "path", "expected"),
    [
        ({"optimizer": {"name": "sgd", "learning_rate": 0}}, ".optimizer.learning_rate", "0; expected a number above"),
        ({"optimizer": {"name": "sgd"}}, ".optimizer.learning_rate", "missing; expected a number"),
        ({"optimizer": {"learning_rate": 0.1}}, ".optimizer.name", "missing; expected one of: sgd, adam, tnc"),
        ({"hidden_units": [8, 0]}, ".hidden_units.1", "0; expected a number of at least 1"),
        ({"output_units": 10}, "", "loss binary_crossentropy with output_units 10; expected binary_crossentropy with"),
        ({"batch_size": None}, "", "batch_size null with optimizer adam; expected batch_size null with optimizer tnc"),
        (
            {"input_scale": 1},
            ".input_scale",
            "1; expected 0.00392156862745098, as fix scaled_inputs sets it: fixes combine in any order",
        ),
    ],
)
def test_an_impossible_fix_is_refused_at_the_key_that_it_sets(
    settings: dict[str, Any], path: str, expected: str
) -> None:
    assert refusal(changed(WIDER, settings)).startswith(f"{WIDER}{path}: {expected}")


def test_fixes_that_are_possible_alone_but_not_together_are_named() -> None:
    content = changed("cases.ex4.fixes.adam.set", {"loss": "summed_binary_crossentropy"})
    problem = "softmax_output and adam together: output_activation softmax with loss summed_binary_crossentropy"
    assert refusal(content) == f"cases.ex4.fixes: {problem}; expected output_activation sigmoid"


def test_an_impossible_network_is_refused_as_posted_and_in_a_variant() -> None:
    expected = "output_activation softmax with loss binary_crossentropy; expected output_activation sigmoid"
    assert refusal(changed(f"{MNIST}.output_activation", "softmax")) == f"{MNIST}: {expected}"
    scaled = "cases.mnist.variants.scaled_inputs.set"
    assert refusal(changed(scaled, {"output_activation": "softmax"})) == f"{scaled}: {expected}"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("variants.as_posted", {}, ": the variant that every case has; expected another name"),
        ("variants.p-12345678", {}, ': "p-12345678"; expected another name: folders of points begin with p-'),
        ("baselines.fixed", BASELINE, ": the name of a variant; expected another name"),
        ("baselines.as_posted", BASELINE, ": the name of a variant; expected another name"),
        ("variants.fixed", {"fixes": ["a"]}, '.fixes: "a"; expected one of: softmax_output, scaled_inputs, wider_hid'),
        ("variants.fixed", {"set": {"epochs": 0}}, ".set.epochs: 0; expected a number of at least 1"),
        (
            "variants.fixed",
            {"seeds": [9, 8]},
            ".seeds: [9, 8]; expected at least one of 0, 1, 2, 3, 4: gains are paired by seed",
        ),
    ],
)
def test_a_variant_or_baseline_that_contradicts_its_case_is_refused(path: str, value: Any, expected: str) -> None:
    place = f"cases.mnist.{path}"
    assert refusal(changed(place, value)).startswith(f"{place}{expected}")


def test_a_variant_may_share_some_seeds_with_as_posted_and_a_subset_none() -> None:
    load.validated(changed(f"{FIXED}.seeds", [4, 9]))
    load.validated(changed("cases.ex4.variants.zeros_10.seeds", [9]))


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("mnist.published.6.of", "svm", '"svm"; expected one of: as_posted, as_posted_90_epochs, '),
        ("mnist.published.6.figure", "recall", '"recall"; expected one of: train_accuracy, train_loss, validation_a'),
        ("mnist.published.6.figure", "gain", '"gain"; expected one of: train_accuracy, train_loss, validation_a'),
        ("mnist.published.0.figure", "test_accuracy", '"test_accuracy"; expected one of: loss, accuracy, validation'),
        ("mnist.published.0.of", "logistic_regression", '"logistic_regression"; expected one of: as_posted, '),
        ("mnist.published.4.from_epoch", 91, "91; expected at most the epochs of as_posted_90_epochs, 90"),
        ("ex4.published.0.figure", "validation_accuracy", '"validation_accuracy"; expected one of: train_accuracy, '),
        ("ex4.published.1.figure", "test_accuracy", '"test_accuracy"; expected one of: train_accuracy, train_loss, f'),
        ("ex4.published.1.figure", "gain", '"gain"; expected one of: train_accuracy, train_loss, final_loss'),
    ],
)
def test_a_published_number_without_a_measured_one_is_refused(path: str, value: Any, expected: str) -> None:
    assert refusal(changed(f"cases.{path}", value)).startswith(f"cases.{path}: {expected}")


def test_cases_must_be_the_last_key() -> None:
    content = {"cases": CONTENT["cases"], **CONTENT}
    content["seeds"] = content.pop("seeds")
    expected = "seeds: after cases; expected cases as the last key, so that a case can be added at the end of the file"
    assert refusal(content) == expected


def test_the_execution_that_the_documentation_shows_is_accepted() -> None:
    text = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    lines = re.findall(r"^execution: .*$", text, re.MULTILINE)
    assert lines
    for line in lines:
        Execution.model_validate(YAML(typ="safe").load(line)["execution"])


def test_a_cluster_may_have_an_address_but_no_number_of_workers() -> None:
    for address in ({}, {"scheduler": "tcp://host:8786"}):
        Execution.model_validate({"backend": "dask", **address})
    assert refusal(changed("execution.backend", "dask")) == (
        "execution.workers: 2; expected none with backend dask: a cluster has its own"
    )
