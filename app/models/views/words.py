"""The models window in words: states, what to do about failures, whether something fits, when it was used."""

from PySide6.QtCore import QCoreApplication

from app.engine.download_records import Download
from app.engine.model_records import Judgement
from app.models.choice import Estimate
from app.models.sizes import format_bytes, format_duration

translate = QCoreApplication.translate

DAY_S = 86_400.0


def refusal_words(message: str, kind: str) -> str:
    """What went wrong and what to do. The engine's sentences say both; some name the terminal's commands."""
    match kind:
        case "gated":
            return translate("Models", "It is gated: accept its terms on its page, then enter a token of that account.")
        case "token":
            return translate("Models", "The hub wants to know who asks: enter an access token of your account there.")
        case "server" | "offline" | "disk_full":
            advice = translate("Models", "What has arrived is kept.")
        case "checksum":
            advice = translate("Models", "Try again, or ask another mirror.")
        case "unsupported":
            advice = translate("Models", "Choose another one, in the format of MLX.")
        case _:
            return message.replace(" (`mlx-spec models login`)", "")
    return f"{message} {advice}"


def needs_token(kind: str) -> bool:
    """Whether a token may help."""
    return kind in ("gated", "token")


def download_words(download: Download) -> str:
    """How a download stands, in a line."""
    arrived = format_bytes(download.done_bytes)
    if download.total_bytes:
        arrived = translate("Models", "{} of {}").format(arrived, format_bytes(download.total_bytes))
    match download.state:
        case "queued":
            return translate("Models", "Waits for the one before it")
        case "listing":
            return translate("Models", "Asks what it consists of")
        case "downloading":
            speed = f"{format_bytes(download.speed_bytes_s)}/s" if download.speed_bytes_s else ""
            time = "" if download.left_s is None else format_duration(download.left_s)
            left = translate("Models", "{} left").format(time) if time else ""
            return " · ".join(filter(None, (arrived, speed, left)))
        case "waiting":
            when = format_duration(download.retry_in_s) if download.retry_in_s else translate("Models", "a moment")
            return " ".join(filter(None, (download.message, translate("Models", "Tries again in {}.").format(when))))
        case "finishing":
            return translate("Models", "All is here and right; putting it in its place")
        case "paused":
            return translate("Models", "Paused at {}").format(arrived)
        case "done":
            return translate("Models", "Downloaded: every byte is right")
        case "cancelled":
            return translate("Models", "Cancelled: what had arrived was removed")
        case _:
            return refusal_words(download.message, download.kind)


def room_words(estimate: Estimate) -> str:
    """Whether it fits, with the numbers."""
    if estimate.needed_bytes is None or estimate.available_bytes is None:
        return translate("Models", "Not known")
    needs, there = format_bytes(estimate.needed_bytes), format_bytes(estimate.available_bytes)
    match estimate.room:
        case "fits":
            return translate("Models", "✓ Fits: needs {} of the {} here").format(needs, there)
        case "tight":
            return translate("Models", "! Tight: needs {} of the {} here, so close other programs first").format(
                needs, there
            )
        case "no" if estimate.needed_bytes <= estimate.available_bytes:
            return translate("Models", "✕ Cannot be loaded here")
        case "no":
            return translate("Models", "✕ Does not fit: needs {}, and {} are here").format(needs, there)
        case _:
            return translate("Models", "Not known")


def fetch_words(estimate: Estimate) -> str:
    """How much is still to come."""
    if estimate.fetch_bytes is None:
        return ""
    if estimate.fetch_bytes == 0:
        return translate("Models", "Nothing: it is all here")
    return format_bytes(estimate.fetch_bytes)


def access_words(judgement: Judgement) -> str:
    """Whether everybody may have it."""
    return (
        translate("Models", "Gated: its terms must be accepted on its page")
        if judgement.gated
        else translate("Models", "Open to everybody")
    )


def support_words(judgement: Judgement) -> str:
    """Whether this engine can run it."""
    kind = judgement.model_type or translate("Models", "unknown")
    if judgement.supported is None:
        return translate("Models", "Its configuration does not say")
    known = translate("Models", "✓ {}, which this engine knows").format(kind)
    return known if judgement.supported else translate("Models", "✕ {}, which this engine does not know").format(kind)


def memory_words(judgement: Judgement) -> str:
    """Where the memory goes."""
    if judgement.weights_bytes is None or judgement.cache_bytes is None or judgement.working_bytes is None:
        return ""
    parts = (
        translate("Models", "{} weights").format(format_bytes(judgement.weights_bytes)),
        translate("Models", "{} for {:,} tokens of context").format(
            format_bytes(judgement.cache_bytes), judgement.context_tokens
        ),
        translate("Models", "{} to work with").format(format_bytes(judgement.working_bytes)),
    )
    return ", ".join(parts)


def used_words(last_used_s: float, now_s: float) -> str:
    """When it was read last."""
    if not last_used_s:
        return translate("Models", "not used yet")
    days = int((now_s - last_used_s) // DAY_S)
    if days < 1:
        return translate("Models", "used today")
    return (
        translate("Models", "used yesterday") if days == 1 else translate("Models", "used {:,} days ago").format(days)
    )
