"""What a machine answers to who may ask it: its facts, an echo to measure by, and how it reaches another one."""

from typing import Any

from mlx_spec.errors import LookaheadError
from mlx_spec.hosts.finding.facts import own_facts
from mlx_spec.hosts.finding.measuring import Echo, measure


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """The answer; `{"problem": SENTENCE}` where there is none. Questions are `{"ask": "facts"}`, `{"ask": "echo"}` and
    `{"ask": "reach", "address": …, "port": …, "token": …}`."""
    try:
        match question:
            case {"ask": "facts"}:
                return own_facts().to_dict()
            case {"ask": "echo"}:
                return Echo().told()
            case {"ask": "reach", "address": str(address), "port": int(port), "token": str(token)}:
                return measure(address, port, bytes.fromhex(token)).to_dict()
    except (LookaheadError, OSError, ValueError) as error:
        return {"problem": str(error)}
    return {"problem": f"the question {question.get('ask')!r} is not known here: update the older of the two"}
