"""Scripts of every form are recorded as what they train, and train the same as a case: the other half."""

from recording.checks import *  # noqa: F403
from recording.checks import test_another_training_of_a_script_is_recorded_on_demand  # noqa: F401

HALF = 1
