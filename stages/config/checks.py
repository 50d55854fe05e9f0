"""The rules of params.yaml that relate several parts of a case to each other."""

from typing import get_args

from stages.config.data import Subset
from stages.config.resolve import MOST_MEASURED, points, resolve, searched
from stages.config.schema import AS_POSTED, FLOOR, REPAIRED, SCORES, Case, Floor, Params, Ridge, SplitName, Variant
from stages.config.strict import RefusedError, did_you_mean, none_of, quote


def check(params: Params) -> None:
    """Refuse what the schema alone cannot see.

    Raises
    ------
    RefusedError
        If a point or variant cannot be trained, names clash, or a published number has no measured one beside it.
    """
    for name, case in params.cases.items():
        try:
            check_case(case)
            check_points(case)
            for variant in case.variants:
                check_variant(case, variant, params.seeds)
            for baseline in case.baselines or ():
                if baseline in case.all_variants():  # their metrics share a folder
                    raise RefusedError("the name of a variant", "another name", "baselines", baseline)
            check_published(case)
        except RefusedError as refusal:
            raise refusal.below("cases", name) from None


def check_points(case: Case) -> None:
    """Refuse a point that is no network. Of points that are searched, only each fix alone is looked at."""
    if case.search is False and len(case.fixes) > MOST_MEASURED:
        expected = f"at most {MOST_MEASURED} fixes without a search, because every combination is trained"
        raise RefusedError(f"{len(case.fixes)} fixes", expected, "search")
    for fixes in ((), *((name,) for name in case.fixes)) if searched(case) else points(case):
        resolve(case, fixes, {})


def check_case(case: Case) -> None:
    """Refuse a task, a split or a baseline that the data cannot have."""
    if case.data.recipe != "own" and case.task != "multiclass":
        raise RefusedError(quote(case.task), f"multiclass with the recipe {case.data.recipe}", "task")
    if case.judged_by not in case.data.splits:
        raise none_of(case.judged_by, case.data.splits, "judged_by")
    for name, baseline in (case.baselines or {}).items():
        if name == FLOOR:
            raise RefusedError("the baseline that every case has", "another name", "baselines", name)
        if not isinstance(baseline, Floor) and isinstance(baseline, Ridge) != (case.task == "regression"):
            expected = "Ridge" if case.task == "regression" else "LogisticRegression"
            raise RefusedError(quote(baseline.model), f"{expected} with task {case.task}", "baselines", name, "model")


def check_variant(case: Case, name: str, seeds: tuple[int, ...]) -> None:
    """Refuse a variant with a reserved name, an impossible network, too large a subset, or seeds without a pair."""
    variant, place = case.variants[name], ("variants", name)
    if name == AS_POSTED:
        raise RefusedError("the variant that every case has", "another name", *place)
    if name == REPAIRED:
        raise RefusedError("the variant that a search adds", "another name", *place)
    if name.startswith("p-"):
        raise RefusedError(quote(name), "another name: folders of points begin with p-", *place)
    if variant.keras and variant.keras not in case.keras:
        raise RefusedError(quote(variant.keras), f"one of: {', '.join(map(quote, case.keras))}", *place, "keras")
    try:
        resolve(case, variant.fixes, variant.set)
    except RefusedError as refusal:
        raise refusal.below(*place) from None
    if variant.data is None and variant.seeds and not set(variant.seeds) & set(seeds):
        expected = f"at least one of {', '.join(map(str, seeds))}: gains are paired by seed"
        raise RefusedError(quote(variant.seeds), expected, *place, "seeds")
    if variant.data is not None:
        check_subset(case, variant.data, *place, "data", "first_of_each_class")


def check_subset(case: Case, subset: Subset, *place: str) -> None:
    """Refuse a subset of classes that the data do not have, or of more examples than they have."""
    if case.task not in ("binary", "multiclass"):
        raise RefusedError(f"a subset with task {case.task}", "none: a subset is chosen by class", *place)
    for label, count in subset.first_of_each_class.items():
        if label > 9 and case.data.recipe != "own":
            raise RefusedError(quote(label), "a digit from 0 to 9", *place, str(label))
        if case.data.recipe == "exercise4" and count > case.data.examples_per_class:
            expected = f"at most data.examples_per_class, {case.data.examples_per_class}"
            raise RefusedError(quote(count), expected, *place, str(label))


def check_published(case: Case) -> None:
    """Refuse a published number whose figure is not measured."""
    means, by_epoch = mean_figures(case), epoch_figures(case)
    for index, published in enumerate(case.published):
        place = ("published", str(index))
        figures = means if published.from_epoch is None else by_epoch
        if published.of not in figures:
            raise none_of(published.of, figures, *place, "of")
        if published.figure not in figures[published.of]:
            known = figures[published.of]
            # The figure of a split that the case does not have is no slip.
            is_figure = published.figure in of_splits(get_args(SplitName), case)
            meant = "" if is_figure else did_you_mean(published.figure, known)
            raise RefusedError(quote(published.figure) + meant, f"one of: {', '.join(known)}", *place, "figure")
        if published.from_epoch is None:
            continue
        epochs = epochs_of(case, case.all_variants()[published.of])
        if published.from_epoch > epochs:
            expected = f"at most the epochs of {published.of}, {epochs}"
            raise RefusedError(str(published.from_epoch), expected, *place, "from_epoch")


def splits_of(case: Case, variant: Variant) -> tuple[str, ...]:
    """Return the splits on which `variant` is scored: a subset has only the training split."""
    return ("train",) if variant.data else case.data.splits


def of_splits(splits: tuple[str, ...], case: Case) -> list[str]:
    """Return the figures that a variant or baseline has on `splits`."""
    return [f"{split}_{figure}" for split in splits for figure in (SCORES[case.task], "loss")]


def mean_figures(case: Case) -> dict[str, list[str]]:
    """Return the figures that have a mean over seeds, of each variant and baseline."""
    gains = ("gain", "train_gain") if "test" in case.data.splits else ("train_gain",)
    of_variants = {
        name: [*of_splits(splits_of(case, variant), case), "final_loss", *(() if variant.data else gains)]
        for name, variant in case.all_variants().items()
    }
    return of_variants | {name: of_splits(case.data.splits, case) for name in case.all_baselines()}


def epoch_figures(case: Case) -> dict[str, list[str]]:
    """Return the figures that have a value per epoch, of each variant that is trained by epochs."""
    score = SCORES[case.task]
    validation = ("validation_loss", f"validation_{score}")
    return {
        name: ["loss", score, *(validation if "validation" in splits_of(case, variant) else ())]
        for name, variant in case.all_variants().items()
        if epochs_of(case, variant)
    }


def epochs_of(case: Case, variant: Variant) -> int:
    """Return the number of epochs of `variant`, 0 for an optimizer without epochs."""
    return resolve(case, variant.fixes, variant.set).epochs or 0
