"""A made-up result of a case whose fixes are searched."""

from collections.abc import Sequence
from typing import Any

from made_up import baseline, result, single, variant

from stages.analysis import intervals, settings
from stages.analysis.results import (
    CaseResult,
    Estimate,
    FixResult,
    LayerSymptoms,
    PointResult,
    Remark,
    RepairResult,
    SearchResult,
    SearchStep,
    Symptoms,
    SymptomsResult,
)
from stages.config import fixes as config_fixes
from stages.config.fixes import Fix
from stages.config.network import Network, PostedNetwork

# A network as posted, and fixes for a search.
POSTED: dict[str, Any] = {
    "layers": {"hidden": {"units": 64, "activation": "sigmoid"}, "output": {"units": 1, "activation": "sigmoid"}},
    "loss": "binary_crossentropy",
    "optimizer": {"name": "sgd", "learning_rate": 0.01},
    "batch_size": 32,
    "epochs": 5,
}
SOFTMAX = {"layers.output": {"units": 10, "activation": "softmax"}, "loss": "sparse_categorical_crossentropy"}
SUGGESTED: dict[str, dict[str, Any]] = {
    "softmax_output": {"set": SOFTMAX, "source": "https://example.org/softmax"},
    "scaled_inputs": {"set": {"inputs": {"scale": 0.00392156862745098}}},
    "adam": {"set": {"optimizer": "adam"}},
    "relu_hidden": {"set": {"layers.hidden.activation": "relu"}},
    "higher_rate": {"multiply": {"optimizer.learning_rate": 10}},
    "more_epochs": {"multiply": {"epochs": 10}},
    "wider_hidden": {"multiply": {"layers.hidden.units": 4}},
    "smaller_batches": {"set": {"batch_size": 8}},
}
BUNDLE = ("softmax_output", "scaled_inputs", "adam", "relu_hidden", "more_epochs", "wider_hidden")
REPAIR = ("softmax_output", "scaled_inputs", "adam")
# The points of a search, in the order of their training: fixes, score, seeds.
TRAINED: tuple[tuple[tuple[str, ...], float, int], ...] = (
    ((), 0.112, 3),
    (BUNDLE[:2], 0.42, 1),
    (BUNDLE, 0.97, 3),
    (BUNDLE[1:], 0.11, 1),
    (("softmax_output", "adam", "relu_hidden"), 0.6, 3),
    (REPAIR, 0.965, 3),
    (("softmax_output", "scaled_inputs", "higher_rate"), 0.962, 3),
    (("scaled_inputs", "adam"), 0.11, 3),
    (("softmax_output", "adam"), 0.55, 3),
    (("wider_hidden",), 0.113, 3),
)


def symptoms(saturated: float, dead: float, first_not_finite: int | None = None) -> SymptomsResult:
    """Return symptoms of a network of two layers that has these shares from the first epoch on."""

    def at(saturated: float, dead: float) -> Symptoms:
        layers = (
            LayerSymptoms(name="hidden", dead=dead, saturated=None, gradient=0.0312, update=1.5e-3),
            LayerSymptoms(name="output", dead=None, saturated=saturated, gradient=4.2e-9, update=2.5e-7),
        )
        return Symptoms(layers=layers, saturated=saturated, spread=0.01, target_spread=2.87, most_frequent=0.1)

    later = at(saturated, dead)
    return SymptomsResult(start=at(0.02, 0.0), first_epoch=later, end=later, first_not_finite=first_not_finite)


def searched(keras: Sequence[str] = ("3",), **changes: Any) -> CaseResult:
    """Return a case whose fixes are searched: `TRAINED` under every condition, with two repairs of three fixes.

    The variant ``repaired`` stands for the first repair.
    """
    posted = PostedNetwork.model_validate(POSTED)
    suggested = {name: Fix(why=f"because of {name}", **fix) for name, fix in SUGGESTED.items()}
    fresh = tuple(range(100, 110))

    def changed(*names: str) -> PostedNetwork:
        return config_fixes.apply(posted, {name: suggested[name] for name in names}, {})

    def of_repair(version: str, fixes: tuple[str, ...], score: float, worth: Sequence[float]) -> RepairResult:
        figure = intervals.figure({seed: score + 0.001 * (seed % 2) for seed in fresh})
        gain = intervals.figure(dict.fromkeys(fresh, score - 0.112))
        worths = {
            fix: Estimate(mean=lost, low=lost - 0.01, high=lost + 0.01) for fix, lost in zip(fixes, worth, strict=True)
        }
        return RepairResult(
            fixes=fixes,
            seeds=fresh,
            scores={"train": figure, "test": figure},
            gain={"train": gain, "test": gain},
            threshold=0.927,
            repaired=0.9,
            worth=worths,
            network=Network.model_validate({**changed(*fixes).tree(), "keras": version}).brief(),
            symptoms=symptoms(0.3, 0.05),
        )

    variants, points, repairs = [], [], {}
    for version in keras:
        suffix = "" if len(keras) == 1 else f"@{version}"
        network = Network.model_validate({**changed().tree(), "keras": version}).brief()
        first = of_repair(version, REPAIR, 0.965, (0.855, 0.415, 0.545))
        second = of_repair(version, TRAINED[6][0], 0.96, (0.85, 0.4, 0.54))
        repairs[version] = (first, second)
        of_posted = {"network": network, "symptoms": symptoms(1.0, 0.95)}
        of_repaired = {"network": first.network, "symptoms": first.symptoms}
        printed = {"keras_accuracy": {"test": single(0.5)}}
        variants += [
            variant("as_posted", (), (0, 1, 2), 0.112, f"as_posted{suffix}", keras=version, **of_posted, **printed),
            variant("repaired", REPAIR, fresh, 0.965, f"repaired{suffix}", keras=version, **of_repaired),
        ]
        points += [
            PointResult(
                fixes=fixes,
                keras=version,
                folder=f"p-{place}",
                variants=("as_posted",) if not fixes else ("repaired",) if fixes == REPAIR else (),
                scores=dict.fromkeys(("train", "test"), intervals.estimate([score] * seeds)),
                diverged=0,
                seeds=tuple(range(seeds)),
            )
            for place, (fixes, score, seeds) in enumerate(TRAINED)
        ]
    search = SearchResult(
        points=len(TRAINED),
        trainings=26,
        error_rate=0.05,
        path=tuple(
            SearchStep(fixes=TRAINED[place - 1][0], place=place, score=TRAINED[place - 1][1]) for place in (1, 2, 3)
        ),
        minimal=True,
        equivalents=(("adam", "higher_rate"),),
        idle=("wider_hidden",),
        harmful=("smaller_batches",),
        untried=("more_epochs",),
    )
    made: dict[str, Any] = {
        "case": "searched",
        "as_posted": posted.brief(),
        "fixes": tuple(
            FixResult(
                name=name, why=fix.why, source=fix.source, changes=settings.changes(posted.tree(), changed(name).tree())
            )
            for name, fix in suggested.items()
        ),
        "variants": tuple(variants),
        "points": tuple(points),
        "effects": {},
        "seeds": (0, 1, 2),
        "baselines": (baseline("logistic", 0.88), baseline("floor", 0.113)),
        "published": (),
        "fixed": "repaired",
        "repairs": repairs,
        "search": dict.fromkeys(keras, search),
        "misleading": (
            Remark(kind="accuracy_on_logits", text="Keras prints 50.0%, because it compares logits with 0.5."),
        ),
        "warnings": (Remark(kind="duplicate_rows", text="12% of the training rows are there twice."),),
    }
    return CaseResult(**dict(result([0.1], keras=keras)) | made | changes)
