"""Where a download stands, as everybody is told: the window, the terminal and the file that outlives the process."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from mlx_spec.errors import DownloadFailure

DownloadState = Literal[
    "queued",  # waits for others
    "listing",  # asks what the model consists of
    "downloading",
    "waiting",  # tries again at a time: see `message` and `retry_in_s`
    "finishing",  # everything is here and checked: links are made
    "paused",
    "done",
    "failed",  # see `kind` and `message`
    "cancelled",
]
OVER: frozenset[DownloadState] = frozenset({"done", "failed", "cancelled", "paused"})
"""The states that only a person changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadStatus:
    """A download at one moment. Sizes in bytes; `total_bytes` is None until the Hub has told.

    `speed_bytes_s` is smoothed, `left_s` what it promises; None where there is nothing to tell. `kind`, `message` and
    `page` say what went wrong, or what is being waited for. `folder` is where the finished model lies.
    `revision` is the number of its last change among those of all downloads: the higher one is the later.
    """

    repo_id: str
    revision: int = 0
    state: DownloadState = "queued"
    total_bytes: int | None = None
    done_bytes: int = 0
    files_total: int = 0
    files_done: int = 0
    speed_bytes_s: float | None = None
    left_s: float | None = None
    retry_in_s: float | None = None
    kind: DownloadFailure | None = None
    message: str | None = None
    page: str | None = None
    commit: str | None = None
    folder: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DownloadList:
    """All downloads at one moment, in the order they were asked for.

    `revision` numbers the changes of `run`, a word for one process's downloads: of two lists of a run the one with the
    higher number is the later, and with the same number they differ at most in what the clock makes of a state.
    """

    run: str
    revision: int
    downloads: tuple[DownloadStatus, ...]

    @property
    def has_clocks(self) -> bool:
        """Whether something in it changes by waiting alone: a speed that falls, a time that is left."""
        return any(one.speed_bytes_s is not None or one.retry_in_s is not None for one in self.downloads)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)
