"""How training takes the examples of its data: what is done with inputs and targets, and in which order they come."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from stages.config.strict import OR_FRACTION, Number, RefusedError, Strict, did_you_mean, first_refusal, fraction, quote

Positive = Annotated[int, Field(ge=1, le=1_000_000)]


class Scale(Strict):
    """Values are multiplied by `scale`."""

    scale: Annotated[float, Field(gt=0), OR_FRACTION]


class Rescale(Scale):
    """Values are multiplied by `scale`, then `offset` is added, as Keras's Rescaling does."""

    offset: Number = 0.0

    @model_serializer(mode="wrap")
    def _without_default(self, serialize: SerializerFunctionWrapHandler) -> dict[str, float]:
        values: dict[str, float] = serialize(self)
        return values if self.offset else {"scale": self.scale}


class Buffer(Strict):
    """Each example is drawn from the next `buffer` ones, as tf.data's shuffle does."""

    buffer: Positive


Inputs = Literal["raw", "standardized"] | Rescale
Targets = Literal["raw", "integer", "one_hot", "standardized"] | Scale
Shuffle = bool | Literal["batches"] | Buffer


def either(kind: type[Strict], example: str, *words: str | bool) -> BeforeValidator:
    """Return a check of one of `words`, or of a mapping of the keys of `kind`."""

    def check(value: Any) -> Any:
        if isinstance(value, kind) or any(value is word or (isinstance(word, str) and value == word) for word in words):
            return value
        if isinstance(value, Mapping):
            try:
                return kind.model_validate(value)
            except ValidationError as error:
                raise first_refusal(error, value) from None
        named = ", ".join(word if isinstance(word, str) else quote(word) for word in words)
        meant = did_you_mean(value, [word for word in words if isinstance(word, str)])
        is_factor = not isinstance(value, bool) and isinstance(fraction(value), int | float)
        mapping = example.replace("factor", str(value)) if is_factor else example
        raise RefusedError(quote(value) + meant, f"one of: {named}, or {mapping}")

    return BeforeValidator(check)


def inputs_check() -> BeforeValidator:
    """Return the check of what is done with inputs."""
    return either(Rescale, "{scale: factor}", "raw", "standardized")
