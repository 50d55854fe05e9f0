"""Matrix products whose sums are added in an order that no processor changes.

In float32, TensorFlow hands a plain product to YNNPACK, which cuts it in the same way on every processor. Two kinds of
product go to Eigen instead, which cuts them by the sizes of the processor's caches: products of a transposed matrix,
such as the gradient of a kernel, and all products in float64.
"""

from collections.abc import Callable

from stages.training.keras import kept, keras, tf
from stages.training.tensors import summed

# In float64, Eigen does not cut a sum of this many terms if the first-level cache has 32 KB or more.
TERMS = 240


@tf.custom_gradient  # type: ignore[untyped-decorator]
def product(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """Return `x` [n, inputs] times `kernel` [inputs, units], with its gradients."""

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _plain(upstream, tf.transpose(kernel)), _plain(kept(tf.transpose(x)), upstream)

    return _plain(x, kernel), gradients


def _plain(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Return the matrix product of `left` [n, terms] and `right` [terms, m]."""
    terms = left.shape[1]
    if left.dtype == tf.float32 or terms <= TERMS:
        return tf.matmul(left, right)
    rest = terms % TERMS
    sums = tf.matmul(left[:, :rest], right[:rest])

    def part(number: tf.Tensor) -> tf.Tensor:
        start = rest + number * TERMS
        return tf.matmul(
            tf.slice(left, [0, start], [left.shape[0], TERMS]), tf.slice(right, [start, 0], [TERMS, right.shape[1]])
        )

    return summed(part, terms // TERMS, sums)


class Dense(keras.layers.Dense):  # type: ignore[misc]
    """The layer of Keras, by way of `product`."""

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Return the outputs [n, units] of `inputs` [n, features]."""
        outputs = product(inputs, tf.convert_to_tensor(self.kernel))
        if self.use_bias:
            outputs += self.bias
        return outputs if self.activation is None else self.activation(outputs)
