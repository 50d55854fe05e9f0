"""Refusals of params.yaml: each refusal says where the value stands, what it is, and what is expected."""

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from config.params_content import ABSENT, CONTENT, ROOT, changed, refusal
from stages.config import load, names
from stages.config.network import PostedNetwork
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
KEYS = ", ".join(PostedNetwork.model_fields)
ADAM = ", ".join(names.described()["optimizers"]["adam"])
LAYERS = f"{MNIST}.layers"
RECIPES = "mnist, exercise4, own"
RATE = "a number above 0, or a schedule: a mapping of name and settings"
SAMPLE = "{hidden: {units: 64, activation: relu}, output: {units: 10, activation: softmax}}"
OPTIMIZER = "a name, or a mapping of name and settings, such as {name: adam, learning_rate: 0.001}"
VARIANT_KEYS = "fixes, set, data, seeds, keras"


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("sedes", "seeds, execution, cases"),
        (
            "cases.mnist.dataset",
            "title, source, task, data, judged_by, keras, as_posted, fixes, search, variants, baselines, published",
        ),
        ("cases.mnist.data.side", "file, recipe, validation_split"),
        (f"{MNIST}.epoch", KEYS),
        (f"{MNIST}.optimizer.rates", ADAM),
        (f"{LAYERS}.hidden.limit", ", ".join(names.described()["layers"]["Dense"])),
        ("cases.mnist.fixes.wider_hidden.because", "why, source, set, multiply, insert, remove"),
        (f"{FIXED}.fix", VARIANT_KEYS),
        ("cases.mnist.baselines.logistic_regression.max_iters", "model, inputs, C, max_iter, one_vs_all"),
        ("execution.jobs", "backend, workers, scheduler"),
    ],
)
def test_an_unknown_key_is_refused_with_the_keys_that_exist(path: str, keys: str) -> None:
    content = changed(path, 1)
    content["cases"] = content.pop("cases")
    assert re.sub(r" \(did you mean \w+\?\)", "", refusal(content)) == f"{path}: unknown key; expected one of: {keys}"


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("sedes", "seeds"),
        (f"{MNIST}.epoch", "epochs"),
        (f"{MNIST}.optimizer.learning_rat", "learning_rate"),
        (f"{LAYERS}.hidden.activatoin", "activation"),
        ("cases.mnist.data.validation_splt", "validation_split"),
    ],
)
def test_a_slip_of_the_pen_is_answered_with_the_word_that_was_meant(path: str, meant: str) -> None:
    content = changed(path, 1)
    content["cases"] = content.pop("cases")
    assert refusal(content).startswith(f"{path}: unknown key (did you mean {meant}?); expected one of: ")


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (f"{MNIST}.epochs", "10", '"10"; expected a whole number, such as 10'),
        (f"{MNIST}.epochs", [10], "[10]; expected a whole number, such as 10"),
        (f"{MNIST}.epochs", True, "true; expected a whole number"),
        (f"{MNIST}.epochs", 10.0, "10.0; expected a whole number, such as 10"),
        (f"{MNIST}.epochs", 0, "0; expected a number of at least 1"),
        (f"{MNIST}.epochs", 10**7, "10000000; expected a number of at most 1000000"),
        (f"{LAYERS}.hidden.l2", "0", '"0"; expected a number of at least 0, such as 0'),
        (f"{LAYERS}.hidden.l2", -0.1, "-0.1; expected a number of at least 0"),
        (f"{LAYERS}.hidden.l2", float("inf"), "Infinity; expected a number of at least 0"),
        (f"{LAYERS}.hidden", 64, "64; expected a mapping of the settings of a layer, such as {units: 64}"),
        (LAYERS, 64, f"64; expected a mapping of names to layers, such as {SAMPLE}"),
        (LAYERS, {"flat": {"layer": "Flatten"}}, "no Dense layer; expected at least one"),
        (f"{LAYERS}.hidden.units", 0, "0; expected a whole number of at least 1 and at most 16384"),
        (
            LAYERS,
            {"a": {"units": 10_000}, "b": {"units": 5_000}},
            "layers with 57840000 weights; expected units with at most 50000000 weights",
        ),
        (f"{LAYERS}.output.units", True, "true; expected a whole number of at least 1 and at most 16384"),
        (f"{MNIST}.inputs", "scaled", '"scaled"; expected one of: raw, standardized, or {scale: factor}'),
        (f"{MNIST}.targets", 1, "1; expected one of: raw, integer, one_hot, standardized, or {scale: 1}"),
        (f"{MNIST}.class_weight", {0: -1}, '{"0": -1.0}; expected weights of at least 0, by class'),
        (f"{MNIST}.shuffle", 1, "1; expected one of: true, false, batches, or {buffer: examples}"),
        (f"{MNIST}.early_stopping", 3, "3; expected null, or a mapping of settings, such as {patience: 5}"),
        ("cases.mnist.keras", [], "[]; expected 1 or more entries"),
        ("cases.mnist.keras.0", 2.2, "2.2; expected '2.2' or '3', such as \"2.2\""),
        ("cases.mnist.keras", 2.2, '2.2; expected a list, such as ["2.2"]'),
        (f"{MNIST}.optimizer", 5, f"5; expected {OPTIMIZER}"),
        (f"{MNIST}.optimizer.learning_rate", 0, f"0; expected {RATE}"),
        (f"{MNIST}.optimizer.learning_rate", float("nan"), f"NaN; expected {RATE}"),
        ("cases.mnist.task", "binary", '"binary"; expected multiclass with the recipe mnist'),
        (
            "cases.mnist.task",
            "clustering",
            "\"clustering\"; expected 'binary', 'multiclass', 'multilabel' or 'regression'",
        ),
        ("cases.ex4.judged_by", "validation", '"validation"; expected one of: train, test'),
        ("cases", {}, "{}; expected 1 or more entries"),
        ("cases.bad name", CONTENT["cases"]["ex4"], f'"bad name"; expected {NAME}, such as bad_name'),
        ("cases.mnist.variants.lr-0:01", {}, f'"lr-0:01"; expected {NAME}, such as lr-0_01'),
        ("cases.mnist.variants.2_layers", {}, f'"2_layers"; expected {NAME}, such as with_2_layers'),
        ("cases.x; rm -r *", CONTENT["cases"]["ex4"], f'"x; rm -r *"; expected {NAME}, such as x_rm_-r'),
        ("cases.mnist.title", 5, '5; expected text, such as "5"'),
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
        ("cases.mnist.data", "mnist", '"mnist"; expected a mapping whose recipe is one of: mnist, exercise4, own'),
        ("cases.mnist.data.recipe", "cifar", '"cifar"; expected one of: mnist, exercise4, own'),
        ("cases.mnist.data.validation_split", 1, "1; expected a number of at most 0.999"),
        ("cases.mnist.data.file", "/etc/passwd", f'"/etc/passwd"; expected {DATA_FILE}'),
        ("cases.mnist.data.file", "data/../x.npz", f'"data/../x.npz"; expected {DATA_FILE}'),
        ("cases.mnist.data.file", "data/prepared/ex4.npz", f'"data/prepared/ex4.npz"; expected {DATA_FILE}'),
        ("cases.ex4.data.side", 29, "29; expected a number of at most 28"),
        ("cases.mnist.judged_by", "test_accuracy", "\"test_accuracy\"; expected 'train', 'validation' or 'test'"),
        ("cases.mnist.fixes", [], "[]; expected a mapping of keys to values"),
        ("cases.mnist.fixes.-f", {"why": "", "set": {}}, f'"-f"; expected {NAME}'),
        (
            "cases.mnist.baselines.logistic_regression",
            5,
            "5; expected a mapping whose model is one of: LogisticRegression, Ridge, Floor",
        ),
        ("cases.mnist.baselines.logistic_regression.one_vs_all", 1, "1; expected true or false, such as true"),
        ("cases.ex4.baselines.NaN", BASELINE, '"NaN"; expected another name: readers of CSV do not take NaN for text'),
        (f"{FIXED}.fixes", "scaled_inputs", '"scaled_inputs"; expected a list, such as ["scaled_inputs"]'),
        (f"{ZEROS}.10", 5, "10; expected a digit from 0 to 9"),
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
        ("cases.mnist.data", "a mapping whose recipe is one of: mnist, exercise4, own"),
        (MNIST, f"a mapping of the keys {KEYS}"),
        (f"{LAYERS}.hidden.units", "a whole number of at least 1 and at most 16384"),
        (f"{MNIST}.optimizer", OPTIMIZER),
        (f"{MNIST}.optimizer.name", f"one of: {', '.join(names.described()['optimizers'])}"),
        ("cases.mnist.baselines.logistic_regression.model", "one of: LogisticRegression, Ridge, Floor"),
        ("execution.workers", "a whole number with backend loky"),
    ],
)
def test_a_missing_key_is_refused_with_what_is_expected_for_it(path: str, expected: str) -> None:
    assert refusal(changed(path, ABSENT)) == f"{path}: missing; expected {expected}"


@pytest.mark.parametrize(
    ("settings", "path", "expected"),
    [
        ({"optimizer": {"name": "sgd", "learning_rate": 0}}, ".optimizer.learning_rate", "0; expected a number above"),
        ({"optimizer": {"learning_rate": 0.1}}, ".optimizer.name", "missing; expected one of: adadelta, "),
        ({"layers.hidden.unit": 8}, ".layers.hidden.unit", "no unit (did you mean units?); expected one of those"),
        ({"hidden_units": 8}, ".hidden_units", "no hidden_units; expected one of those that the network has: inputs"),
        ({"layers.hidden.units": 0}, ".layers.hidden.units", "0; expected a whole number of at least 1"),
    ],
)
def test_an_impossible_fix_is_refused_at_the_key_that_it_sets(
    settings: dict[str, Any], path: str, expected: str
) -> None:
    assert refusal(changed(WIDER, settings)).startswith(f"{WIDER}{path}: {expected}")


def test_a_fix_that_contradicts_the_network_as_posted_is_refused_by_its_name() -> None:
    expected = "batch_size null with optimizer adam; expected batch_size null with optimizer tnc, which counts"
    assert refusal(changed(WIDER, {"batch_size": None})).startswith(f"cases.mnist.fixes.wider_hidden: {expected}")


def test_an_impossible_network_is_refused_as_posted_and_in_a_variant() -> None:
    expected = "epochs null with optimizer adam; expected epochs null with optimizer tnc"
    assert refusal(changed(f"{MNIST}.epochs", None)).startswith(f"{MNIST}: {expected}")
    scaled = "cases.mnist.variants.scaled_inputs.set"
    assert refusal(changed(scaled, {"epochs": None})).startswith(f"{scaled}: {expected}")


OWN = {"file": "data/own/heart.csv", "target": "disease", "test_split": 0.2}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"file": "data/own/a.xlsx"}, '.file: "data/own/a.xlsx"; expected a file that ends in .csv, .parquet or .npz'),
        ({"target": None}, ".target: missing; expected the column, or the columns, that the network shall predict"),
        ({"file": "data/own/a.npz"}, ".target: target with an NPZ file; expected none: its arrays are x and y"),
        ({"given": ["test"]}, '.given: ["test"]; expected none for a table: only an NPZ file has splits'),
        ({"validation_split": 0.9}, ".test_split: validation_split and test_split; expected less than 1 together"),
        ({"drop": ["disease"]}, ': "disease"; expected each column in one of target, drop and sample_weight'),
        ({"names": "hidden"}, ".names: \"hidden\" (did you mean hide?); expected 'show' or 'hide'"),
        ({"targets": "x"}, ".targets: unknown key (did you mean target?); expected one of: recipe, file, target, "),
        ({"test_split": 1}, ".test_split: 1; expected a number of at most 0.999"),
        (
            {"file": "data/own/a.npz", "target": None, "given": ["test"]},
            ".test_split: test_split; expected none, because the file has the split test",
        ),
    ],
)
def test_own_data_that_contradict_themselves_are_refused(changes: dict[str, Any], expected: str) -> None:
    assert refusal(changed("cases.mnist.data", OWN | changes)).startswith(f"cases.mnist.data{expected}")


def own_case(task: str, **changes: Any) -> dict[str, Any]:
    """Return a params.yaml with one case of a table of one's own."""
    network = {"layers": {"out": {"units": 1}}, "loss": "mse", "optimizer": "sgd"}
    fixes = {"faster": {"why": "", "multiply": {"optimizer.learning_rate": 10}}}
    case = {"title": "", "task": task, "data": OWN, "judged_by": "test", "as_posted": network, "fixes": fixes}
    return {**CONTENT, "cases": {"heart": {**case, **changes}}}


def test_a_case_of_own_data_needs_no_source_variant_baseline_or_published_number() -> None:
    for task, model in (
        ("regression", "Ridge"),
        ("binary", "LogisticRegression"),
        ("multilabel", "LogisticRegression"),
    ):
        case = load.validated(own_case(task)).cases["heart"]
        assert [baseline.model for baseline in case.all_baselines().values()] == [model, "Floor"]
        assert (case.data.splits, case.keras) == (("train", "test"), ("3",))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"judged_by": "validation"}, 'judged_by: "validation"; expected one of: train, test'),
        (
            {"baselines": {"b": {"model": "LogisticRegression"}}},
            'baselines.b.model: "LogisticRegression"; expected Ridge with task regression',
        ),
        (
            {"baselines": {"floor": {"model": "Floor"}}},
            "baselines.floor: the baseline that every case has; expected another name",
        ),
        (
            {"variants": {"few": {"data": {"first_of_each_class": {0: 1}}}}},
            "variants.few.data.first_of_each_class: a subset with task regression; expected none",
        ),
    ],
)
def test_what_the_task_cannot_have_is_refused(changes: dict[str, Any], expected: str) -> None:
    assert refusal(own_case("regression", **changes)).startswith(f"cases.heart.{expected}")


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("variants.as_posted", {}, ": the variant that every case has; expected another name"),
        ("variants.repaired", {}, ": the variant that a search adds; expected another name"),
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
    case, _, index, key = path.split(".")
    claim = CONTENT["cases"][case]["published"][int(index)]["claim"]
    message = refusal(changed(f"cases.{path}", value))
    assert message.startswith(f'cases.{case}.published."{claim}".{key}: {expected}')


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
