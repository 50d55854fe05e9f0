"""MLflow's store as a projection of DVC's results, on a small made-up project."""

import ctypes
import json
import re
import shutil
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from stages import track
from stages.base import files
from stages.base.errors import UserError
from stages.tracking import place, views
from stages.tracking.content import STALE
from stages.tracking.store import ALIAS, EXPERIMENT, KEY, PARENT
from stages.training import runs as run_files
from tracking import sample
from tracking.sample import CASE, N_CHILDREN, N_RUNS, TOP_RUNS

MODEL = f"whichfix-{CASE}"
UP_TO_DATE = "MLflow store is up to date"


def client(uri: str | None = None) -> MlflowClient:
    return MlflowClient(uri or place.find().uri)


def all_runs(uri: str | None = None) -> dict[str, Run]:
    """Return every run of the store that is not deleted, by id, the newest first."""
    experiments = [experiment.experiment_id for experiment in client(uri).search_experiments()]
    return {run.info.run_id: run for run in client(uri).search_runs(experiments)}


def named(name: str) -> Run:
    """Return the one run of that name that is not stale."""
    (run,) = (run for run in all_runs().values() if run.info.run_name == name and STALE not in run.data.tags)
    return run


def snapshot() -> dict[str, Any]:
    """Return all that the store says of each run."""
    return {run_id: run.to_dictionary() for run_id, run in all_runs().items()}


def assert_complete(uri: str | None = None) -> None:
    """Check that every run is there once, finished, under a parent that is there."""
    found = all_runs(uri)
    parents = {run_id: run.data.tags.get(PARENT) for run_id, run in found.items()}
    assert sorted(found[run_id].info.run_name for run_id, parent in parents.items() if parent is None) == TOP_RUNS
    assert {parent for parent in parents.values() if parent} <= found.keys()
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    assert len({run.data.tags[KEY] for run in found.values()}) == len(found) == N_RUNS


def set_score(name: str, mean: float) -> None:
    """Change the result of a variant."""

    def change(result: dict[str, Any]) -> None:
        (variant,) = (variant for variant in result["variants"] if variant["name"] == name)
        variant["scores"]["test"]["mean"] = mean

    sample.edit_result(change)


def refusal() -> str:
    """Run `track`, which must refuse in one line, and return the line."""
    with pytest.raises(UserError) as refused:
        track.main()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def champion() -> Any:
    return client().get_model_version_by_alias(MODEL, ALIAS)


def test_a_fresh_store_holds_a_run_per_result_and_a_child_per_seed(tracked: Path) -> None:
    assert_complete()
    found = all_runs()
    # The order of params.yaml, in which MLflow's page lists them.
    names = [run.info.run_name for run in found.values() if PARENT not in run.data.tags]
    assert names == sample.TOP_NAMES
    children = sorted(
        (found[run.data.tags[PARENT]].info.run_name, int(run.data.params["seed"]))
        for run in found.values()
        if PARENT in run.data.tags
    )
    assert children == sorted(
        (name, seed) for name, (_, _, _, seeds, _, _) in sample.VARIANTS.items() for seed in seeds
    )


def test_tracking_again_and_again_changes_nothing(tracked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot()
    for stamp in ("absent", "present", "damaged"):
        if stamp == "damaged":
            Path(place.STAMP).write_text("[]", encoding="utf-8")
        track.main()
        assert capsys.readouterr().out.splitlines()[0] == UP_TO_DATE
        assert snapshot() == before


def test_nothing_to_do_is_found_without_importing_what_is_slow(template: Path) -> None:
    slow = {"mlflow", "pandas", "numpy", "matplotlib", "pydantic", "rich", "sqlalchemy", "tensorflow"}
    program = f"import sys; from stages import track; track.main(); print(sorted({slow} & set(sys.modules)))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=template, env=sample.environment(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        UP_TO_DATE,
        "report: reports/index.html",
        "every run: mlflow ui, then open",
        f"  {place.address('1', 'scores')}  ({CASE})",
        f"  {place.address('1', 'curves')}&compareRunsMode=CHART  ({CASE}, learning curves)",
        "[]",
    ]


def test_what_was_deleted_comes_back_and_no_other_run_is_touched(tracked: Path) -> None:
    before = all_runs().keys()
    run_ids = [named(name).info.run_id for name in ("two_digits", "seed 3 of fixed", "case table")]
    own = {run_id for run_id, run in all_runs().items() if run.data.tags.get(PARENT) in run_ids} | {*run_ids}
    for run_id in run_ids:
        client().delete_run(run_id)
    track.main()
    assert_complete()
    assert before - all_runs().keys() == own
    client().delete_experiment("1")
    track.main()
    assert_complete()


def test_two_at_once_fill_a_store_once_in_a_clone_whose_path_has_signs_of_a_url(template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a ?b%20#c"
    shutil.copytree(template, folder, ignore=shutil.ignore_patterns("mlflow.db", "mlruns", ".mlflow*"))
    # A killed track may leave these.
    for leftover in (".mlflow.db.new", ".mlflow.db.new-journal"):
        (folder / leftover).write_text("half of a database", encoding="utf-8")
    command = [sys.executable, "-m", "stages", "track"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    options: dict[str, Any] = {"cwd": folder, "env": sample.environment(), "text": True, **pipes}
    both = [subprocess.Popen(command, **options) for _ in range(2)]
    (filled, silence), (idle, _) = sorted((process.communicate() for process in both), key=lambda said: -len(said[0]))
    assert [process.returncode for process in both] == [0, 0]
    assert silence == ""
    first, model, *table = filled.splitlines()
    assert first == f"MLflow: {len(TOP_RUNS)} runs added, {N_CHILDREN} child runs added"
    assert model == f"MLflow: model {MODEL}, version 1, is the champion of {CASE}: fixed with seed 0"
    assert [line.split()[1] for line in table if line.startswith(f"  {CASE} ")] == [*sample.VARIANTS, *sample.BASELINES]
    assert UP_TO_DATE in idle.splitlines()
    assert not list(folder.glob(".mlflow.db*"))
    # MLflow handles such a path only as a relative one, so this process reads a copy.
    shutil.copyfile(folder / "mlflow.db", tmp_path / "copy.db")
    assert_complete(f"sqlite:///{tmp_path}/copy.db")
    (tmp_path / "copy.db").unlink()
    assert len(list(folder.glob(f"mlruns/{CASE}/*/artifacts"))) == len(TOP_RUNS)
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.tried("stores and servers of MLflow")
def test_a_track_that_was_killed_is_mended_by_the_next(
    tracked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for run_id in all_runs():
        client().delete_run(run_id)
    real, calls = MlflowClient.set_terminated, 0

    def killed(*arguments: Any, **named_arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise KeyboardInterrupt
        real(*arguments, **named_arguments)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", killed)
        with pytest.raises(KeyboardInterrupt):
            track.main()
    finished = {run.info.run_id for run in all_runs().values() if run.info.status == "FINISHED"}
    whole = {run_id for run_id in finished if all_runs()[run_id].data.tags.get(PARENT) in (None, *finished)}
    capsys.readouterr()
    track.main()
    assert_complete()
    assert whole <= all_runs().keys()
    assert "unfinished or duplicate run" in capsys.readouterr().out


@pytest.mark.tried("stores and servers of MLflow")
def test_a_registration_that_was_killed_is_mended_by_the_next(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client().delete_registered_model(MODEL)

    def killed(*arguments: Any, **named_arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_model_version", killed)
        with pytest.raises(KeyboardInterrupt):
            track.main()
    track.main()
    assert champion().run_id == named("fixed").info.run_id
    assert [model.status for model in client().search_logged_models(["1"])] == ["READY"]


@pytest.mark.tried("stores and servers of MLflow")
def test_a_moved_clone_gets_a_store_of_its_own_and_the_former_folder_is_left_alone(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in template.rglob("*"))
    folder = tmp_path / "moved"
    shutil.copytree(template, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(track, "pictures", lambda *arguments: {"none.png": b""})
    track.main()
    assert capsys.readouterr().out.startswith(f"MLflow: the artifacts were expected in {template}/mlruns/{CASE}")
    # In this process MLflow is still connected to the deleted file, so the new one needs another spelling.
    uri = f"sqlite:///{tmp_path}/moved/../moved/mlflow.db"
    assert_complete(uri)
    artifacts = {Path(run.info.artifact_uri.removeprefix("file://")) for run in all_runs(uri).values()}
    assert all(path.is_relative_to(folder) for path in artifacts)
    assert sorted((path, path.stat().st_mtime_ns) for path in template.rglob("*")) == before


@pytest.mark.tried("stores and servers of MLflow")
def test_a_moved_store_with_runs_of_others_is_refused_and_kept(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(template, tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    client().create_run("0", run_name="my own")
    message = refusal()
    assert "holds more than the results of whichfix (run my own); move it back" in message
    assert len(all_runs()) == N_RUNS + 1
    (remedy,) = re.findall("or run `(.*) && dvc repro track`", message)
    subprocess.run(["bash", "-euc", remedy], check=True)
    # A process of its own, because MLflow is still connected to the file that was moved.
    command = [sys.executable, "-m", "stages", "track"]
    ended = subprocess.run(command, env=sample.environment(), capture_output=True, text=True, check=False)
    assert ended.stdout.startswith(f"MLflow: {len(TOP_RUNS)} runs added"), ended.stderr
    assert "my own" in {run.info.run_name for run in all_runs(f"sqlite:///{tmp_path}/moved/mlflow.db.moved").values()}


def test_stale_runs_are_tagged_until_their_results_come_back_and_new_ones_name_the_commit(
    tracked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot()
    assert not [run for run in all_runs().values() if "mlflow.source.git.commit" in run.data.tags]
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *command], check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    old = files.result_path(CASE).read_bytes()
    set_score("as_posted", 0.125)
    track.main()
    said = capsys.readouterr().out
    assert "1 run added, 2 child runs added, 3 runs tagged as stale" in said
    (found,) = re.findall("to see the stale runs, search for (.*)", said)
    assert named("as_posted").data.metrics["test_accuracy"] == 0.125
    assert named("as_posted").data.tags["mlflow.source.git.commit"] == commit
    stale = {run.info.run_id: run.info.run_name for run in client().search_runs(["1"], found)}
    assert stale.keys() == {run_id for run_id, run in all_runs().items() if STALE in run.data.tags}
    assert {*stale.values()} == {
        f"stale: {name}" for name in ("as_posted", "seed 0 of as_posted", "seed 3 of as_posted")
    }
    # The views of the page search for the others.
    current = {run.info.run_id for run in client().search_runs(["1"], views.CURRENT)}
    assert current == all_runs().keys() - stale.keys()
    files.result_path(CASE).write_bytes(old)
    track.main()
    after = snapshot()
    assert {run_id: after[run_id] for run_id in before} == before


def test_an_experiment_of_dvc_adds_its_runs_under_its_name_and_leaves_all_others(
    tracked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot()
    set_score("fixed", 0.99)
    monkeypatch.setenv("DVC_EXP_NAME", "hasty-gnu")
    track.main()
    after = snapshot()
    assert {run_id: after[run_id] for run_id in before} == before
    run = named("fixed (hasty-gnu)")
    assert run.data.tags[EXPERIMENT] == "hasty-gnu"
    assert named("seed 3 of fixed (hasty-gnu)").data.tags[PARENT] == run.info.run_id
    assert str(champion().version) == "1"


def test_a_queued_experiment_runs_in_a_copy_and_writes_to_the_store_of_the_repository(
    tracked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tracked / ".dvc" / "tmp" / "copy"
    shutil.copytree(tracked, here, ignore=shutil.ignore_patterns("mlflow.db", "mlruns", ".mlflow*", ".dvc"))
    monkeypatch.chdir(here)
    monkeypatch.setenv("DVC_ROOT", str(tracked))
    set_score("as_posted", 0.125)
    track.main()
    assert Path(named("as_posted").info.artifact_uri.removeprefix("file://")).is_relative_to(tracked / "mlruns")
    assert not list(here.glob("*ml*"))


def test_the_store_that_the_environment_names_is_the_one_used(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Path("mlflow.db").read_bytes()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tracked}/other.db")
    track.main()
    assert_complete()
    assert Path("mlflow.db").read_bytes() == before


@pytest.mark.tried("stores and servers of MLflow")
def test_a_server_that_is_away_ends_in_one_line_without_the_password(
    tracked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for address in (
        "http://me:secret@127.0.0.1:9",
        "postgresql+psycopg2://me:secret@127.0.0.1:9/db",
        "nowhere://at-all",
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        message = refusal()
        assert message.startswith(f"the MLflow store {address.replace('me:secret@', '')}: ")
        assert message.endswith("the results are complete without it; once it is mended, `dvc repro track` fills it")
        assert "secret" not in message


@pytest.mark.tried("stores and servers of MLflow")
def test_a_read_only_store_is_refused_in_one_line_that_names_it(tracked: Path) -> None:
    set_score("as_posted", 0.125)
    track.main()
    set_score("as_posted", 0.25)
    Path("mlflow.db").chmod(0o444)
    tracked.chmod(0o555)

    def obey_modes() -> None:
        # Without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH even root obeys the modes of files; 24 is PR_CAPBSET_DROP.
        for capability in (1, 2):
            ctypes.CDLL(None).prctl(24, capability)

    command = [sys.executable, "-m", "stages", "track"]
    done = subprocess.run(command, env=sample.environment(), preexec_fn=obey_modes, capture_output=True, text=True)
    tracked.chmod(0o755)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: the MLflow store sqlite:///{tracked}/mlflow.db: ")
    assert "readonly" in done.stderr
    assert done.stderr.count("\n") == 1
    Path("mlflow.db").chmod(0o644)  # mended, as the message asks
    track.main()
    assert named("as_posted").data.metrics["test_accuracy"] == 0.25


def test_missing_results_end_in_one_line_that_names_them(tracked: Path) -> None:
    files.result_path(CASE).unlink()
    assert refusal().startswith(f"reports/results/{CASE}.json is missing")


def test_the_champion_takes_raw_digits_and_answers_what_the_run_recorded(tracked: Path) -> None:
    version = champion()
    assert version.run_id == named("fixed").info.run_id
    (logged,) = client().search_logged_models(["1"])
    model = mlflow.pyfunc.load_model(logged.artifact_location)
    digits = sample.raw_digits(sample.SIZES["test"]).astype(np.float32)
    recorded = run_files.read(files.run_path(CASE, "fixed", 0)).predicted["test"]
    assert (np.argmax(model.predict(digits), axis=1) == recorded).all()
    assert len(set(recorded)) > 2
    assert (model.input_example == digits[: len(model.input_example)]).all()
    folder = Path(logged.artifact_location.removeprefix("file://"))
    assert (folder / "model_card.md").read_text(encoding="utf-8") == version.description
    assert {line.split("==")[0] for line in (folder / "requirements.txt").read_text().split()} >= {
        "keras",
        "tensorflow",
    }


def asked(model: Any, body: dict[str, Any]) -> np.ndarray:
    """Return the answer of `model` to the body of a request, as MLflow's server gets it."""
    schema = model.metadata.get_input_schema()
    response = scoring_server.invocations(json.dumps(body), "application/json", model, schema)  # type: ignore[no-untyped-call]
    if response.status != HTTPStatus.OK:
        raise MlflowException(response.response)
    return np.array(json.loads(response.response)["predictions"], np.float32)


@pytest.mark.tried("requests to served models")
@pytest.mark.filterwarnings("error")
def test_a_served_champion_answers_pixels_alone(tracked: Path) -> None:
    (logged,) = client().search_logged_models(["1"])
    model = mlflow.pyfunc.load_model(logged.artifact_location)
    digits = sample.raw_digits(9)
    expected = model.predict(digits.astype(np.float32))
    for key in ("inputs", "instances"):
        for array in (digits, digits.astype(float)):  # JSON has integers or floats
            np.testing.assert_array_equal(asked(model, {key: array.tolist()}), expected)
    blank = digits.copy()
    blank[0] = 0
    assert model.predict(blank.astype(np.float32)).shape == expected.shape
    faint = (blank > 0).astype(int)
    for wrong, message in (
        (digits / 255, "fractions or numbers beyond 0 to 255; .*; multiply inputs from 0 to 1 by 255"),
        (digits.astype(int) + 1, "fractions or numbers beyond 0 to 255"),
        (-digits.astype(float), "fractions or numbers beyond 0 to 255"),
        (faint, "an example has no pixel above 1; expected whole numbers from 0 to 255"),
        (np.full((2, 28, 28), np.nan), "numbers that are missing or not finite"),
        (digits[0], "Shape of input"),
        (digits.reshape(9, -1), "Shape of input"),
        (digits.swapaxes(0, 1), "Shape of input"),
    ):
        with pytest.raises(MlflowException, match=message):
            asked(model, {"inputs": np.asarray(wrong).tolist()})
        with pytest.raises(MlflowException, match=message):
            model.predict(np.asarray(wrong, np.float32))
    # What the refusal says: the numbers of a JSON request need no rounding then.
    np.testing.assert_array_equal(asked(model, {"inputs": (255 * (digits / 255)).round().tolist()}), expected)
    for dtype in ("uint8", "float64", "int64"):
        with pytest.raises(MlflowException, match=f"dtype of input {dtype} does not match expected dtype float32"):
            model.predict(digits.astype(dtype))
    with pytest.raises(MlflowException):
        asked(model, {"inputs": [[["dark"] * 28] * 28]})
    card = champion().description
    assert "float32 [n, 28, 28], whole numbers from 0 (background) to 255 (ink)" in card
    assert 'give `array.astype("float32")`' in card


def test_another_champion_is_another_version_and_the_earlier_one_comes_back(tracked: Path) -> None:
    old = files.result_path(CASE).read_bytes()
    set_score("as_posted", 0.99)
    track.main()
    assert (str(champion().version), champion().run_id) == ("2", named("as_posted").info.run_id)
    files.result_path(CASE).write_bytes(old)
    track.main()
    assert str(champion().version) == "1"
    client().delete_run(champion().run_id)
    track.main()
    assert champion().run_id == named("fixed").info.run_id


def test_a_run_shows_its_configuration_its_result_and_its_stage(tracked: Path) -> None:
    run, child = named("fixed"), named("seed 3 of fixed")
    variant = next(v for v in files.read_json(files.result_path(CASE))["variants"] if v["name"] == "fixed")
    for found in (run, child):
        assert found.data.params["optimizer"] == "adam"
        assert found.data.params["layers.hidden.units"] == "6"
        assert found.data.tags["dvc.stage"] == f"train@{CASE}"
        assert found.data.tags["fix.adam"] == "yes"
        assert found.inputs is not None
        assert found.inputs.dataset_inputs[0].dataset.digest == files.sha256(files.prepared_path(CASE))[:36]
    score, gain = variant["scores"]["test"], variant["gain"]["test"]
    assert run.data.metrics["gain"] == pytest.approx(gain["mean"], rel=1e-5)
    assert len(f"{run.data.metrics['gain']}") <= len("0.123456")
    assert run.data.metrics["interval/test_accuracy_low"] == pytest.approx(score["low"], rel=1e-5)
    assert child.data.metrics["test_accuracy"] == pytest.approx(score["per_seed"]["3"], rel=1e-5)
    margins = [f"{100 * (figure['high'] - figure['mean']):.1f}" for figure in (score, gain)]
    assert run.data.tags["test accuracy"] == f"{100 * score['mean']:.1f} ± {margins[0]}%"
    assert run.data.tags["test gain"] == f"{100 * gain['mean']:+.1f} ± {margins[1]} points"
    assert child.data.tags["test accuracy"] == f"{100 * score['per_seed']['3']:.1f}%"
    assert run.info.end_time - run.info.start_time == 3000
    assert "mlflow.user" not in run.data.tags
    history = run_files.read(files.run_path(CASE, "fixed", 3)).history
    points = client().get_metric_history(child.info.run_id, "epoch/validation_loss")
    assert [point.step for point in points] == [*range(1, len(history) + 1)]
    assert [point.value for point in points] == pytest.approx(history[:, 2].tolist(), rel=1e-5)


def test_figures_and_tables_are_artifacts(template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(template)
    folders = {name: Path(named(name).info.artifact_uri.removeprefix("file://")) for name in ("fixed", "case table")}
    # MLflow compares files at the root alone.
    found = {name: {path.name for path in folder.glob("*")} for name, folder in folders.items()}
    assert found["fixed"] == {"confusion.png", "learning_curves.png"}
    tables = {"points.json", "effects.json", "repairs.json", "remarks.json", "published.json"}
    answer = {"answer.txt", "repair_diff.txt", "as_posted.py", "repaired.py"}
    assert found["case table"] == {"greedy_path.svg", "shapley.png"} | tables | answer
    assert (folders["fixed"] / "confusion.png").read_bytes().startswith(b"\x89PNG")
