"""The view of a case that the rules have: a network as posted, facts of its data, and the symptoms of one training."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from stages.config.fixes import Fix
from stages.config.network import Layer, PostedNetwork
from stages.config.schema import Task
from stages.diagnosis.facts import DataFacts

# Layers that are activations of one kind.
ACTIVATION_LAYERS = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu", "PReLU": "prelu", "Softmax": "softmax"}
# Activations that are flat at both ends.
SATURATING = ("sigmoid", "hard_sigmoid", "tanh", "hard_tanh", "softsign")


class Suggestion(NamedTuple):
    """A fix that a rule suggests. `control` says that it is popular advice for which nothing in the case speaks."""

    name: str
    fix: Fix
    rule: str
    control: bool


class Block(NamedTuple):
    """A Dense layer with the layers up to the next one."""

    dense: Layer
    behind: tuple[Layer, ...]

    @property
    def name(self) -> str:
        """Return the name of the Dense layer."""
        return str(self.dense["name"])

    @property
    def activations(self) -> list[str]:
        """Return the activations in order, without linear ones."""
        found = [self.dense["activation"]]
        found += [ACTIVATION_LAYERS.get(layer["layer"]) or layer.get("activation", "linear") for layer in self.behind]
        return [activation for activation in found if activation != "linear"]

    @property
    def activation(self) -> str:
        """Return the activation in words, ``linear`` if there is none."""
        return " then ".join(self.activations) or "linear"

    def changed(self, activation: str) -> "Changes":
        """Return the changes after which the block has this activation alone."""
        carriers = [self.dense, *(layer for layer in self.behind if layer["layer"] == "Activation")]
        wanted = {layer["name"]: "linear" for layer in carriers} | {carriers[-1]["name"]: activation}
        return Changes(
            set={
                f"layers.{layer['name']}.activation": wanted[layer["name"]]
                for layer in carriers
                if layer is carriers[-1] or layer["activation"] != "linear"
            },
            remove=tuple(layer["name"] for layer in self.behind if layer["layer"] in ACTIVATION_LAYERS),
        )


class Changes(NamedTuple):
    """The operations of a fix."""

    set: Mapping[str, Any] = {}
    multiply: Mapping[str, float] = {}
    insert: Mapping[str, Mapping[str, Any]] = {}
    remove: tuple[str, ...] = ()

    def __or__(self, other: "Changes") -> "Changes":
        """Return both changes as one."""
        return Changes(
            {**self.set, **other.set},
            {**self.multiply, **other.multiply},
            {**self.insert, **other.insert},
            (*self.remove, *(layer for layer in other.remove if layer not in self.remove)),
        )


class Advice(NamedTuple):
    """A change that a rule advises, its reason, and the address where the advice is found."""

    name: str
    changes: Changes
    why: str
    source: str
    control: bool = False


Rule = Callable[["Look"], Iterator[Advice]]


@dataclass(frozen=True)
class Look:
    """A case as posted, facts of its data, and the symptoms of one run, None if none was trained.

    `held_out` says that the case is judged by rows that the network does not learn.
    """

    posted: PostedNetwork
    task: Task
    facts: DataFacts
    symptoms: Mapping[str, Any] | None = None
    held_out: bool = False

    @property
    def blocks(self) -> list[Block]:
        """Return the Dense layers with what stands behind them; the last one is the output."""
        blocks: list[tuple[Layer, list[Layer]]] = []
        for layer in self.posted.layers:
            if layer["layer"] == "Dense":
                blocks.append((layer, []))
            elif blocks:
                blocks[-1][1].append(layer)
        return [Block(dense, tuple(behind)) for dense, behind in blocks]

    @property
    def hidden(self) -> list[Block]:
        """Return the hidden Dense layers."""
        return self.blocks[:-1]

    @property
    def output(self) -> Block:
        """Return the output layer."""
        return self.blocks[-1]

    @property
    def free_layer(self) -> Callable[[str], str]:
        """Return a function from a name to the same name, or one with a number, that no layer has."""
        taken = {layer["name"] for layer in self.posted.layers}

        def free(name: str) -> str:
            return next(each for each in (name, *(f"{name}_{i}" for i in range(2, 99))) if each not in taken)

        return free

    @property
    def weights(self) -> int:
        """Return the number of weights of the kernels."""
        widths = (self.facts.inputs.columns, *(block.dense["units"] for block in self.blocks))
        return sum(before * after for before, after in pairwise(widths))

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of training steps of an epoch."""
        batch = self.posted.batch_size or self.facts.rows
        return self.posted.steps_per_epoch or max(1, -(-self.facts.rows // batch))

    @property
    def steps(self) -> int:
        """Return the number of training steps; function calls count as such."""
        calls: int = self.posted.optimizer.get("max_function_calls", 0)
        return calls or self.steps_per_epoch * (self.posted.epochs or 1)

    def moment(self, *moments: str) -> Mapping[str, Any]:
        """Return the symptoms at the first of `moments` that has any."""
        found = (self.symptoms or {}).get
        return next((found(each) for each in moments if found(each)), None) or {}

    def layers_at(self, quantity: str, *moments: str) -> dict[str, float]:
        """Return a quantity such as ``dead`` by layer, where it is known."""
        layers: Sequence[Mapping[str, Any]] = self.moment(*moments).get("layers", ())
        return {layer["name"]: layer[quantity] for layer in layers if layer.get(quantity) is not None}

    def hidden_at(self, quantity: str, *moments: str) -> dict[str, float]:
        """Return a quantity by layer, without the layers of the output."""
        output = {self.output.name, *(layer["name"] for layer in self.output.behind)}
        return {name: each for name, each in self.layers_at(quantity, *moments).items() if name not in output}

    @property
    def not_finite(self) -> int | None:
        """Return the first training step whose loss was not finite."""
        found: int | None = (self.symptoms or {}).get("first_not_finite")
        return found


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 class`` or ``3 classes``."""
    plural = {"batch": "batches", "class": "classes"}.get(noun, f"{noun}s")
    return f"{number} {noun if number == 1 else plural}"


def percent(share: float) -> str:
    """Return a share as a percentage of two digits, of three near 100%."""
    return f"{100 * share:.3g}%" if share > 0.99 else f"{figure(100 * share)}%"


def figure(value: float) -> str:
    """Return a number of two digits, without an exponent if it is not far from 1."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.12g}" if 1e-4 <= abs(rounded) < 1e7 or not rounded else f"{rounded:g}"
