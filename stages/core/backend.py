"""TensorFlow and Keras, without what their native libraries print while they start.

These lines (no GPU found, oneDNN is on) obey no log level and say nothing to a user of a pipeline for the CPU.
"""

import gc
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

Given = ParamSpec("Given")
Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable[..., Any])


@contextmanager
def muted() -> Iterator[None]:
    """Hold back what is written to file descriptor 2; write it after all when the block fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    # In memory: a process that is killed leaves no file.
    with os.fdopen(os.memfd_create("stderr"), "w+b") as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(kept, notes.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Let an import of any of `modules` fail within the block, as where they are not installed."""
    absent = {name: None for name in modules if name not in sys.modules}
    sys.modules.update(cast(dict[str, Any], absent))
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


@contextmanager
def collecting_no_garbage() -> Iterator[None]:
    """Spare an import that makes millions of lasting objects the search for garbage among them."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


# Keras and TensorFlow import these, where they are installed, for what no stage uses; it would take two seconds more.
with muted(), without("jax", "matplotlib", "pandas", "sklearn"), collecting_no_garbage():
    import keras
    import tensorflow as tf

    # The search for devices prints too; it would else come with the first tensor.
    tf.config.list_logical_devices()

# It would warn that several configurations in one process are compiled one by one, which is what is wanted.
tf.get_logger().setLevel("ERROR")


def compiled(function: Function) -> Function:
    """`function` of tensors as one XLA program, compiled anew for each new shape of its arguments.

    Its loops are TensorFlow's own (`tf.while_loop`): AutoGraph, which would rewrite Python's, is off.
    """
    return cast(Function, tf.function(function, jit_compile=True, autograph=False))


def plain_errors(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """`function`, with TensorFlow's own errors as Python's.

    What reads such an error from a worker would import TensorFlow, noise and all. They are `MemoryError` where memory
    is not enough, else `RuntimeError` with all that TensorFlow says.
    """

    @wraps(function)
    def called(*arguments: Given.args, **options: Given.kwargs) -> Result:
        raised: Exception
        try:
            return function(*arguments, **options)
        except tf.errors.ResourceExhaustedError as error:
            # Without the names of nodes and devices.
            raised = MemoryError(re.sub(r"^{{.*?}} | on /job.*| \[Op:.*", "", " ".join(error.message.split())))
        except tf.errors.OpError as error:
            raised = RuntimeError(f"TensorFlow: {error.message}").with_traceback(error.__traceback__)
        # Out here, or TensorFlow's error would go with it as its context.
        raise raised

    return called


__all__ = ["compiled", "keras", "plain_errors", "tf"]
