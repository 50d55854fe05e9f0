"""Running rendered scripts by plain Keras, once per seed, beside the same configurations trained by whichfix."""

import ast
import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from recording.own_fit import redraw

from stages.analysis.data_facts import data_result
from stages.base import files
from stages.config.network import Network
from stages.config.schema import Task
from stages.data import own, prepared
from stages.data.prepared import Prepared
from stages.page.keras_data import CaseData

# Keras takes half a second per seed, whichfix a few milliseconds.
OF_KERAS, OF_WHICHFIX = range(5), range(20)


def own_data(
    task: Task, x: Mapping[str, np.ndarray], y: Mapping[str, np.ndarray], weight: np.ndarray | None = None
) -> Prepared:
    """Return the prepared data of a person's arrays."""
    columns = y["train"].shape[1] if y["train"].ndim > 1 else 1
    labels, raw, facts = own.answers(Path("own.npz"), task, y, [str(place) for place in range(columns)])
    return Prepared(dict(x), labels, facts, "", raw, weight)


def case_data(data: Prepared, judged_by: str) -> CaseData:
    """Return what a script needs to know of `data`, those of the case ``tried``."""
    return CaseData("tried", data.facts.task, judged_by, data_result(data))


def in_two(script: str, *, evaluates: bool = True) -> tuple[Any, Any]:
    """Return the code of `script` until its network is compiled, and from `fit` on, perhaps without `evaluate`."""
    body = ast.parse(script).body
    fit = next(i for i, each in enumerate(body) if ast.unparse(each).startswith("model.fit("))
    rest = [each for each in body[fit:] if evaluates or not ast.unparse(each).startswith("model.evaluate(")]
    first, second = (compile(ast.Module(some, []), "<script>", "exec") for some in (body[:fit], rest))
    return first, second


def by_keras(script: str, data: Prepared, folder: Path, seeds: Sequence[int] = OF_KERAS) -> dict[str, np.ndarray]:
    """Return the score and the last loss of `script`, one value per seed.

    The network is built and compiled once. The rest of the script without its evaluation runs again for each seed,
    with weights drawn anew and the optimizer as it was, because Keras traces a network for seconds.
    """
    import keras

    first, whole = in_two(script)
    _, second = in_two(script, evaluates=False)
    names: dict[str, Any] = {}
    found: dict[str, list[float]] = {"score": [], "loss": []}
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        prepared.write(files.prepared_path("tried"), data)
        exec(first, names)
        model = names["model"]
        model.optimizer.build(model.trainable_variables)
        before = [(each, each.numpy()) for each in (*model.weights, *model.optimizer.variables)]
        for seed in seeds:
            keras.utils.set_random_seed(seed)
            for variable, value in before:
                variable.assign(value)
            redraw(model, seed, weights_set=bool(data.first_weights))
            exec(whole if seed == seeds[0] else second, names)
            found["score"].append(float(names["score"]))
            found["loss"].append(float(model.history.history["loss"][-1]))
    return {name: np.array(values) for name, values in found.items()}


def by_whichfix(
    network: Network, data: Prepared, judged_by: str, seeds: Sequence[int] = OF_WHICHFIX
) -> dict[str, np.ndarray]:
    """Return what `by_keras` returns, by the trainer."""
    from stages.training.trainer import Trainer

    trainer = Trainer(network, data)
    runs = [trainer.run(seed) for seed in seeds]
    scores, losses = (
        [float(value) for value in some]
        for some in zip(*[(r.scores[judged_by], r.history[-1][0]) for r in runs], strict=True)
    )
    return {"score": np.array(scores), "loss": np.array(losses)}
