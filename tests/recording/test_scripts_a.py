"""Scripts of every form are recorded as what they train, and train the same as a case: one half."""

from recording.checks import *  # noqa: F403

HALF = 0
