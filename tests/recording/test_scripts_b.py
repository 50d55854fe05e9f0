"""Scripts of every form are recorded as what they train, and train the same as a case: the other half."""

from recording.checks import (
    known,
    pytest_generate_tests,
    test_a_case_trained_by_whichfix_gives_what_the_script_gives,
    test_a_recording_holds_what_the_script_trains,
    test_another_training_of_a_script_is_recorded_on_demand,
    test_the_comparison_notices_a_wrong_recording,
    test_what_cannot_be_recorded_is_refused_with_its_line,
)

__all__ = [
    "known",
    "pytest_generate_tests",
    "test_a_case_trained_by_whichfix_gives_what_the_script_gives",
    "test_a_recording_holds_what_the_script_trains",
    "test_another_training_of_a_script_is_recorded_on_demand",
    "test_the_comparison_notices_a_wrong_recording",
    "test_what_cannot_be_recorded_is_refused_with_its_line",
]

HALF = 1
