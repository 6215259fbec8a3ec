"""What the engine tells of downloads, ordered by change and not by arrival. Knows no Qt and no HTTP."""

from dataclasses import dataclass, replace

from app.engine.model_records import Json, number_of, text_of, whole_of

UNDER_WAY = frozenset({"queued", "listing", "downloading", "waiting", "finishing"})
"""The states of a download that end by themselves."""


@dataclass(frozen=True, slots=True)
class Download:
    """A download at one moment; `kind`, `message` and `page` say what went wrong or is waited for.

    `revision` is the number of its last change in that `run` of the engine, where an answer tells it alone.
    """

    repo_id: str
    revision: int
    state: str
    total_bytes: int | None
    done_bytes: int
    speed_bytes_s: float | None
    left_s: float | None
    retry_in_s: float | None
    kind: str
    message: str
    page: str
    run: str = ""

    @property
    def is_under_way(self) -> bool:
        """Whether it ends by itself."""
        return self.state in UNDER_WAY

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it, unless a person begins it anew."""
        return self.state in ("done", "cancelled", "failed")

    @property
    def fraction(self) -> float | None:
        """How much has arrived, 0 to 1; None until the whole is known."""
        return min(1.0, self.done_bytes / self.total_bytes) if self.total_bytes else None


@dataclass(frozen=True, slots=True)
class DownloadList:
    """All downloads at one moment. Answers and events come side by side, and either may overtake the other: of the same
    `run` of the engine the higher `revision` is the later. What is not taken as too old is told again by the events.
    """

    run: str = ""
    revision: int = 0
    downloads: tuple[Download, ...] = ()

    def with_all(self, told: "DownloadList") -> "DownloadList":
        """The later of the two. Another run is another engine, which counts anew."""
        return told if told.run != self.run or told.revision >= self.revision else self

    def with_one(self, told: Download) -> "DownloadList":
        """With what an answer tells of one download, unless the list is later: it may have been forgotten since."""
        if told.run != self.run:
            return DownloadList(told.run, told.revision, (told,))
        if told.revision < self.revision:
            return self
        others = [one for one in self.downloads if one.repo_id != told.repo_id]
        place = next((i for i, one in enumerate(self.downloads) if one.repo_id == told.repo_id), len(others))
        return replace(self, revision=told.revision, downloads=(*others[:place], told, *others[place:]))

    def of(self, name: str) -> Download | None:
        """The download of that model, where there is one."""
        return next((one for one in self.downloads if one.repo_id == name), None)

    def ended_since(self, before: "DownloadList") -> set[str]:
        """The models whose download has ended after `before`, also where one before it had ended in the same way."""
        known = {(one.repo_id, one.revision, one.state) for one in before.downloads if before.run == self.run}
        ended = [one for one in self.downloads if one.has_ended]
        return {one.repo_id for one in ended if (one.repo_id, one.revision, one.state) not in known}


def parse_downloads(body: Json) -> DownloadList:
    """How all downloads stand."""
    downloads = tuple(parse_download(one) for one in body["downloads"])
    return DownloadList(text_of(body.get("run")), whole_of(body.get("revision")) or 0, downloads)


def parse_download(body: Json) -> Download:
    """How one download stands."""
    return Download(
        repo_id=str(body["repo_id"]),
        revision=whole_of(body.get("revision")) or 0,
        state=str(body["state"]),
        total_bytes=whole_of(body.get("total_bytes")),
        done_bytes=int(body.get("done_bytes") or 0),
        speed_bytes_s=number_of(body.get("speed_bytes_s")),
        left_s=number_of(body.get("left_s")),
        retry_in_s=number_of(body.get("retry_in_s")),
        kind=text_of(body.get("kind")),
        message=text_of(body.get("message")),
        page=text_of(body.get("page")),
        run=text_of(body.get("run")),
    )
