import copy
import re
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
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
def message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], str]:
    """What `load` says of a parsed content, or of a text, of params.yaml that it refuses."""

    def message(content: Any) -> str:
        path = tmp_path / "params.yaml"
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            monkeypatch.setattr(YAML, "load", lambda self, path: content)
        with pytest.raises(UserError) as caught:
            params.load(path)
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
        ("cases.mnist.fixes.bad-name", {}, '"bad-name"; accepted: a name of letters, digits and _'),
        ("cases", {}, "{}; accepted: 1 or more entries"),
        ("variants.bad", {}, '"bad"; accepted: a name of letters, digits and _, with one - in it'),
        ("seeds", [], "[]; accepted: 1 or more entries"),
        ("seeds", [0, 1, 0], "[0, 1, 0]; accepted: a list in which none occurs twice"),
        ("seeds.1", -1, "-1; accepted: a number of at least 0"),
        ("seeds.1", 2**31, "2147483648; accepted: a number below 2147483648"),
        ("datasets.mnist.validation_split", 1, "1; accepted: a number below 1.0"),
        ("datasets.ex4.side", 29, "29; accepted: a number of at most 28"),
        ("execution.backend", "ray", "\"ray\"; accepted: 'loky', 'threading' or 'dask'"),
        ("execution.workers", 0, "0; accepted: a number of at least 1"),
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
        ("a: !!python/name:os.system {}\n", "params.yaml: line 1: could not determine a constructor for the tag "),
        ("a: 2018-13-45\n", "params.yaml: month must be in 1..12; expected YAML"),
        ("a: \x00\n", "params.yaml: unacceptable character #x0000: special characters are not allowed"),
    ],
)
def test_what_is_not_yaml_or_no_mapping_is_refused_with_its_line(
    message: Callable[[Any], str], text: str, expected: str
) -> None:
    assert message(text).startswith(expected)
    assert "\n" not in message(text)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"seeds: \xff\xfe")
    with pytest.raises(UserError, match="expected YAML"):
        params.load(path)


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


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(value, (*path, key))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**18, max_value=10**400),
    st.floats(),
    st.text(),
    st.dates(),
    st.binary(max_size=3),
)
KEYS = st.text() | st.integers() | st.booleans()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=4
)


@limits(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    place=st.sampled_from(list(places(CONTENT))),
    action=st.sampled_from(["set", "add", "delete"]),
    added=KEYS,
    value=VALUES,
)
def test_a_change_at_any_place_is_accepted_or_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, place: tuple[Any, ...], action: str, added: Any, value: Any
) -> None:
    root = {"": copy.deepcopy(CONTENT)}
    node: Any = root
    for key in ("", *place)[:-1]:
        node = node[key]
    last = ("", *place)[-1]
    if action == "set":
        node[last] = value
    elif action == "delete":
        del node[last]
    elif isinstance(node[last], dict):
        node[last][added] = value
    monkeypatch.setattr(YAML, "load", lambda self, path: root.get(""))
    said = None
    try:
        params.variant_configs(params.load(Path("params.yaml")))
    except UserError as error:
        said = str(error)
    if said is not None:
        assert said.startswith("params.yaml: ")
        assert "; accepted: " in said
        assert len(said.splitlines()) == 1


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
    st.lists(st.text(), unique=True),
    st.lists(st.integers(1, 10**6)),
    st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    st.floats(min_value=0, allow_infinity=False),
)


@given(RUNS)
def test_a_variant_survives_its_file(tmp_path_factory: pytest.TempPathFactory, config: params.VariantConfig) -> None:
    path = tmp_path_factory.getbasetemp() / "variant.json"
    files.write_json(path, config.model_dump(mode="json"))
    assert params.VariantConfig.model_validate(files.read_json(path)) == config
