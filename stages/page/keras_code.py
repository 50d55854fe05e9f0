"""A configuration as a short Keras 3 script, and a repair as a diff of two such scripts."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from stages.config import names
from stages.config.examples import Buffer, Rescale
from stages.config.network import Network, PostedNetwork
from stages.page import keras_calls, keras_data
from stages.page.keras_calls import Call, lines
from stages.page.keras_data import CaseData

# Losses that Keras 2.2 computes in another way.
OF_2018 = ("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy")
PARTS = {
    "Dense": ("kernel", "bias"),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "PReLU": ("alpha",),
}


class Part(NamedTuple):
    """Lines of a script that say one thing, such as a layer; `key` is the same in every script of a case."""

    key: str
    lines: tuple[str, ...]


def script(network: Mapping[str, Any] | PostedNetwork, case: CaseData) -> str:
    """Return a script that trains `network`, or a network in the form of `brief`, on the prepared data of `case`.

    At its end, `score` is the score on the split by which the case is judged. Its losses are those of today's Keras.
    """
    return "\n".join(line for part in parts(network, case) for line in part.lines) + "\n"


def diff(
    posted: Mapping[str, Any] | PostedNetwork,
    repaired: Mapping[str, Any] | PostedNetwork,
    case: CaseData,
    context: int = 1,
) -> list[str]:
    """Return the lines of the script of `posted` that change, each with ``- `` or ``+ ``, and `context` lines around.

    The line ``  ...`` stands for lines that are left out. The lines that compute the score are left out, too. The diff
    is the same under every condition, because the lines are those of today's Keras.
    """
    before, after = (
        {part.key: part.lines for part in parts(_posted(network), case) if part.key != "score"}
        for network in (posted, repaired)
    )
    rows: list[str] = []
    matcher = SequenceMatcher(None, list(before), list(after), autojunk=False)
    for _, first, last, start, end in matcher.get_opcodes():
        for key in list(before)[first:last]:
            rows += _compared(before[key], after.get(key, ())) if key in after else _marked("-", before[key])
        for key in list(after)[start:end]:
            if key not in before:
                rows += _marked("+", after[key])
    return _near_changes(rows, context)


def _posted(network: Mapping[str, Any] | PostedNetwork) -> PostedNetwork:
    """Return `network` without its condition."""
    settings = network.model_dump() if isinstance(network, PostedNetwork) else network
    return PostedNetwork.model_validate({key: value for key, value in settings.items() if key != "keras"})


def _compared(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Return two versions of a part, old lines first where they differ."""
    rows: list[str] = []
    for _, first, last, start, end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if before[first:last] == after[start:end]:
            rows += _marked(" ", before[first:last])
        else:
            rows += _marked("-", before[first:last]) + _marked("+", after[start:end])
    return rows


def _marked(mark: str, some: Sequence[str]) -> list[str]:
    return [f"{mark} {line}" for line in some]


def _near_changes(rows: Sequence[str], context: int) -> list[str]:
    """Return the changed rows with `context` rows around, and ``  ...`` for those between that are left out."""
    changed = [place for place, row in enumerate(rows) if row[:1] in ("-", "+")]
    kept = sorted(
        {place for each in changed for place in range(each - context, each + context + 1) if 0 <= place < len(rows)}
    )
    found: list[str] = []
    for before, place in zip([-1, *kept], kept, strict=False):
        found += ["  ..."] if place > before + 1 and found else []
        found.append(rows[place])
    return found


def parts(network: Mapping[str, Any] | PostedNetwork, case: CaseData) -> list[Part]:
    """Return the parts of the script of a network, in order."""
    if not isinstance(network, PostedNetwork):
        kind = Network if "keras" in network else PostedNetwork
        network = kind.model_validate(network)
    found = [
        Part("import", tuple(_imports(network, case))),
        Part("data", ("", *keras_data.reading(case))),
        Part("weights", tuple(keras_data.weighting(network, case))),
        Part("targets", tuple(keras_data.targets(network, case))),
        Part("normalize", tuple(_normalize(network, case))),
        *_model(network, case),
        Part("first weights", tuple(_first_weights(network))),
        Part("loss", tuple(_own_loss(network))),
        *_compile(network, case),
        *_fit(network, case),
        Part("score", tuple(keras_data.scoring(network, case))),
    ]
    return [part for part in found if part.lines]


def _imports(network: PostedNetwork, case: CaseData) -> Iterator[str]:
    yield "import keras"
    yield "import numpy as np"
    if keras_data.is_stream(network):
        yield "import tensorflow as tf"
    if case.task == "regression":
        yield "from sklearn.metrics import r2_score"


def _normalize(network: PostedNetwork, case: CaseData) -> Iterator[str]:
    if network.inputs == "standardized":
        axes = f"axis={tuple(range(1, 1 + len(case.shape)))}" if len(case.shape) > 1 else ""
        yield ""
        yield f"normalize = keras.layers.Normalization({axes})"
        yield "normalize.adapt(x_train)"


def _model(network: PostedNetwork, case: CaseData) -> Iterator[Part]:
    brief = network.brief()
    yield Part("model", ("", "model = keras.Sequential(["))
    yield Part("input", tuple(lines(Call("keras.Input", (("", repr(case.shape)),)), "", ",", 1)))
    if network.inputs == "standardized":
        yield Part("inputs", tuple(lines("normalize", "", ",", 1)))
    elif isinstance(network.inputs, Rescale):
        yield Part("inputs", tuple(lines(keras_calls.rescaling(network.inputs), "", ",", 1)))
    for layer in brief["layers"]:
        call = keras_calls.layer(layer, named=network.initial_weights)
        yield Part(f"layer {layer['name']}", tuple(lines(call, "", ",", 1)))
    yield Part("end of model", ("])",))


def _first_weights(network: PostedNetwork) -> Iterator[str]:
    """Yield the lines that give layers the first weights of the file, which names them by layer and part."""
    if network.initial_weights:
        drawn = [part for kind, some in PARTS.items() for part in some if kind in {e["layer"] for e in network.layers}]
        yield "for layer in model.layers:"
        yield f"    for part in {keras_calls.literal(drawn)}:"
        yield '        if f"weights/{layer.name}.{part}" in data.files:'
        yield '            getattr(layer, part).assign(data[f"weights/{layer.name}.{part}"])'


def _own_loss(network: PostedNetwork) -> Iterator[str]:
    if network.loss["name"] == names.OWN_LOSS:
        yield ""
        yield f"def {names.OWN_LOSS}(y_true, y_pred):"
        yield "    return y_pred.shape[-1] * keras.losses.binary_crossentropy(y_true, y_pred)"
        yield ""


def _compile(network: PostedNetwork, case: CaseData) -> Iterator[Part]:
    brief = network.brief()
    yield Part("compile", ("model.compile(",))
    if network.by_tnc:
        calls = network.optimizer["max_function_calls"]
        comment = f"    # In place of SciPy's TNC, which takes {calls} function calls and is not in Keras:"
        yield Part("optimizer", (comment, "    optimizer=keras.optimizers.Adam(),"))
    else:
        yield Part("optimizer", tuple(lines(keras_calls.optimizer(brief["optimizer"]), "optimizer=", ",", 1)))
    loss = lines(keras_calls.loss(brief["loss"]), "loss=", ",", 1)
    if isinstance(network, Network) and network.keras == "2.2" and brief["loss"] in OF_2018:
        loss.insert(0, "    # Today's loss; that of Keras 2.2 has no gradient at probabilities of 0 and 1.")
    yield Part("loss of compile", tuple(loss))
    watched = any("accuracy" in each["monitor"] for each in (network.early_stopping, network.reduce_on_plateau) if each)
    if case.task == "regression" and watched:
        metric = '    metrics=[keras.metrics.R2Score(name="accuracy")],'
        yield Part("metrics", ("    # The number that whichfix monitors in the place of an accuracy.", metric))
    elif case.task != "regression":
        # Keras counts in another way which answers are right.
        comment = "    # whichfix monitors the score at the end of this script in the place of this number."
        other = watched and not keras_data.counts_as_keras(network, case)
        yield Part("metrics", (*([comment] if other else []), '    metrics=["accuracy"],'))
    yield Part("end of compile", (")",))


def _fit(network: PostedNetwork, case: CaseData) -> Iterator[Part]:
    stream = keras_data.is_stream(network)
    by_line = keras_data.weights_by_line(network, case)
    weighs = case.weighs_examples(network) or (network.class_weight is not None and by_line)
    if stream:
        yield Part("batches", tuple(_batches(network, case, weighs)))
    yield Part("fit", ("model.fit(",))
    yield Part("examples", ("    batches," if stream else "    x_train, y_train,",))
    if not stream:
        size = network.batch_size or "len(x_train)"
        yield Part("batch_size", (f"    batch_size={size},",))
    epochs = network.optimizer["max_function_calls"] if network.by_tnc else network.epochs
    yield Part("epochs", (f"    epochs={epochs},",))
    if network.steps_per_epoch:
        yield Part("steps_per_epoch", (f"    steps_per_epoch={network.steps_per_epoch},",))
    if network.shuffle is False and not stream:
        yield Part("shuffle", ("    shuffle=False,",))
    if weighs and not stream:
        yield Part("sample_weight", ("    sample_weight=weights,",))
    if network.class_weight is not None and not by_line:
        yield Part("class_weight", (f"    class_weight={keras_calls.literal(network.class_weight)},",))
    if "validation" in case.data.rows:
        yield Part("validation_data", ("    validation_data=(x_validation, y_validation),",))
    if called := keras_calls.callbacks(network.brief()):
        yield Part("callbacks", tuple(lines(called, "callbacks=", ",", 1)))
    yield Part("end of fit", (")", f"model.evaluate(x_{case.judged_by}, y_{case.judged_by})"))


def _batches(network: PostedNetwork, case: CaseData, weighs: bool) -> Iterator[str]:
    """Yield the lines of a dataset of tf.data that delivers batches in the order of the network."""
    arrays = "(x_train, y_train, weights)" if weighs else "(x_train, y_train)"
    n_examples = case.data.rows["train"]
    size = network.batch_size or n_examples
    rest = ", drop_remainder=True" if network.drop_remainder else ""
    batch = f"    .batch({size}{rest})"
    order = []
    if isinstance(network.shuffle, Buffer):
        order = [f"    .shuffle({network.shuffle.buffer})"]
    elif network.shuffle is True:
        order = ["    .shuffle(len(x_train))"]
    yield "batches = ("
    yield f"    tf.data.Dataset.from_tensor_slices({arrays})"
    if network.shuffle == "batches":
        yield batch
        yield f"    .shuffle({-(-n_examples // size)})"
    elif network.steps_per_epoch and not network.drop_remainder:
        yield from [*order, "    .repeat()", batch]
    else:
        yield from [*order, batch, *(["    .repeat()"] if network.steps_per_epoch else [])]
    yield ")"
