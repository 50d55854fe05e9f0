"""The pipeline: one module per DVC stage, named like the stage."""

from stages.core import runtime

runtime.apply()
