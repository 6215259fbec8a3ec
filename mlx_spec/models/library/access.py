"""Which Hub to ask, with which token, and which cache folder what it gives goes to. Read anew for every use."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import huggingface_hub
import keyring
import keyring.errors
from huggingface_hub import HfApi, constants

from mlx_spec.errors import ConfigError, StorageError
from mlx_spec.machine.resources import data_folder
from mlx_spec.models.hub_names import split_revision

_SERVICE: Final = "Lookahead"
_ACCOUNT: Final = "huggingface-token"
_SETTINGS: Final = "hub.json"
_HUB: Final = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class HubAccess:
    """A Hub, its token (None: anonymous) and the standard cache folder, as other tools use it too."""

    endpoint: str
    token: str | None
    cache_folder: Path

    @property
    def is_mirror(self) -> bool:
        """Whether another Hub than huggingface.co was chosen."""
        return self.endpoint != _HUB

    @property
    def api(self) -> HfApi:
        """huggingface_hub's client. Without a token it must not look for one by itself: we know that there is none."""
        return HfApi(endpoint=self.endpoint, token=self.token or False, library_name="lookahead")

    def repo_folder(self, repo_id: str) -> Path:
        """Where the cache keeps a model with all its revisions: `blobs`, `snapshots` and `refs` are inside."""
        return self.cache_folder / f"models--{split_revision(repo_id)[0].replace('/', '--')}"

    def page(self, repo_id: str) -> str:
        """Where a person reads about a model."""
        name, revision = split_revision(repo_id)
        return f"{self.endpoint}/{name}" + (f"/tree/{quote(revision, safe='')}" if revision else "")

    def file_address(self, repo_id: str, commit: str, path: str) -> str:
        """Where a file of a model is fetched. In its name `#`, `?` and `%` stand for themselves."""
        return f"{self.endpoint}/{split_revision(repo_id)[0]}/resolve/{commit}/{quote(path)}"


def hub_access(*, endpoint: str | None = None, token: str | None = None) -> HubAccess:
    """The Hub to use: as given, else `$HF_ENDPOINT`, the mirror set by `set_mirror`, huggingface.co; with its token.

    The cache is the one that huggingface_hub uses (`$HF_HUB_CACHE`, `$HF_HOME`).
    """
    chosen = endpoint or os.environ.get("HF_ENDPOINT") or _stored_mirror() or _HUB
    return HubAccess(checked_endpoint(chosen), token or hub_token(), cache_folder())


def cache_folder() -> Path:
    """The standard Hub cache. The environment is read now, not when huggingface_hub was imported."""
    chosen = os.environ.get("HF_HUB_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    home = os.environ.get("HF_HOME")
    return Path(home).expanduser() / "hub" if home else Path(constants.HF_HUB_CACHE)


def checked_endpoint(address: str) -> str:
    """`address` without a slash at its end. Raises ConfigError for what is no address of a Hub."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("endpoint", address, "an address such as https://huggingface.co")
    return address.rstrip("/")


def hub_token() -> str | None:
    """`$HF_TOKEN`, the token in the keychain, or the one that `hf auth login` left; None where there is none."""
    return os.environ.get("HF_TOKEN") or _keychain_token() or huggingface_hub.get_token()


def _keychain_token() -> str | None:
    try:
        return keyring.get_password(_SERVICE, _ACCOUNT)
    except keyring.errors.KeyringError:  # no keychain on this machine, or a locked one: the other places remain
        return None


def keep_token(token: str) -> None:
    """Keep a token in the keychain. Raises ConfigError for what is no token, StorageError without a keychain."""
    if not token.startswith("hf_") or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError("token", f"{token[:3]}…", "an access token of huggingface.co, which begins with hf_")
    try:
        keyring.set_password(_SERVICE, _ACCOUNT, token)
    except keyring.errors.KeyringError as error:
        raise StorageError(
            "This machine has no keychain that can be opened, so set HF_TOKEN or run `hf auth login` instead.",
            details=repr(error),
        ) from error


def forget_token() -> None:
    """Remove the token from the keychain, where one is."""
    try:
        keyring.delete_password(_SERVICE, _ACCOUNT)
    except (keyring.errors.PasswordDeleteError, keyring.errors.NoKeyringError):
        return


def set_mirror(address: str | None) -> None:
    """Ask this Hub from now on; None goes back to huggingface.co. Raises ConfigError, StorageError."""
    path = data_folder() / _SETTINGS
    if address is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(json.dumps({"endpoint": checked_endpoint(address)}), encoding="utf-8")


def _stored_mirror() -> str | None:
    path = data_folder() / _SETTINGS
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{path} cannot be read, so remove it and set the mirror again.", details=repr(error)
        ) from error
    endpoint = stored.get("endpoint") if isinstance(stored, dict) else None
    return endpoint if isinstance(endpoint, str) else None
