"""Settings under which every x86-64 processor computes the same bits.

The libraries read these environment variables when they are first imported, so `stages/__main__.py` applies them
before it imports anything else.
"""

import os
import sys

XLA_FLAGS = (
    # AVX2 is the widest instruction set that every supported processor has. Wider vectors sum in another order.
    "--xla_cpu_max_isa=AVX2",
    # XNNPACK chooses its kernels by processor, whatever the line above says.
    "--xla_cpu_use_xnnpack=false",
    "--xla_cpu_enable_platform_dependent_math=false",
    # Options of LLVM. A loop over the units of a small layer is not written out, which would take most of the time of
    # compiling. What LLVM takes for the best number of sums side by side depends on the processor, so it is one vector.
    "--xla_backend_extra_options=-unroll-full-max-count=0,-force-vector-interleave=1,-vectorize-slp=false",
)

SETTINGS = {
    "XLA_FLAGS": " ".join(XLA_FLAGS),
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    # NumPy's name for its AVX-512 kernels; with them its float64 logarithm differs.
    "NPY_DISABLE_CPU_FEATURES": "X86_V4",
    # A sum that is split over threads depends on their number.
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "KERAS_BACKEND": "tensorflow",
    # A GPU adds in an order of its own.
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}

READERS = ("numpy", "tensorflow")


def apply() -> None:
    """Put `SETTINGS` into the environment of this process and of the processes that it starts.

    Raises
    ------
    RuntimeError
        If NumPy or TensorFlow has already been imported under other settings.
    """
    differing = sorted(name for name, value in SETTINGS.items() if os.environ.get(name) != value)
    imported = [name for name in READERS if name in sys.modules]
    if differing and imported:
        raise RuntimeError(f"{imported[0]} is already imported; {', '.join(differing)} would have no effect")
    os.environ.update(SETTINGS)
