"""Small questions to the Hub: an answer in JSON, with a limit on its size and on the time it may take."""

import json
from collections.abc import Mapping
from typing import Any, Final

import httpx2
from huggingface_hub.utils._http import hf_raise_for_status

from mlx_spec.models.library.access import HubAccess
from mlx_spec.models.library.refusal import EXPECTED, refusal

_LIMIT_BYTES: Final = 20_000_000
_TIMEOUT: Final = httpx2.Timeout(15.0, connect=5.0)


def ask_hub(path: str, about: str, access: HubAccess, params: Mapping[str, str | int] | None = None) -> Any:
    """The JSON that the Hub answers to GET `path`. Raises DownloadError, which says that it was `about` something."""
    headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
    url = f"{access.endpoint}/{path}"
    try:
        with (
            httpx2.Client(timeout=_TIMEOUT, follow_redirects=True) as client,
            client.stream("GET", url, params=params, headers=headers) as answer,
        ):
            hf_raise_for_status(answer)
            body = bytearray()
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > _LIMIT_BYTES:
                    raise httpx2.RemoteProtocolError("the answer does not end")
        return json.loads(bytes(body))
    except (*EXPECTED, ValueError) as error:
        raise refusal(error, about, access) from error
