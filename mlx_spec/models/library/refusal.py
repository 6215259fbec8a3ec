"""What the Hub, the network or the disk said, as a DownloadError: one sentence, and a kind to act on."""

import errno
import os
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._http import parse_ratelimit_headers

from mlx_spec.errors import DownloadError
from mlx_spec.models.hub_names import split_revision
from mlx_spec.models.library.access import HubAccess

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_PROXY_VARIABLES: Final = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
# What asking a Hub and writing a file may raise; anything else is a bug.
EXPECTED: Final = (DownloadError, HfHubHTTPError, httpx2.HTTPError, httpx2.StreamError, OSError)
# What goes away by itself, so that it is worth asking again.
TRANSIENT: Final = frozenset({"offline", "rate_limited", "server", "proxy"})


def refusal(error: Exception, repo_id: str, access: HubAccess) -> DownloadError:
    """The DownloadError that `error`, raised while asking for `repo_id`, stands for."""
    if isinstance(error, DownloadError):
        return error
    made = _of_disk(error, repo_id, access) or _of_hub(error, repo_id, access) or _of_network(error, repo_id, access)
    made.__cause__ = error
    made.details = made.details or repr(error)
    return made


def _of_disk(error: Exception, repo_id: str, access: HubAccess) -> DownloadError | None:
    if not isinstance(error, OSError) or isinstance(error, HfHubHTTPError | ConnectionError | TimeoutError):
        return None
    if error.errno in _FULL:
        said = f"The disk of {access.cache_folder} is full, so free some space and resume {repo_id}: nothing is lost."
        return DownloadError(said, "disk_full")
    if error.errno is None:
        return None
    reason = (error.strerror or str(error)).lower()
    said = f"{repo_id} cannot be written to {access.cache_folder} ({reason}), so make that folder writable."
    return DownloadError(said, "disk_full")


def _of_hub(error: Exception, repo_id: str, access: HubAccess) -> DownloadError | None:
    """Gated comes before not found, whose kind it is in the library."""
    page = access.page(repo_id)
    match error:
        case GatedRepoError():
            login = "" if access.token else " and give an access token (`mlx-spec models login`)"
            said = f"{repo_id} is gated: accept its terms on {page}{login}, then try again."
            return DownloadError(said, "gated", page=page)
        case RepositoryNotFoundError():
            private = "" if access.token else ", or it is private and needs an access token (`mlx-spec models login`)"
            return DownloadError(f"The Hub has no model {repo_id}{private}.", "not_found")
        case RevisionNotFoundError() if (named := split_revision(repo_id))[1] is not None:
            name, revision = named
            said = f"The Hub has no revision {revision} of {name}: {access.page(name)} shows its branches and tags."
            return DownloadError(said, "not_found")
        case RevisionNotFoundError() | RemoteEntryNotFoundError():
            said = f"{repo_id} has changed on the Hub meanwhile: a file or revision is gone, so fetch it anew."
            return DownloadError(said, "not_found")
        case HfHubHTTPError() | httpx2.HTTPStatusError():
            return _of_status(error.response, repo_id, access)
    return None


def _of_status(response: httpx2.Response, repo_id: str, access: HubAccess) -> DownloadError:
    status, where = response.status_code, _where(access)
    if status == 401 or (status == 403 and not access.token):
        what = "refuses the access token" if access.token else "wants an access token"
        said = f"{where} {what} for {repo_id}: give one with `mlx-spec models login`."
        return DownloadError(said, "token", page="https://huggingface.co/settings/tokens")
    if status == 403:
        page = access.page(repo_id)
        return DownloadError(f"{where} forbids this account to read {repo_id}: see {page}.", "gated", page=page)
    if status == 404:
        return DownloadError(f"{where} has no such file of {repo_id}.", "not_found")
    if status == 407:
        return DownloadError(f"The proxy wants a login before it lets {repo_id} through.", "proxy")
    if status == 429:
        wait_s = retry_after_s(response) or 60.0
        said = f"{where} asks to wait {wait_s:.0f} s before it gives more of {repo_id}."
        return DownloadError(said, "rate_limited", retry_after_s=wait_s)
    said = f"{where} answered with error {status} for {repo_id}, so try again later."
    return DownloadError(said, "server", retry_after_s=retry_after_s(response))


def _of_network(error: Exception, repo_id: str, access: HubAccess) -> DownloadError:
    where = _where(access)
    match error:
        case httpx2.ProxyError():
            return DownloadError(f"The proxy does not let {repo_id} through: check the proxy's settings.", "proxy")
        case httpx2.TooManyRedirects():
            return DownloadError(f"{where} sends requests for {repo_id} round in circles.", "proxy")
        case OfflineModeIsEnabled():
            return DownloadError(f"HF_HUB_OFFLINE is set, so {repo_id} is not fetched.", "offline")
        case httpx2.ReadTimeout() | httpx2.ReadError() | httpx2.RemoteProtocolError():
            return DownloadError(f"The connection broke off while {repo_id} was fetched.", "server")
    if access.is_mirror:
        said = f"The mirror {access.endpoint} cannot be reached for {repo_id}: check it, or go back to huggingface.co."
        return DownloadError(said, "proxy")
    if any(os.environ.get(name) for name in _PROXY_VARIABLES):
        return DownloadError(f"{where} cannot be reached for {repo_id} through the proxy that is set.", "proxy")
    said = f"The Hub cannot be reached for {repo_id}, so check the connection or give a local folder."
    return DownloadError(said, "offline")


def _where(access: HubAccess) -> str:
    return f"The mirror {access.endpoint}" if access.is_mirror else "The Hub"


def retry_after_s(response: httpx2.Response) -> float | None:
    """The seconds that the answer asks to wait: by `Retry-After` (seconds or a date), or by the Hub's own header."""
    said = (response.headers.get("retry-after") or "").strip()
    if said.isdigit():
        return float(said)
    if said:
        try:
            at, now = parsedate_to_datetime(said), parsedate_to_datetime(response.headers["date"])
            return max(0.0, (at - now).total_seconds())
        except (ValueError, TypeError, KeyError):
            pass  # neither seconds nor a date that can be compared: as good as none
    limit = parse_ratelimit_headers(response.headers)
    return float(limit.reset_in_seconds) if limit is not None and limit.remaining == 0 else None
