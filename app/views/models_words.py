"""The models window in words: states, what to do about failures, whether something fits, when it was used."""

from PySide6.QtCore import QCoreApplication

from app.model_records import Download, Judgement
from app.model_sizes import told_bytes, told_time
from app.viewmodels.models_choice import Verdict

DAY_S = 86_400.0


def _tr(text: str) -> str:
    return QCoreApplication.translate("Models", text)


def refusal_words(message: str, kind: str) -> str:
    """What went wrong and what to do. The engine's sentences say both; some name the terminal's commands."""
    match kind:
        case "gated":
            return _tr("It is gated: accept its terms on its page, then enter a token of that account.")
        case "token":
            return _tr("The hub wants to know who asks: enter an access token of your account there.")
        case "server" | "offline" | "disk_full":
            return f"{message} {_tr('What has arrived is kept.')}"
        case "checksum":
            return f"{message} {_tr('Try again, or ask another mirror.')}"
        case "unsupported":
            return f"{message} {_tr('Choose another one, in the format of MLX.')}"
        case _:
            return message.replace(" (`mlx-spec models login`)", "")


def needs_token(kind: str) -> bool:
    """Whether a token may help."""
    return kind in ("gated", "token")


def download_words(download: Download) -> str:
    """How a download stands, in a line."""
    arrived = told_bytes(download.done_bytes)
    if download.total_bytes:
        arrived = _tr("{} of {}").format(arrived, told_bytes(download.total_bytes))
    match download.state:
        case "queued":
            return _tr("Waits for the one before it")
        case "listing":
            return _tr("Asks what it consists of")
        case "downloading":
            speed = f"{told_bytes(download.speed_bytes_s)}/s" if download.speed_bytes_s else ""
            left = _tr("{} left").format(told_time(download.left_s)) if download.left_s is not None else ""
            return " · ".join(filter(None, (arrived, speed, left)))
        case "waiting":
            when = told_time(download.retry_in_s) if download.retry_in_s else _tr("a moment")
            return " ".join(filter(None, (download.message, _tr("Tries again in {}.").format(when))))
        case "finishing":
            return _tr("All is here and right; putting it in its place")
        case "paused":
            return _tr("Paused at {}").format(arrived)
        case "done":
            return _tr("Downloaded: every byte is right")
        case "cancelled":
            return _tr("Cancelled: what had arrived was removed")
        case _:
            return refusal_words(download.message, download.kind)


def room_words(verdict: Verdict) -> str:
    """Whether it fits, with the numbers."""
    if verdict.needed_bytes is None or verdict.available_bytes is None:
        return _tr("Not known")
    needs, there = told_bytes(verdict.needed_bytes), told_bytes(verdict.available_bytes)
    match verdict.room:
        case "fits":
            return _tr("✓ Fits: needs {} of the {} here").format(needs, there)
        case "tight":
            return _tr("! Tight: needs {} of the {} here, so close other programs first").format(needs, there)
        case "no" if verdict.needed_bytes <= verdict.available_bytes:
            return _tr("✕ Cannot be loaded here")
        case "no":
            return _tr("✕ Does not fit: needs {}, and {} are here").format(needs, there)
        case _:
            return _tr("Not known")


def fetch_words(verdict: Verdict) -> str:
    """How much is still to come."""
    if verdict.fetch_bytes is None:
        return ""
    return told_bytes(verdict.fetch_bytes) if verdict.fetch_bytes else _tr("Nothing: it is all here")


def access_words(judgement: Judgement) -> str:
    """Whether everybody may have it."""
    return _tr("Gated: its terms must be accepted on its page") if judgement.gated else _tr("Open to everybody")


def support_words(judgement: Judgement) -> str:
    """Whether this engine can run it."""
    kind = judgement.model_type or _tr("unknown")
    if judgement.supported is None:
        return _tr("Its configuration does not say")
    known = _tr("✓ {}, which this engine knows").format(kind)
    return known if judgement.supported else _tr("✕ {}, which this engine does not know").format(kind)


def memory_words(judgement: Judgement) -> str:
    """Where the memory goes."""
    if judgement.weights_bytes is None or judgement.cache_bytes is None or judgement.working_bytes is None:
        return ""
    parts = (
        _tr("{} weights").format(told_bytes(judgement.weights_bytes)),
        _tr("{} for {:,} tokens of context").format(told_bytes(judgement.cache_bytes), judgement.context_tokens),
        _tr("{} to work with").format(told_bytes(judgement.working_bytes)),
    )
    return ", ".join(parts)


def used_words(last_used_s: float, now_s: float) -> str:
    """When it was read last."""
    if not last_used_s:
        return _tr("not used yet")
    days = int((now_s - last_used_s) // DAY_S)
    if days < 1:
        return _tr("used today")
    return _tr("used yesterday") if days == 1 else _tr("used {:,} days ago").format(days)
