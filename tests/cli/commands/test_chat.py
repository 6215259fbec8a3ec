"""`mlx-spec chat`: a conversation in the terminal."""

import re

from tests.cli.calling import mlx_spec


def test_chat_answers_lines_and_leaves(models: list[str]) -> None:
    done = mlx_spec("chat", *models, "--max-tokens", "5", "--seed", "1", stdin="hello\n/new\nagain\n/quit\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("tokens a round") == 2


def test_the_help_tells_how_long_answers_may_be() -> None:
    """Twice as long as those of `generate`."""
    assert "[default: (512)]" in _words(mlx_spec("chat", "--help").stdout)
    assert "[default: (256)]" in _words(mlx_spec("generate", "--help").stdout)


def _words(shown: str) -> str:
    """Without the frame and the line ends of a narrow terminal."""
    return " ".join(shown.replace("│", " ").split())


def test_the_second_turn_reads_what_is_new(models: list[str]) -> None:
    lines = f"{'why ' * 20}\nand?\n/quit\n"
    told = {
        options: mlx_spec("chat", *models, "--max-tokens", "5", "--seed", "1", *options, stdin=lines)
        for options in ((), ("--prefix-memory", "0"))
    }
    kept, forgotten = (_words(done.stdout) for done in told.values())
    assert all(done.returncode == 0 for done in told.values())
    [(read, of)] = re.findall(r"read (\d+) of (\d+) tokens", kept)
    assert int(of) - int(read) >= 64
    assert "read " not in forgotten
    assert _without_figures(kept) == _without_figures(forgotten), "the same words"


def _without_figures(shown: str) -> str:
    """Only what was said: the statistics are lines of their own."""
    return " ".join(part.partition("speed ")[0] for part in shown.split("> "))
