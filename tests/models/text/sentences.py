"""What every refusal here must look like."""

from mlx_spec.errors import LookaheadError


def one_sentence(error: LookaheadError) -> str:
    """Return the message after checking that it is one line, one sentence."""
    message = error.user_message
    assert message.endswith(".")
    assert "\n" not in message
    assert ". " not in message
    return message
