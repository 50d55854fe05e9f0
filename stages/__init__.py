"""The pipeline: one module per DVC stage, named like the stage."""

import gc
import sys

from stages.core import errors, runtime

runtime.apply()
# Here, as Ctrl-C may come while a stage still imports.
sys.excepthook = errors.quiet_interrupt
# Imports make hundreds of thousands of objects that last: to search them for garbage time and again, as Python's own
# threshold has it, takes a tenth of a short stage.
gc.set_threshold(50_000)
