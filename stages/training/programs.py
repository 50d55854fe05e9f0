"""The compiled programs of a network: epochs of training, the outputs for examples, and the gradient of a whole set."""

import math
from collections.abc import Sequence
from typing import Any

from stages.config.network import Network
from stages.training import model as models
from stages.training.answers import Answers
from stages.training.keras import compiled, keras, tf
from stages.training.losses import loss_of
from stages.training.roots import BatchNormalization
from stages.training.tensors import added, only, real_mean, slice_rows, summed

# A weight of more numbers is a vector of its own. To cut it out of a longer vector in every step would take longer than
# a vector more.
LARGE = 4096
# Optimizers that change each number by its own gradient alone, so that weights can share a vector.
NUMBER_BY_NUMBER = {"adadelta", "adagrad", "adam", "adamax", "adamw", "ftrl", "lion", "nadam", "rmsprop", "sgd"}


class Programs:
    """Compiles what trains and reads `model`.

    Attributes
    ----------
    epochs, forward, whole_gradient : callable
        See `_epochs`, `_forward` and `_whole_gradient`.
    groups : list of list of int
        The places of the trained weights in each vector that the optimizer works on.
    optimizer : keras.optimizers.Optimizer or None
        None if TNC trains the network.
    start : list of ndarray
        The state of the optimizer before the first step.
    """

    def __init__(self, network: Network, model: keras.Sequential, answers: Answers) -> None:
        self.network, self.model, self.answers = network, model, answers
        self.loss = loss_of(network)
        self.active = [layer for layer in network.layers if layer.get("activity_l1") or layer.get("activity_l2")]
        outputs = [model.get_layer(layer["name"]).output for layer in self.active]
        self.reader = keras.Model(model.inputs, [*model.outputs, *outputs])
        self.trained = model.trainable_variables
        self.penalized = self._penalized()
        self.groups = self._groups()
        # Compile per network, not per module, so that the programs are freed with it.
        self.epochs = compiled(self._epochs)
        self.forward = compiled(self._forward)
        self.whole_gradient = compiled(self._whole_gradient)
        self.optimizer: Any = None
        if not network.by_tnc:
            self.optimizer = models.build_optimizer(network)
            # An optimizer works through a vector faster than through the short rows of a matrix.
            self._vectors = [keras.Variable(vector, dtype=network.dtype) for vector in self.joined(self.trained)]
            self.optimizer.build(self._vectors)
            self.start = [variable.numpy() for variable in self.optimizer.variables]

    def _penalized(self) -> list[tuple[int, Any]]:
        """Return the place of each trained weight that has a penalty, and its regularizer."""
        places = {id(variable): place for place, variable in enumerate(self.trained)}
        found = []
        for layer in self.model.layers:
            for part in models.PENALIZED:
                regularizer = getattr(layer, f"{part}_regularizer", None)
                if part != "activity" and regularizer and getattr(layer, part) is not None:
                    found.append((places[id(getattr(layer, part))], regularizer))
        return found

    def _groups(self) -> list[list[int]]:
        """Return the places of the weights in each vector: few vectors, because each one takes time to compile."""
        sizes = dict(enumerate(math.prod(variable.shape) for variable in self.trained))
        if self.network.by_tnc:
            return [list(sizes)]
        optimizer = self.network.optimizer
        # `clipnorm` cuts the gradient of each weight by a norm of its own.
        shared = optimizer["name"] in NUMBER_BY_NUMBER and not optimizer.get("clipnorm")
        small = [place for place, size in sizes.items() if shared and size <= LARGE]
        return [[place] for place in sizes if place not in small] + ([small] if small else [])

    def joined(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return `tensors`, which have the shapes of the trained weights, as the vectors of `groups`."""
        flat = [tf.reshape(tensor, [-1]) for tensor in tensors]
        return [tf.concat([flat[place] for place in group], axis=0) for group in self.groups]

    def parted(self, vectors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return the tensors that `joined` makes `vectors` of."""
        tensors: dict[int, tf.Tensor] = {}
        for vector, group in zip(vectors, self.groups, strict=True):
            shapes = [self.trained[place].shape for place in group]
            parts = tf.split(vector, [math.prod(shape) for shape in shapes])
            tensors |= dict(zip(group, map(tf.reshape, parts, shapes), strict=True))
        return [tensors[place] for place in range(len(self.trained))]

    def _epochs(
        self,
        order: tuple[tf.Tensor, tf.Tensor],
        count: tf.Tensor,
        train: Sequence[tf.Tensor],
        validation: Sequence[tf.Tensor],
        length: tf.Tensor,
    ) -> tf.Tensor:
        """Train `count` epochs, each in its `order`; return their sums, float64 [most, k].

        `order` are the rows [most, n] and the place of the short batch [most] of `orders.Epoch`.

        A row has the number of steps before which all losses were finite; the sum of the losses and the tally of the
        training examples, of the weights before each step, as `model.fit` counts; then sum of the losses, penalty and
        tally of the validation split, which has `length` rows.
        """
        rows, places = order

        def epoch(number: tf.Tensor, done: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            loss, tally, steps = self._epoch(train, rows[number], places[number])
            row = [steps[tf.newaxis], loss[tf.newaxis], tally]
            if validation:
                row += self._validate(validation, length)
            return number + 1, tf.tensor_scatter_nd_update(done, [[number]], [tf.concat(row, axis=0)])

        width = (2 + self.answers.width) + (2 + self.answers.width if validation else 0)
        nothing = tf.zeros([rows.shape[0], width], tf.float64)
        done: tf.Tensor = tf.while_loop(lambda number, _: number < count, epoch, (tf.constant(0), nothing))[1]
        return done

    def _validate(self, validation: Sequence[tf.Tensor], length: tf.Tensor) -> list[tf.Tensor]:
        n_chunks, rows = validation[0].shape[:2]

        def chunk(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            inputs, targets, labels = (tf.gather(array, number) for array in validation)
            losses, answers, _, _ = self._forward(inputs, targets)
            # The last chunk is filled up with zeros.
            real = number * rows + tf.range(rows) < length
            return tf.reduce_sum(tf.where(real, tf.cast(losses, tf.float64), 0.0)), self.answers.tally(
                answers, labels, real
            )

        nothing = tf.constant(0.0, tf.float64), tf.zeros([self.answers.width], tf.float64)
        loss, tally = summed(chunk, n_chunks, nothing)
        penalty = self.penalty([tf.convert_to_tensor(variable) for variable in self.trained])
        return [loss[tf.newaxis], tf.cast(penalty, tf.float64)[tf.newaxis], tally]

    def _epoch(self, train: Sequence[tf.Tensor], order: tf.Tensor, place: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Pass over the examples in `order`; the short batch, if there is one, is the one at `place`.

        Return the sum of the losses, the tally, and the number of steps before which all losses were finite, float64.
        """
        n_examples = order.shape[0]
        size = min(self.network.batch_size or n_examples, n_examples)
        steps, rest = divmod(n_examples, size)
        for vector, value in zip(self._vectors, self.joined(self.trained), strict=True):
            vector.assign(value)

        def step(real: tf.Tensor | None, *batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
            weights = [tf.convert_to_tensor(vector) for vector in self._vectors]
            loss, gradients, tally = self._value_and_gradients(weights, real, *batch)
            self.optimizer.apply(gradients, self._vectors)
            count = size if real is None else tf.reduce_sum(tf.cast(real, tf.float64))
            return tf.cast(loss, tf.float64) * count, tally, tf.constant(0.0, tf.float64)

        def counted(totals: tuple[tf.Tensor, ...], more: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
            # From the first loss on that is not finite, no sum is. The new sum is left alone, because a further use of
            # it would change how XLA rounds the loss.
            loss, tally, steps = added(totals, more)
            return loss, tally, steps + tf.cast(tf.math.is_finite(totals[0]), tf.float64)

        def at(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
            if not rest:
                rows = slice_rows(order, number * size, size)
                return step(None, *(tf.gather(array, rows) for array in train))
            # One body trains every batch. The short one is filled up with zeros, which are not counted.
            short = number == place
            first = tf.where(short, n_examples - size, (number - tf.cast(number > place, tf.int32)) * size)
            rows = slice_rows(order, first, size)
            real = tf.range(size) >= tf.where(short, size - rest, 0)
            return step(real, *(only(real, tf.gather(array, rows)) for array in train))

        zero = tf.constant(0.0, tf.float64)
        nothing: tuple[tf.Tensor, ...] = zero, tf.zeros([self.answers.width], tf.float64), zero
        if size == n_examples == train[0].shape[0]:
            sums = counted(nothing, step(None, *train))  # the order of a full batch is of no use
        else:
            sums = summed(at, steps + bool(rest), nothing, counted)
        for variable, value in zip(self.trained, self.parted(self._vectors), strict=True):
            variable.assign(value)
        return sums

    def _value_and_gradients(
        self,
        weights: Sequence[tf.Tensor],
        real: tf.Tensor | None,
        examples: tf.Tensor,
        targets: tf.Tensor,
        labels: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
        """Return loss with penalty, gradients, and the tally of a batch; layers with a state take their next one.

        `weights` and gradients are as `joined` returns them. Only the examples `real`, bool [n], count; None is all.
        """
        for layer in self.model.layers:
            if isinstance(layer, BatchNormalization):
                layer.real = real
        with tf.GradientTape() as tape:
            tape.watch(weights)
            parts = self.parted(weights)
            (outputs, *active), state = self.call(self.reader, parts, examples, training=True)
            losses = self.loss(targets, outputs)
            losses = losses if sample_weight is None else losses * sample_weight
            loss = real_mean(losses + self.activity_penalty(active), real) + self.penalty(parts)
        for variable, value in zip(self.reader.non_trainable_variables, state, strict=True):
            variable.assign(value)
        return loss, tape.gradient(loss, weights), self.answers.tally(self.answers.read(outputs), labels, real)

    def next_update(self, weights: Sequence[tf.Tensor], gradients: Sequence[tf.Tensor]) -> list[tf.Tensor] | None:
        """Return what a step of the optimizer would add to each of `weights`, and leave its state as it is.

        None if TNC trains the network.
        """
        if self.optimizer is None:
            return None
        before = [tf.convert_to_tensor(variable) for variable in self.optimizer.variables]
        vectors = self.joined(weights)
        for vector, value in zip(self._vectors, vectors, strict=True):
            vector.assign(value)
        self.optimizer.apply(self.joined(gradients), self._vectors)
        updates = [tf.convert_to_tensor(vector) - value for vector, value in zip(self._vectors, vectors, strict=True)]
        changed = [*self.optimizer.variables, *self._vectors]
        for variable, value in zip(changed, [*before, *vectors], strict=True):
            variable.assign(value)
        return self.parted(updates)

    def _forward(self, examples: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return losses [n], answers [n, ...], outputs [n, units], and the penalty."""
        weights = [tf.convert_to_tensor(variable) for variable in self.trained]
        (outputs, *active), _ = self.call(self.reader, weights, examples, training=False)
        losses = self.loss(targets, outputs) + self.activity_penalty(active)
        return losses, self.answers.read(outputs), outputs, self.penalty(weights)

    def call(
        self, model: keras.Model, weights: Sequence[tf.Tensor], examples: tf.Tensor, training: bool
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Return all outputs of `model`, which has the layers of the network, and the next state of its layers."""
        state = [tf.convert_to_tensor(variable) for variable in model.non_trainable_variables]
        inputs = tf.cast(examples, self.network.dtype)
        outputs, state = model.stateless_call(weights, state, inputs, training=training)
        return tf.nest.flatten(outputs), state

    def activity_penalty(self, active: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the penalty of each example [n] for the outputs of the layers `active`, zero if there are none.

        Keras divides this penalty by the number of examples, so each example has its own.
        """
        penalty = tf.constant(0.0, self.network.dtype)
        for values, layer in zip(active, self.active, strict=True):
            l1, l2 = (tf.constant(layer[f"activity_{norm}"], self.network.dtype) for norm in ("l1", "l2"))
            penalty += tf.reduce_sum(l1 * tf.abs(values) + l2 * values**2, axis=-1)
        return penalty

    def penalty(self, weights: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the sum of the penalties of `weights`."""
        penalties = [regularizer(weights[place]) for place, regularizer in self.penalized]
        return tf.add_n(penalties) if penalties else tf.constant(0.0, self.network.dtype)

    def _whole_gradient(self, vector: tf.Tensor, *train: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return loss, gradient, and the tally of the weights in `vector`, all examples in one batch."""
        loss, (gradient,), tally = self._value_and_gradients([vector], None, *train)
        return loss, gradient, tally
