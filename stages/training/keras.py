"""Keras and TensorFlow, imported without the messages that their native libraries print.

These messages (no GPU found, oneDNN is on) obey no log level and tell nothing to a user of a pipeline for the CPU.
"""

import gc
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable[..., Any])


@contextmanager
def _muted() -> Iterator[None]:
    """Hold back what is written to file descriptor 2, and write it only if the block fails."""
    sys.stderr.flush()
    stderr = os.dup(2)
    # The messages stay in memory, so that a killed process leaves no file.
    with os.fdopen(os.memfd_create("stderr"), "w+b") as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except BaseException:
            messages.seek(0)
            os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@contextmanager
def _hidden(*modules: str) -> Iterator[None]:
    """Let an import of any of `modules` fail within the block, as if they were not installed."""
    absent = [name for name in modules if name not in sys.modules]
    sys.modules.update(cast(dict[str, Any], dict.fromkeys(absent)))
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Do not look for cycles among the objects that the block makes, now or later: there are many, and they stay."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


# Keras and TensorFlow import these if they can, for features that no stage uses. That would take two seconds.
with _muted(), _uncollected(), _hidden("jax", "matplotlib", "pandas", "sklearn"):
    import keras
    import tensorflow as tf

    # No public function gives its operations.
    from tensorflow.compiler.tf2xla.python import xla

    # The search for devices prints too, and would otherwise come with the first tensor.
    tf.config.list_logical_devices()

# TensorFlow warns when one process compiles many programs one by one, which is intended here.
tf.get_logger().setLevel("ERROR")


def kept(tensor: tf.Tensor) -> tf.Tensor:
    """Return `tensor` as XLA must compute it: no operation before it may be merged with one after it."""
    barred = xla.optimization_barrier(tensor)
    return barred[0] if isinstance(barred, list) else barred


def compiled(function: Function) -> Function:
    """Return `function` of tensors as one XLA program, compiled anew for each new shape of its arguments.

    Loops must be TensorFlow's own (`tf.while_loop`), because AutoGraph, which rewrites Python's loops, is off.
    """
    return cast(Function, tf.function(function, jit_compile=True, autograph=False))


def plain_errors(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return `function` with TensorFlow's errors turned into Python's own.

    A process that receives an error of TensorFlow from a worker would have to import TensorFlow. Too little memory
    becomes `MemoryError`, everything else `RuntimeError` with TensorFlow's message.
    """

    @wraps(function)
    def call(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        try:
            return function(*arguments, **options)
        except tf.errors.ResourceExhaustedError as error:
            # Leave out the names of nodes and devices.
            message = re.sub(r"^{{.*?}} | on /job.*| \[Op:.*", "", " ".join(error.message.split()))
            raised: Exception = MemoryError(message)
        except tf.errors.OpError as error:
            raised = RuntimeError(f"TensorFlow: {error.message}").with_traceback(error.__traceback__)
        # Raised outside of the handlers, so that TensorFlow's error does not travel with it as its context.
        raise raised

    return call


__all__ = ["compiled", "kept", "keras", "plain_errors", "tf", "xla"]
