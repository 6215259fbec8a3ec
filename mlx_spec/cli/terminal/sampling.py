"""The options for how tokens are drawn, written once: the fields of a dataclass become options of a command."""

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, Final

import typer

from mlx_spec.config import SamplingParams
from mlx_spec.errors import ConfigError

_PANEL: Final = "Sampling"
_BIAS: Final = re.compile(r"([0-9]{1,9})=([-+]?[0-9]*\.?[0-9]+)")


def _option(description: str, *names: str) -> Any:
    return typer.Option(*names, help=description, rich_help_panel=_PANEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOptions:
    """How tokens are drawn. None leaves a setting to the prompt file, and then to its default."""

    temperature: Annotated[float | None, _option("0, the default, is greedy.")] = None
    top_p: Annotated[float | None, _option("Keep the most likely tokens with this much of the mass.")] = None
    top_k: Annotated[int, _option("Keep the k most likely tokens; 0 is off.")] = 0
    min_p: Annotated[float, _option("Drop tokens less likely than this share of the likeliest.")] = 0.0
    repetition_penalty: Annotated[float, _option("Over 1: say tokens of prompt and answer less; 1 is off.")] = 1.0
    presence_penalty: Annotated[float, _option("-2..2, off the logit of what the answer has said.")] = 0.0
    frequency_penalty: Annotated[float, _option("-2..2, off the logit for each time it was said.")] = 0.0
    logit_bias: Annotated[
        list[str] | None, _option("ID=BIAS, -100..100, on a token's logit; may be given again.", "--logit-bias")
    ] = None
    ban: Annotated[list[int] | None, _option("Never say this token id; may be given again.", "--ban")] = None
    seed: Annotated[int | None, _option("Repeats an answer; drawn, and told, where not given.")] = None

    def params(self, settings: Mapping[str, Any], stop: tuple[str, ...] = ()) -> SamplingParams:
        """The request's parameters. Options win over a prompt file's `settings`, and these over the defaults.

        Raises ConfigError.
        """
        return SamplingParams(
            temperature=self.temperature if self.temperature is not None else settings.get("temperature", 0.0),
            top_p=self.top_p if self.top_p is not None else settings.get("top_p", 1.0),
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            logit_bias=dict(_bias(text) for text in self.logit_bias or ()),
            banned_token_ids=tuple(self.ban or ()),
            seed=self.seed if self.seed is not None else settings.get("seed"),
            stop=stop,
        )


def _bias(text: str) -> tuple[int, float]:
    found = _BIAS.fullmatch(text)
    if found is None:
        raise ConfigError("logit_bias", text, "a token id and a number from -100 to 100, as in 42=-5.5")
    return int(found[1]), float(found[2])


def with_sampling(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `SamplingOptions` in the place of its parameter `sampling`."""
    group = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=field.type,
        )
        for field in fields(SamplingOptions)
    ]

    @functools.wraps(command)
    def called(**values: Any) -> None:
        chosen = {parameter.name: values.pop(parameter.name) for parameter in group}
        command(sampling=SamplingOptions(**chosen), **values)

    shown: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        own = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        shown += group if parameter.name == "sampling" else [own]
    called.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    return called
