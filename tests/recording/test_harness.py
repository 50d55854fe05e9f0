"""The comparison of two trainings raises no more false alarms than it says, and the scripts cover what was promised."""

import numpy as np

from recording.harness import EXPECTED, LEVEL, SCRIPTS, TAKEN, differing, p_value


def test_every_script_says_what_a_right_recording_holds() -> None:
    assert {path.name for path in SCRIPTS.glob("*.py")} == EXPECTED.keys()
    assert sum(EXPECTED[script].get("own", True) for script in TAKEN) >= 25


def test_the_whole_suite_raises_a_false_alarm_with_less_than_one_percent() -> None:
    numbers = sum(3 if "validation" in EXPECTED[script] else 2 for script in TAKEN)
    assert numbers * LEVEL < 0.01


def test_samples_of_one_skewed_distribution_rarely_differ() -> None:
    random = np.random.default_rng(1)
    values = [p_value(*random.lognormal(sigma=1.5, size=(2, 10))) for _ in range(300)]
    assert np.mean(np.array(values) < 0.05) < 0.1
    assert 0.3 < np.mean(values) < 0.7


def test_samples_three_deviations_apart_differ() -> None:
    random = np.random.default_rng(2)
    a, b = random.normal(size=10), random.normal(size=10) + 3
    assert differing({"loss": a}, {"loss": b}).keys() == {"loss"}
    assert differing({"loss": a}, {"loss": a + 1e-9}) == {}
    assert differing({"loss": np.full(10, 0.5)}, {"loss": np.full(10, 0.51)}).keys() == {"loss"}
