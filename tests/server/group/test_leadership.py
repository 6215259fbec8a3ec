"""What becomes of an error of rank 0: its supervisor hears of each, and whether another attempt may go better."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mlx_spec.errors import LookaheadError, RankLostError, ServerError
from mlx_spec.hosts.assignment import Assignment
from mlx_spec.hosts.channel.follower import LEFT_CODE
from mlx_spec.server.group import leadership as module
from mlx_spec.server.group.leadership import Leadership


class Recorded:
    """In the place of `Leading`, and of its channel."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment, self.channel = assignment, self
        self.told: list[str] = []
        self.lost: list[str] = []

    def found(self) -> None:
        """As Leading."""
        self.told.append("found")

    def fail(self, message: str) -> None:
        """As Leading."""
        self.told.append(message)

    def explained(self, error: BaseException) -> RankLostError | None:
        """Nobody else is gone."""

    def lose(self, rank: int, why: str) -> RankLostError:
        """As its channel."""
        self.lost.append(f"{rank} {why}")
        return RankLostError(why, rank, "a")


@pytest.fixture
def leadership(monkeypatch: pytest.MonkeyPatch) -> Iterator[Leadership]:
    monkeypatch.setattr(module, "Leading", Recorded)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        handed = listener.dup().detach()
        made = Leadership(Assignment(rank=0, hosts=("a", "b"), secret=b"", leader=("a", 1), listener=handed))
        yield made
        made.listener.close()


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*arguments: object) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "told", "lost"),
    [
        (ServerError("It does not fit."), ["It does not fit."], []),
        (KeyError("norm"), ["The leader failed: KeyError: 'norm'"], []),
        (RankLostError("b is gone.", 1, "b"), [], []),
        (RuntimeError("Couldn't bind socket."), [], ["0 could not go on (Couldn't bind socket)"]),
        (OSError("Disk quota exceeded"), [], ["0 could not go on (Disk quota exceeded)"]),
    ],
)
def test_each_error_of_loading_is_told(
    leadership: Leadership, error: Exception, told: list[str], lost: list[str]
) -> None:
    recorded: Any = leadership.leading
    with pytest.raises(LookaheadError if not isinstance(error, KeyError) else KeyError):
        leadership.loader(raising(error))(lambda stage, fraction: None)
    assert (recorded.told, recorded.lost) == (told, lost)


def test_where_the_group_cannot_agree_the_supervisor_alone_says_so(
    leadership: Leadership, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "leave_now", lambda code: raising(SystemExit(code))())
    recorded: Any = leadership.leading
    with pytest.raises(SystemExit) as left:
        leadership.agree(raising(ServerError("There is no such model.")))
    assert (left.value.code, recorded.told, caplog.text) == (LEFT_CODE, ["There is no such model."], "")
