"""The compiled programs of a network: epochs of training, the outputs for examples, and the gradient of a whole set."""

import math
from collections.abc import Sequence
from typing import Any

from stages.config.network import Network
from stages.training import model as models
from stages.training.answers import Answers
from stages.training.keras import compiled, keras, tf
from stages.training.losses import loss_of
from stages.training.tensors import added, slice_rows, summed


class Programs:
    """Compiles what trains and reads `model`.

    Attributes
    ----------
    epochs, forward, whole_gradient : callable
        See `_epochs`, `_forward` and `_whole_gradient`.
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
        self.reader = keras.Model(model.inputs, [*model.outputs, *outputs]) if outputs else model
        # Compile per network, not per module, so that the programs are freed with it.
        self.epochs = compiled(self._epochs)
        self.forward = compiled(self._forward)
        self.whole_gradient = compiled(self._whole_gradient)
        self.optimizer: Any = None
        if not network.by_tnc:
            self.optimizer = models.build_optimizer(network)
            # While they are trained, the weights are vectors: an optimizer works through a vector faster than through
            # the short rows of a matrix.
            self._vectors = [
                keras.Variable(tf.reshape(variable, [-1]), dtype=network.dtype)
                for variable in model.trainable_variables
            ]
            self.optimizer.build(self._vectors)
            self.start = [variable.numpy() for variable in self.optimizer.variables]

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
        return [loss[tf.newaxis], tf.cast(self._penalty(), tf.float64)[tf.newaxis], tally]

    def _epoch(self, train: Sequence[tf.Tensor], order: tf.Tensor, place: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Pass over the examples in `order`.

        Return the sum of the losses, the tally, and the number of steps before which all losses were finite, float64.
        """
        n_examples = order.shape[0]
        size = min(self.network.batch_size or n_examples, n_examples)
        steps, rest = divmod(n_examples, size)
        for vector, variable in zip(self._vectors, self.model.trainable_variables, strict=True):
            vector.assign(tf.reshape(variable, [-1]))

        def step(*batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
            weights = [tf.convert_to_tensor(vector) for vector in self._vectors]
            loss, gradients, tally = self._value_and_gradients(weights, *batch)
            self.optimizer.apply(gradients, self._vectors)
            return tf.cast(loss, tf.float64) * batch[0].shape[0], tally, tf.constant(0.0, tf.float64)

        def counted(totals: tuple[tf.Tensor, ...], more: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
            # From the first loss on that is not finite, no sum is. The new sum is left alone, because a further use of
            # it would change how XLA rounds the loss.
            loss, tally, steps = added(totals, more)
            return loss, tally, steps + tf.cast(tf.math.is_finite(totals[0]), tf.float64)

        def gathered(rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return step(*(tf.gather(array, rows) for array in train))

        def full(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return gathered(slice_rows(order, number * size, size))

        def short_at_place(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
            before = tf.cast(number > place, tf.int32)
            sums: tuple[tf.Tensor, ...] = tf.cond(
                number == place, lambda: gathered(order[-rest:]), lambda: full(number - before)
            )
            return sums

        zero = tf.constant(0.0, tf.float64)
        nothing: tuple[tf.Tensor, ...] = zero, tf.zeros([self.answers.width], tf.float64), zero
        if size == n_examples == train[0].shape[0]:
            sums = counted(nothing, step(*train))  # the order of a full batch is of no use
        elif rest and self.network.shuffle == "batches":
            sums = summed(short_at_place, steps + 1, nothing, counted)
        else:
            sums = summed(full, steps, nothing, counted)
            if rest:
                sums = counted(sums, gathered(order[-rest:]))
        for vector, variable in zip(self._vectors, self.model.trainable_variables, strict=True):
            variable.assign(tf.reshape(vector, variable.shape))
        return sums

    def _value_and_gradients(
        self,
        weights: Sequence[tf.Tensor],
        examples: tf.Tensor,
        targets: tf.Tensor,
        labels: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
        """Return loss with penalty, gradients, and the tally of a batch; layers with a state take their next one.

        `weights` and gradients are vectors.
        """
        with tf.GradientTape() as tape:
            tape.watch(weights)
            shaped = [
                tf.reshape(vector, variable.shape)
                for vector, variable in zip(weights, self.model.trainable_variables, strict=True)
            ]
            state = [tf.convert_to_tensor(variable) for variable in self.model.non_trainable_variables]
            inputs = tf.cast(examples, self.network.dtype)
            outputs, state, penalties = self.model.stateless_call(
                shaped, state, inputs, training=True, return_losses=True
            )
            losses = self.loss(targets, outputs)
            losses = losses if sample_weight is None else losses * sample_weight
            loss = tf.add_n([tf.reduce_mean(losses), *penalties])
        for variable, value in zip(self.model.non_trainable_variables, state, strict=True):
            variable.assign(value)
        return loss, tape.gradient(loss, weights), self.answers.tally(self.answers.read(outputs), labels)

    def next_update(self, weights: Sequence[tf.Tensor], gradients: Sequence[tf.Tensor]) -> list[tf.Tensor] | None:
        """Return what a step of the optimizer would add to `weights`, vectors, and leave its state as it is.

        None if TNC trains the network.
        """
        if self.optimizer is None:
            return None
        before = [tf.convert_to_tensor(variable) for variable in self.optimizer.variables]
        for vector, value in zip(self._vectors, weights, strict=True):
            vector.assign(value)
        self.optimizer.apply(gradients, self._vectors)
        updates = [tf.convert_to_tensor(vector) - value for vector, value in zip(self._vectors, weights, strict=True)]
        changed = [*self.optimizer.variables, *self._vectors]
        for variable, value in zip(changed, [*before, *weights], strict=True):
            variable.assign(value)
        return updates

    def _forward(self, examples: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return losses [n], answers [n, ...], outputs [n, units], and the penalty."""
        outputs, *active = self._outputs(tf.cast(examples, self.network.dtype))
        losses = self.loss(targets, outputs)
        for values, layer in zip(active, self.active, strict=True):
            # Keras divides this penalty by the number of examples, so each example has its own.
            l1, l2 = (tf.constant(layer[f"activity_{norm}"], self.network.dtype) for norm in ("l1", "l2"))
            losses += tf.reduce_sum(l1 * tf.abs(values) + l2 * values**2, axis=-1)
        return losses, self.answers.read(outputs), outputs, self._penalty()

    def _outputs(self, inputs: tf.Tensor) -> list[tf.Tensor]:
        """Return the outputs of the network [n, units], and those of the layers `active`."""
        state = [tf.convert_to_tensor(variable) for variable in self.reader.non_trainable_variables]
        weights = [tf.convert_to_tensor(variable) for variable in self.reader.trainable_variables]
        outputs, _ = self.reader.stateless_call(weights, state, inputs, training=False)
        return list(outputs) if self.active else [outputs]

    def _penalty(self) -> tf.Tensor:
        """Return the sum of the penalties of all weights."""
        penalties = [
            getattr(layer, f"{part}_regularizer")(getattr(layer, part))
            for layer in self.model.layers
            for part in models.PENALIZED
            if part != "activity" and getattr(layer, f"{part}_regularizer", None) and getattr(layer, part) is not None
        ]
        return tf.add_n(penalties) if penalties else tf.constant(0.0, self.network.dtype)

    def _whole_gradient(self, vector: tf.Tensor, *train: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return loss, gradient, and the tally of the weights in `vector`, all examples in one batch."""
        weights = tf.split(vector, [math.prod(variable.shape) for variable in self.model.trainable_variables])
        loss, gradients, tally = self._value_and_gradients(weights, *train)
        return loss, tf.concat(gradients, axis=0), tally
