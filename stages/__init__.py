"""The pipeline: one module per DVC stage, named like the stage."""

import gc

from stages.core import runtime

runtime.apply()
# Imports make hundreds of thousands of objects that last: to search them for garbage time and again, as Python's own
# threshold has it, takes a tenth of a short stage.
gc.set_threshold(50_000)
