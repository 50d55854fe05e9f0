"""Words for scores and splits, on the page and in figures."""

from stages.analysis.results import CaseResult

SPLITS = {"train": "training", "validation": "validation", "test": "test"}
SCORES = {"accuracy": "accuracy", "r2": "R²"}


def label(result: CaseResult, split: str) -> str:
    """Return the score on a split in words, such as ``test accuracy``."""
    return f"{SPLITS[split]} {SCORES[result.score]}"


def split_word(words: str) -> str:
    """Return ``test`` for ``test accuracy``."""
    return words.rsplit(" ", 1)[0]
