"""Rules about hidden layers: activations, width, depth, first weights, dropout, penalties, normalization."""

from collections.abc import Iterator
from typing import Any

from stages.diagnosis.look import SATURATING, Advice, Block, Changes, Look, counted, figure, percent

RECTIFIERS = "https://proceedings.mlr.press/v15/glorot11a.html"
DYING = "https://arxiv.org/abs/1903.06733"
GLOROT = "https://proceedings.mlr.press/v9/glorot10a.html"
EFFICIENT_BACKPROP = "https://doi.org/10.1007/978-3-642-35289-8_3"
MLP = "https://www.deeplearningbook.org/contents/mlp.html"
DROPOUT = "https://jmlr.org/papers/v15/srivastava14a.html"
REGULARIZATION = "https://www.deeplearningbook.org/contents/regularization.html"
BATCH_NORMALIZATION = "https://arxiv.org/abs/1502.03167"
DENSE = "https://keras.io/api/layers/core_layers/dense/"

RELU_LIKE = ("relu", "relu6")
# Activations that pass a gradient on about as ReLU does.
SMOOTH = ("leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "swish", "mish")
# Initializers that scale with the number of inputs of a layer.
SCALED = ("glorot", "he", "lecun", "variance_scaling", "orthogonal")
PENALTIES = ("l1", "l2", "bias_l1", "bias_l2", "activity_l1", "activity_l2")
NARROW, WIDE, DEEP = 4, 1024, 3
# A share of dead ReLUs that networks have that learn well.
MOST_DEAD = 0.25
MOST_NORMALIZED = 6
MANY_WEIGHTS = 10


def together(parts: list[Changes]) -> Changes:
    """Return all changes as one."""
    found = Changes()
    for part in parts:
        found |= part
    return found


def activated(blocks: list[Block], activation: str) -> Changes:
    """Return the changes after which every block has this activation."""
    return together([block.changed(activation) for block in blocks if block.activation != activation])


def hidden_activation(look: Look) -> Iterator[Advice]:
    """Advise ReLU, or leaky ReLU and tanh where ReLUs die."""
    others = [block for block in look.hidden if block.activation not in (*RELU_LIKE, *SMOOTH)]
    if others:
        why = against(look, others)
        control = "Popular advice, as a control: ReLU in the hidden layers."
        yield Advice("relu_hidden", activated(others, "relu"), why or control, RECTIFIERS, not why)
    if rectifiers := [block for block in look.hidden if block.activation in RELU_LIKE]:
        why = dying(look, rectifiers)
        if why:
            yield Advice("leaky_relu_hidden", activated(rectifiers, "leaky_relu"), why, DYING)
        control = "Popular advice, as a control: another activation."
        yield Advice("tanh_hidden", activated(rectifiers, "tanh"), why or control, EFFICIENT_BACKPROP, not why)


def dying(look: Look, rectifiers: list[Block]) -> str:
    """Return why ReLUs are dead or may die, nothing if nothing says so."""
    dead = look.hidden_at("dead", "end", "first_epoch", "start")
    most = max(dead, key=lambda name: dead[name], default=None)
    if most is not None and dead[most] > MOST_DEAD:
        return f"{percent(dead[most])} of the ReLUs of {most} are 0 for every example, so they get no gradient."
    narrow = min(block.dense["units"] for block in rectifiers)
    if narrow <= NARROW:
        return (
            f"First weights can make {counted(narrow, 'ReLU')} of a layer 0 for every example, and then nothing passes."
        )
    return ""


def against(look: Look, blocks: list[Block]) -> str:
    """Return what speaks against the activations of `blocks`, nothing if nothing does."""
    saturated = look.hidden_at("saturated", "end", "first_epoch")
    most = max(saturated, key=lambda name: saturated[name], default=None)
    if most is not None and saturated[most] > 0.3:
        return f"{percent(saturated[most])} of the values of {most} are where its activation is flat, without gradient."
    if linear := [block.name for block in blocks if block.activation == "linear"]:
        return f"{counted(len(linear), 'hidden layer')} without an activation, so that linear maps follow one another."
    if any("softmax" in block.activation for block in blocks):
        return "A softmax in a hidden layer makes its units sum to 1, so that they pass little on."
    flat = [block for block in blocks if block.activation in SATURATING]
    if sigmoids := [block for block in flat if "sigmoid" in block.activation]:
        times = figure(4.0 ** len(sigmoids))
        layers = f"{len(sigmoids)} layers of it shrink" if len(sigmoids) > 1 else "a layer of it shrinks"
        return f"The slope of a sigmoid is at most 0.25, so {layers} the gradient at least {times} times."
    if len(flat) >= DEEP:
        return f"{len(flat)} layers of {flat[0].activation} each shrink the gradient where they are flat."
    return ""


def width(look: Look) -> Iterator[Advice]:
    """Advise more units, or fewer."""
    hidden = look.hidden
    if not hidden:
        return
    units = [block.dense["units"] for block in hidden]
    narrow = min(units) <= NARROW
    factor = 16 if narrow else 4
    paths = {f"layers.{block.name}.units": factor for block in hidden}
    if max(units) * factor <= 4096:
        why = f"The narrowest hidden layer has {counted(min(units), 'unit')}, through which everything passes."
        control = f"Popular advice, as a control: {factor} times the hidden units."
        yield Advice("more_units", Changes(multiply=paths), why if narrow else control, MLP, not narrow)
    if max(units) >= WIDE and max(units) > 2 * min(look.facts.rows, 1000):
        why = f"The widest hidden layer has {max(units)} units for {counted(look.facts.rows, 'training example')}."
        yield Advice("fewer_units", Changes(multiply=dict.fromkeys(paths, 0.1)), why, MLP)


def depth(look: Look) -> Iterator[Advice]:
    """Advise one more hidden layer, or only two."""
    hidden, output = look.hidden, look.output.name
    units = max(8, min(hidden[-1].dense["units"], 128)) if hidden else 32
    layer = {"units": units, "activation": "relu", "before": output}
    curved = [block for block in hidden if block.activation != "linear"]
    why = "Without a hidden layer, the network is a linear map of its inputs."
    if hidden and not curved:
        why = (
            f"{counted(len(hidden), 'hidden layer')} without an activation: the network is a linear map of its inputs."
        )
    control = f"Popular advice, as a control: one more hidden layer, of {units} units."
    name = "one_more_layer" if hidden else "hidden_layer"
    insert = Changes(insert={look.free_layer("more"): layer})
    yield Advice(name, insert, control if curved else why, MLP, bool(curved))
    if len(hidden) >= DEEP:
        gradients = look.hidden_at("gradient", "first_epoch", "start")
        first, last = gradients.get(hidden[0].name), gradients.get(hidden[-1].name)
        vanished = first is not None and last and first < 0.01 * last
        why = f"{len(hidden)} hidden layers are more than most tables of numbers need."
        if vanished and first is not None and last:
            times = figure(last / max(first, 1e-12))
            why = f"The gradient of the first hidden layer is {times} times smaller than that of the last."
        removed = tuple(each["name"] for block in hidden[1:-1] for each in (block.dense, *block.behind))
        yield Advice("two_hidden_layers", Changes(remove=removed), why, GLOROT, not vanished and len(hidden) == DEEP)


def first_weights(look: Look) -> Iterator[Advice]:
    """Advise Keras's default initializer."""
    if look.posted.initial_weights:
        why = "The first weights come from the file. New ones show whether they are the reason."
        yield Advice("new_weights", Changes(set={"initial_weights": False}), why, GLOROT)
        return
    initializers = {block.name: block.dense["kernel_initializer"] for block in look.blocks}
    others = {name: each for name, each in initializers.items() if not each["name"].startswith(SCALED)}
    constants = sorted({each["name"] for each in others.values() if each["name"] in ("zeros", "ones", "constant")})
    names = ", ".join(sorted({each["name"] for each in others.values()}))
    biases = {
        block.name: block.dense["bias_initializer"] for block in look.blocks
        if block.dense["use_bias"] and block.dense["bias_initializer"]["name"] != "zeros"
    }  # fmt: skip
    if others:
        why = f"The first weights ({names}) do not take the number of inputs of a layer into account."
        if constants:
            why = f"The first weights are {' or '.join(constants)}, so all units of a layer stay equal."
        alone = bool(constants) and not look.hidden  # without hidden units there is nothing to be told apart
        changes = Changes(set={f"layers.{name}.kernel_initializer": "glorot_uniform" for name in others})
        yield Advice("glorot_init", changes, why, GLOROT, alone)
    if biases:
        why = f"The first biases are not zero in {counted(len(biases), 'layer')}."
        changes = Changes(set={f"layers.{name}.bias_initializer": "zeros" for name in biases})
        yield Advice("zero_biases", changes, why, DENSE)


def regularization(look: Look) -> Iterator[Advice]:
    """Advise no dropout, and weaker penalties or none."""
    drops = [layer for layer in look.posted.layers if layer["layer"] == "Dropout" and layer["rate"]]
    if drops:
        behind = [layer["name"] for layer in look.output.behind]
        strongest = max(layer["rate"] for layer in drops)
        narrow = min((block.dense["units"] for block in look.blocks if block.behind), default=WIDE)
        why = (
            f"Dropout sets up to {percent(strongest)} of the values of a layer to 0 in each step, which slows learning."
        )
        if any(layer["name"] in behind for layer in drops):
            why = f"Dropout behind the output layer sets {percent(strongest)} of the answers to 0."
        elif narrow <= 32 and strongest >= 0.3:
            why = f"Dropout of {percent(strongest)} leaves few of the {counted(narrow, 'unit')} of a layer."
        yield Advice(
            "no_dropout", Changes(remove=tuple(layer["name"] for layer in drops)), why, DROPOUT, strongest < 0.2
        )
    elif look.held_out and look.hidden and look.weights > MANY_WEIGHTS * look.facts.rows and not look.posted.by_tnc:
        insert = {
            look.free_layer(f"drop_{block.name}"[:60]): {
                "layer": "Dropout",
                "rate": 0.3,
                "after": (block.behind or (block.dense,))[-1]["name"],
            }
            for block in look.hidden
        }
        each = figure(look.weights / look.facts.rows)
        why = f"The network has {each} weights per training example, and can learn the examples by heart."
        yield Advice("dropout", Changes(insert=insert), why, DROPOUT)
    penalties: dict[str, float] = {
        f"layers.{layer['name']}.{key}": layer[key]
        for layer in look.posted.layers for key in PENALTIES if layer.get(key)
    }  # fmt: skip
    if penalties:
        strongest = max(penalties.values())
        why = f"A penalty of {strongest:g} on weights or outputs competes with the loss."
        yield Advice("no_penalty", Changes(set=dict.fromkeys(penalties, 0.0)), why, REGULARIZATION, strongest < 1e-4)
        if strongest > 1e-3:
            weaker: dict[str, Any] = {path: value * 0.01 for path, value in penalties.items()}
            yield Advice("weaker_penalty", Changes(set=weaker), why, REGULARIZATION)


def normalization(look: Look) -> Iterator[Advice]:
    """Advise batch normalization of hidden layers, or none."""
    layers = [layer for layer in look.posted.layers if layer["layer"] == "BatchNormalization"]
    if layers:
        size = look.posted.batch_size or look.facts.rows
        behind = any(layer in look.output.behind for layer in layers)
        small = size <= 8 or look.steps < 500 or behind
        examples = counted(min(size, look.facts.rows), "example")
        why = f"Batch normalization takes its statistics from {examples} in {counted(look.steps, 'step')}."
        if behind:
            why = "Batch normalization behind the output layer takes the scale of the answers away."
        removed = tuple(layer["name"] for layer in layers)
        yield Advice("no_batch_norm", Changes(remove=removed), why, BATCH_NORMALIZATION, not small)
    elif look.hidden and len(look.hidden) <= MOST_NORMALIZED and not look.posted.by_tnc:
        deep = len(look.hidden) > DEEP
        insert = {
            look.free_layer(f"norm_{block.name}"[:60]): {"layer": "BatchNormalization", "after": block.name}
            for block in look.hidden
        }
        why = f"Values and gradients pass through {len(look.hidden)} hidden layers, and their scales multiply."
        control = "Popular advice, as a control: batch normalization."
        yield Advice("batch_norm", Changes(insert=insert), why if deep else control, BATCH_NORMALIZATION, not deep)


def biases(look: Look) -> Iterator[Advice]:
    """Advise biases."""
    without = [block.name for block in look.blocks if not block.dense["use_bias"]]
    normalized = any(layer["layer"] == "BatchNormalization" for layer in look.posted.layers)
    if without:
        why = f"{counted(len(without), 'layer')} without a bias, so that outputs cannot be shifted."
        changes = Changes(set={f"layers.{name}.use_bias": True for name in without})
        yield Advice("biases", changes, why, DENSE, normalized)


RULES = (hidden_activation, depth, width, first_weights, regularization, biases, normalization)
