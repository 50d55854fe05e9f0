"""The compiled training loop: many epochs are one XLA program around ordinary Keras objects.

It learns what `model.fit` learns and reports what `model.fit` reports. Everything that decides a result is computed
inside a compiled function, because eager products differ between processors and compiled ones do not, under the
settings in base/processor.py.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from stages.config.network import Network
from stages.data import scoring
from stages.data.prepared import Prepared
from stages.training import model as models
from stages.training import orders, symptoms
from stages.training.answers import Answers, statistics, targets_of
from stages.training.inputs import Inputs
from stages.training.keras import plain_errors, tf
from stages.training.probe import Probe
from stages.training.products import Dense
from stages.training.programs import Programs
from stages.training.roots import BatchNormalization
from stages.training.runs import Run
from stages.training.tensors import chunks, exact_mean, tensor_of
from stages.training.watch import Row, Watch

# Layers that take the place of Keras's: the bits of the first two do not depend on the processor, and the last one can
# change after it is compiled.
LAYERS = {"Dense": Dense, "BatchNormalization": BatchNormalization, "Inputs": Inputs}
# One program evaluates every split, at most this many examples at a time: a program per split would take as long to
# compile as to run. The outputs for an example do not depend on the examples beside it.
ROWS = 5000
# A call of the program trains so many epochs at most, and gets so many numbers of the order of the examples.
MOST_EPOCHS, MOST_ORDERS = 256, 4_000_000


class Trainer:
    """Trains a network on data, seed after seed, and compiles its programs only once.

    Parameters
    ----------
    network : Network
        What to train; `configure` changes it.
    data : Prepared
        The split ``train`` must be there, other splits may be.

    Raises
    ------
    ValueError
        If Keras refuses the network, or the data for it.
    """

    @plain_errors
    def __init__(self, network: Network, data: Prepared) -> None:
        self.network = network
        self.model = models.build_model(network, data.shape, None, LAYERS)
        self.load(data)
        self.answers = Answers(network, data.facts, self.known)
        self.weights = models.weights_of(self.model, network)
        self.programs = Programs(network, self.model, self.answers)
        self.probe = Probe(self.programs)

    @plain_errors
    def configure(self, network: Network) -> None:
        """Train `network` from now on, without compiling anything again.

        Raises
        ------
        ValueError
            If `network` needs another program.
        """
        if network.program != self.network.program:
            raise ValueError(f"{network.program} needs another program than {self.network.program}")
        loaded = self.network
        self.network = network
        if (network.class_weight, network.inputs) != (loaded.class_weight, loaded.inputs):
            self.load(self.data)
        for layer in network.layers:
            if network.shares(layer):
                self.model.get_layer(layer["name"]).kernel_regularizer.l2.assign(layer["l2"])

    @plain_errors
    def load(self, data: Prepared) -> None:
        """Train on `data` from now on. Nothing is compiled again if `data` has the shapes of the data before it."""
        self.data, self.labels = data, data.y
        self.known = statistics(self.network, data)
        self.model.get_layer(models.PREPARING).set(self.network, self.known.inputs)
        targets = {split: targets_of(self.network, data, split, self.known) for split in data.y}
        train: tuple[Any, ...] = (data.x["train"], targets["train"], data.y["train"])
        weight = self._sample_weight()
        self._train = tuple(map(tensor_of, train if weight is None else (*train, weight)))
        few = symptoms.rows(len(data.y["train"]))
        seen = (data.x["train"], targets["train"], *([] if weight is None else [weight]))
        self._sample = tuple(tensor_of(array[few]) for array in seen)
        self._length = orders.rows_per_epoch(self.network, len(self.labels["train"]))
        self._rows = min(ROWS, max(map(len, self.labels.values())))
        self._targets = targets
        self._validation = self._stacked()

    def _sample_weight(self) -> np.ndarray | None:
        """Return the weights of the training examples, float [n]; those of classes are as in Keras."""
        weights, dtype = self.network.class_weight, self.network.dtype
        if weights is None:
            own = self.data.sample_weight
            return None if own is None else own.astype(dtype)
        given = self.data.given("train")
        given = given if given.ndim == 1 else given[:, 0] if given.shape[1] == 1 else np.argmax(given, axis=1)
        return np.array([weights.get(int(number), 1.0) for number in np.round(given)], dtype)

    @plain_errors
    def run(self, seed: int, on_epoch: Callable[[int], None] = lambda epoch: None) -> Run:
        """Train from the first weights of `seed`; `on_epoch(number)` is called after some epochs, from 1 on."""
        weights_generator, order_generator, dropout_generator = models.streams(seed)
        models.initialize(self.model, self.network, weights_generator, self.data.first_weights)
        for layer in self.model.layers:
            if hasattr(layer, "seed_generator"):
                layer.seed_generator.state.assign(dropout_generator.integers(2**31, size=2))
        epochs = orders.epochs(self.network, len(self.labels["train"]), order_generator)
        history: list[Row] = []
        finite_steps: list[int] = []
        moments: dict[str, dict[str, Any]] = {}
        self._whole = {split: self.answers.whole(labels) for split, labels in self.labels.items()}

        def add(row: Row, n_finite: int) -> None:
            history.append(row)
            finite_steps.append(n_finite)
            on_epoch(len(history))

        def look(moment: str) -> None:
            moments[moment] = self.probe.measure(self.network, self._sample)

        if self.network.by_tnc:
            look("start")
            calls = self.network.optimizer["max_function_calls"]
            self._minimize(calls, lambda row: add(row, int(math.isfinite(row[0]))))
        else:
            for row, n_finite in self._fit(epochs, look):
                add(row, n_finite)
        look("end")
        evaluations = {split: self._evaluate(split) for split in self.labels}
        measures = {
            split: scoring.measures(self.data.facts.task, self.labels[split], predicted, self.answers.ranking(outputs))
            for split, (_, predicted, outputs) in evaluations.items()
        }
        pictures = self.data.side is not None and "test" in evaluations
        return Run(
            seed=seed,
            history=np.array(history),
            scores={split: next(iter(named.values())) for split, named in measures.items()},
            measures=measures,
            losses={split: loss for split, (loss, _, _) in evaluations.items()},
            predicted={split: predicted for split, (_, predicted, _) in evaluations.items()},
            confidence=self.answers.confidence(evaluations["test"][2], evaluations["test"][1]) if pictures else None,
            weights={name: variable.numpy() for name, variable in self.weights.items()},
            steps=len(history) * self.steps_per_epoch,
            symptoms=symptoms.of_run(moments, finite_steps, self.steps_per_epoch),
            keras_accuracy={
                split: scoring.keras_accuracy(self._targets[split], outputs)
                for split, (_, _, outputs) in evaluations.items()
            },
        )

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of gradient evaluations per row of the history; the last batch may be a short one."""
        return math.ceil(self._length / self.network.batch_size) if self.network.batch_size else 1

    def _chunks(self, split: str) -> list[Iterator[tf.Tensor]]:
        """Return the inputs and the targets of `split` in chunks, which are made when they are needed."""
        return [chunks(array, self._rows) for array in (self.data.x[split], self._targets[split])]

    def _evaluate(self, split: str) -> tuple[float, np.ndarray, np.ndarray]:
        """Return loss, answers [n, ...] and outputs [n, units] of the current weights on `split`."""
        found = [self.programs.forward(*chunk) for chunk in zip(*self._chunks(split), strict=True)]
        length = len(self.labels[split])
        losses, predicted, outputs = (
            np.concatenate([each[place].numpy() for each in found])[:length] for place in range(3)
        )
        # The exact sum has one value, in whatever order a machine adds.
        return exact_mean(losses) + float(found[0][3]), predicted, outputs

    def _fit(self, examples: Iterator[orders.Epoch], look: Callable[[str], None]) -> Iterator[tuple[Row, int]]:
        """Train epoch after epoch; yield for each a row of the history and its number of steps before the first
        one whose loss is not finite.

        `look` is called at the start and after the first epoch.
        """
        optimizer = self.programs.optimizer
        for variable, value in zip(optimizer.variables, self.programs.start, strict=True):
            variable.assign(value)
        rate = self.network.optimizer["learning_rate"]
        if not isinstance(rate, dict) and not self.network.optimizer["decay"]:
            optimizer.learning_rate = rate
        watch = Watch(self.network, self.model, optimizer)
        look("start")
        epochs, done = self.network.epochs or 0, 0
        most = max(1, min(MOST_EPOCHS, MOST_ORDERS // self._length))
        while done < epochs and not watch.stopped:
            count = 1 if watch.callbacks or not done else min(most - done % most, epochs - done)
            rows, places = np.zeros((most, self._length), np.int32), np.zeros(most, np.int32)
            for number in range(count):
                rows[number], places[number] = next(examples)
            order = tf.constant(rows), tf.constant(places)
            sums = self.programs.epochs(order, tf.constant(count), self._train, *self._validation).numpy()[:count]
            if not done:
                look("first_epoch")
            for of_epoch in sums.tolist():
                row = self._row(of_epoch[1:])
                yield row, int(of_epoch[0]) - (not math.isfinite(row[0]))
                done += 1
                watch.after(done, row)
        watch.end()

    def _stacked(self) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Return inputs, targets and labels of the validation split in chunks, [chunks, rows, ...], and its length.

        Without this split, the list is empty.
        """
        if "validation" not in self.labels:
            return [], tf.constant(0)
        labels = chunks(self.labels["validation"], self._rows)
        pieces = [tf.stack(list(pieces)) for pieces in (*self._chunks("validation"), labels)]
        return pieces, tf.constant(len(self.labels["validation"]))

    def _row(self, sums: Sequence[float]) -> Row:
        """Return a row of the history from what an epoch adds up."""
        width = self.answers.width
        # An epoch can have more or fewer examples than the data.
        share = len(self.labels["train"]) / self._length
        score = self.answers.score([tally * share for tally in sums[1 : 1 + width]], self._whole["train"])
        loss, rest = sums[0] / self._length, sums[1 + width :]
        if not rest:
            return loss, score, math.nan, math.nan
        validation_loss = rest[0] / len(self.labels["validation"]) + rest[1]
        return loss, score, validation_loss, self.answers.score(rest[2:], self._whole["validation"])

    def _minimize(self, max_function_calls: int, on_call: Callable[[Row], None]) -> None:
        """Minimize the loss of the whole training set by SciPy's TNC; each function call gives a row."""
        from scipy.optimize import minimize  # takes a quarter of a second, and only TNC needs it

        def value_and_gradient(vector: np.ndarray) -> tuple[float, np.ndarray]:
            self._assign(vector)
            loss, gradient, tally = self.programs.whole_gradient(tf.constant(vector, self.network.dtype), *self._train)
            validation = (math.nan, math.nan)
            if "validation" in self.labels:
                value, predicted, _ = self._evaluate("validation")
                actual = self.labels["validation"]
                named = scoring.measures(self.answers.task, actual, predicted, None)
                validation = (value, next(iter(named.values())))
            on_call((float(loss), self.answers.score(tally.numpy().tolist(), self._whole["train"]), *validation))
            return float(loss), gradient.numpy()

        start = np.concatenate([variable.numpy().ravel() for variable in self.model.trainable_variables])
        options = {"maxfun": max_function_calls}
        result = minimize(value_and_gradient, start, method="TNC", jac=True, options=options)
        self._assign(result.x)

    def _assign(self, vector: np.ndarray) -> None:
        """Set all weights from one vector."""
        start = 0
        for variable in self.model.trainable_variables:
            size = math.prod(variable.shape)
            variable.assign(vector[start : start + size].reshape(variable.shape))
            start += size
