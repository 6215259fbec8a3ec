"""`mlx-spec chat`: a conversation in the terminal."""

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
