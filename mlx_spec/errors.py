"""The engine's exception tree. Every message is one sentence that says what was wrong and what to do.

LookaheadError
├── ConfigError            a field of SpeculativeConfig or SamplingParams is out of range (also a ValueError)
├── PromptError            the prompt is empty, or names unknown token ids
│   └── PromptTooLongError     the context has no room for it and an answer
├── GrammarError           a schema, an expression or a grammar cannot be followed; `field` names what asked for it
│   └── ToolsError             a call of a tool is asked for, and the model cannot make one
├── ModelError             a model cannot be used
│   ├── ModelNotFoundError     no such pair, folder or file
│   │   └── DownloadError          the Hub does not give a model; `kind` tells the reasons apart
│   ├── CorruptModelError      the file is truncated, has another checksum, or is not a model
│   ├── IncompatiblePairError  draft and target do not fit each other
│   ├── DoesNotFitError        the models need more memory than there is
│   └── UnsupportedModelError  a kind of model, cache or quantisation that the engine does not know
├── BusyError              as many requests wait as may; `retry_after_s` says when to ask again
├── DeadlineError          a request's deadline passed before its answer was begun
├── StorageError           the data folder is full, read-only or missing
├── NumericalError         the model produced NaN logits
├── ServerError            the local server cannot start (port in use, bad address)
├── RankLostError          a machine of a group is gone or hangs; carries `rank` and `host`
├── TrainingError          distilling cannot go on
└── InterruptedWork        a person stopped it; says what was kept
"""

from typing import Literal

DownloadFailure = Literal[
    "gated",
    "token",
    "not_found",
    "offline",
    "rate_limited",
    "server",
    "checksum",
    "disk_full",
    "proxy",
    "unsafe",
    "unsupported",
]


class LookaheadError(Exception):
    """Root of all errors that a person may see. `str(error)` is the one sentence; `details` is for a folded view."""

    def __init__(self, message: str, *, details: str = "") -> None:
        super().__init__(message)
        self.details = details

    @property
    def user_message(self) -> str:
        """The one sentence to show."""
        return str(self)


class ConfigError(LookaheadError, ValueError):
    """A setting is out of its range. Carries `field`, `value` and `allowed` (the range, in words)."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field} is {value!r}: it must be {allowed}.")
        self.field = field
        self.value = value
        self.allowed = allowed


class PromptError(LookaheadError):
    """The prompt cannot be answered as it is."""


class PromptTooLongError(PromptError):
    """The context of the model has no room for the prompt and an answer. Both counts are tokens."""

    def __init__(self, prompt_tokens: int, context_length: int, model_name: str) -> None:
        # Clients look for these very words, and for the number without separators, to shorten what they send.
        super().__init__(
            f"The prompt is too long: this model's maximum context length is {context_length} tokens ({model_name}), "
            f"and the prompt has {prompt_tokens:,}; shorten it or use a model with a longer context."
        )


class GrammarError(LookaheadError):
    """What an answer is to look like cannot be followed: it is wrong, impossible, not supported or too complex.
    `field` names what a request says it in, None where the request is not to blame."""

    def __init__(self, message: str, field: str | None = None, *, details: str = "") -> None:
        super().__init__(message, details=details)
        self.field = field


class ToolsError(GrammarError):
    """A call of a tool must come, and the model knows of none."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "tool_choice")


class ModelError(LookaheadError):
    """A model cannot be used."""


class ModelNotFoundError(ModelError):
    """No pair, folder or file has the given name."""


class DownloadError(ModelNotFoundError):
    """The Hub does not give a model, or gives it wrongly. `kind` says why, `page` is where a person can change that.

    `retry_after_s` is how long to wait before asking again, None where waiting does not help.
    """

    def __init__(
        self,
        message: str,
        kind: DownloadFailure,
        *,
        page: str | None = None,
        retry_after_s: float | None = None,
        details: str = "",
    ) -> None:
        super().__init__(message, details=details)
        self.kind: DownloadFailure = kind
        self.page = page
        self.retry_after_s = retry_after_s


class CorruptModelError(ModelError):
    """A model file is truncated, has another checksum than expected, or is not a model."""


class IncompatiblePairError(ModelError):
    """Draft and target cannot work together."""


class DoesNotFitError(ModelError):
    """The models need more memory than there is. Carries `needed_bytes` and `available_bytes`."""

    def __init__(self, message: str, *, needed_bytes: int, available_bytes: int) -> None:
        super().__init__(message)
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes


class UnsupportedModelError(ModelError):
    """The engine does not know this kind of model, cache or quantisation."""


class BusyError(LookaheadError):
    """As many requests wait as may. `retry_after_s` is how long to wait before asking again."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlineError(LookaheadError):
    """A request's deadline passed before anything of its answer was computed."""


class StorageError(LookaheadError):
    """The data folder cannot take what must be written."""


class NumericalError(LookaheadError):
    """The model produced numbers that are not numbers."""


class ServerError(LookaheadError):
    """The local server cannot start."""


class RankLostError(LookaheadError):
    """A rank of a group is gone, or does not go on. `rank` is its number, `host` its machine."""

    def __init__(self, message: str, rank: int, host: str, *, details: str = "") -> None:
        super().__init__(message, details=details)
        self.rank = rank
        self.host = host


class TrainingError(LookaheadError):
    """Distilling a draft cannot go on."""


class InterruptedWork(LookaheadError):  # noqa: N818 - no error: somebody asked for it
    """A person stopped the work. The sentence says what was kept of it."""
