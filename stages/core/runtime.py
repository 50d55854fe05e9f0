"""Settings under which every x86-64 processor computes the same bits.

The libraries read them when they are first imported, so `apply` runs before that: `stages/__init__.py` calls it.
"""

import os
import sys

XLA_FLAGS = (
    # AVX2 is the widest instruction set that every supported processor has: wider vectors sum in another order.
    "--xla_cpu_max_isa=AVX2",
    # XNNPACK picks its kernels by processor, whatever the line above says.
    "--xla_cpu_use_xnnpack=false",
    "--xla_cpu_enable_platform_dependent_math=false",
)

SETTINGS = {
    "XLA_FLAGS": " ".join(XLA_FLAGS),
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    # NumPy's name for its AVX-512 kernels; its float64 logarithm differs with them.
    "NPY_DISABLE_CPU_FEATURES": "X86_V4",
    # A sum split over threads depends on their number.
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "KERAS_BACKEND": "tensorflow",
    # The compiled loops are for the CPU: a GPU adds in an order of its own.
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}

READERS = ("numpy", "tensorflow")


def apply() -> None:
    """Put `SETTINGS` into the environment of this process and of those it starts.

    Raises
    ------
    RuntimeError
        When NumPy or TensorFlow is already imported under other settings: it would not read these any more.
    """
    differing = {name for name, value in SETTINGS.items() if os.environ.get(name) != value}
    imported = [name for name in READERS if name in sys.modules]
    if differing and imported:
        raise RuntimeError(f"import stages before {imported[0]}: {', '.join(sorted(differing))} would have no effect")
    os.environ.update(SETTINGS)
