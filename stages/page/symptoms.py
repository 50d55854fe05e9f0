"""Symptoms as the page shows them: two tables, as posted and repaired, and sentences about what is striking."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from stages.analysis.results import CaseResult, Symptoms, SymptomsResult

MOMENTS = {"start": "at the start", "first_epoch": "after the first epoch", "end": "at the end"}
# A symptom is striking from here on.
MOST = 0.9
FLAT = 0.05
VANISHED = 1e-6
SENTENCES = 3


@dataclass(frozen=True)
class Sign:
    """A symptom of a network at one moment: `is_striking`, and `text` says it."""

    key: str
    is_striking: bool
    text: str


def share(value: float | None) -> str:
    """Return a share in whole percent, or a dash if there is none."""
    return "–" if value is None else f"{value:.0%}"


def magnitude(value: float | None) -> str:
    """Return a norm or a ratio with two digits, or a dash if there is none."""
    return "–" if value is None else f"{value:.2g}".replace("-", "−")


def signs(symptoms: Symptoms) -> Iterator[Sign]:
    """Yield the symptoms of a network, the most telling first."""
    if symptoms.saturated is not None:
        text = f"{share(symptoms.saturated)} of the outputs are saturated"
        yield Sign("saturated outputs", symptoms.saturated >= MOST, text)
    if symptoms.spread is not None and symptoms.target_spread:
        text = f"the outputs spread by {magnitude(symptoms.spread)}, the targets by {magnitude(symptoms.target_spread)}"
        yield Sign("spread", symptoms.spread <= FLAT * symptoms.target_spread, text)
    for layer in symptoms.layers:
        if layer.dead is not None:
            text = f"{share(layer.dead)} of the units of {layer.name} are dead"
            yield Sign(f"dead {layer.name}", layer.dead >= MOST, text)
        # Saturated values of the last layer are saturated outputs.
        if layer.saturated is not None and layer is not symptoms.layers[-1]:
            text = f"{share(layer.saturated)} of the values of {layer.name} are saturated"
            yield Sign(f"saturated {layer.name}", layer.saturated >= MOST, text)
    if symptoms.most_frequent is not None:
        text = f"{share(symptoms.most_frequent)} of the answers are the same"
        yield Sign("most frequent", symptoms.most_frequent >= MOST, text)
    for layer in symptoms.layers:
        if layer.update is not None:
            text = f"an update changes the kernel of {layer.name} by {magnitude(layer.update)} of its norm"
            yield Sign(f"update {layer.name}", layer.update <= VANISHED, text)


def evidence(before: SymptomsResult, after: SymptomsResult | None) -> list[str]:
    """Return sentences about the symptoms that the network as posted has and the repaired one has not."""
    sentences = {}
    if before.first_not_finite is not None and (after is None or after.first_not_finite is None):
        sentences["finite"] = f"As posted, the loss is not finite from step {before.first_not_finite} on."
    for moment in ("first_epoch", "end"):
        one, other = (getattr(each, moment) if each else None for each in (before, after))
        repaired = {sign.key: sign for sign in signs(other)} if other else {}
        for sign in signs(one) if one else ():
            same = repaired.get(sign.key)
            if sign.is_striking and not (same and same.is_striking) and sign.key not in sentences:
                beside = f"; repaired, {same.text}" if same else ""
                sentences[sign.key] = f"As posted, {MOMENTS[moment]}, {sign.text}{beside}."
    return list(sentences.values())[:SENTENCES]


def of_outputs(symptoms: Symptoms) -> str:
    """Return the symptoms of the outputs in a few words."""
    shares: dict[str, tuple[float | None, Callable[[float | None], str]]] = {
        "saturated": (symptoms.saturated, share),
        "spread": (symptoms.spread, magnitude),
        "spread of the targets": (symptoms.target_spread, magnitude),
        "most frequent answer": (symptoms.most_frequent, share),
    }
    return ", ".join(f"{name} {form(value)}" for name, (value, form) in shares.items() if value is not None)


def table(symptoms: SymptomsResult) -> list[dict[str, Any]]:
    """Return a group of rows per moment: a row per layer, and the symptoms of the outputs in a few words."""
    moments = ((words, getattr(symptoms, moment)) for moment, words in MOMENTS.items())
    return [{"moment": words, "layers": each.layers, "outputs": of_outputs(each)} for words, each in moments if each]


def symptoms_view(result: CaseResult, keras: str) -> dict[str, Any] | None:
    """Return the symptoms as posted and with the first repair under the condition `keras`; None if unknown."""
    before = result.variant("as_posted", keras).symptoms
    repairs = result.repairs.get(keras)
    after = repairs[0].symptoms if repairs else None
    if before is None:
        return None
    networks = {"as posted": before} | ({"repaired": after} if after else {})
    return {
        "evidence": evidence(before, after),
        "tables": [(name, table(symptoms), symptoms.first_not_finite) for name, symptoms in networks.items()],
    }
