"""Which Hub is asked with which token, and where a token may come from and go to."""

from pathlib import Path

import keyring
import keyring.errors
import pytest
from keyring.backends import fail, null

from mlx_spec.errors import ConfigError, StorageError
from mlx_spec.models.library.access import cache_folder, forget_token, hub_access, hub_token, keep_token, set_mirror


class _Kept(null.Keyring):
    """A keychain in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.tokens.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.tokens[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.tokens:
            raise keyring.errors.PasswordDeleteError
        del self.tokens[service, username]


@pytest.fixture
def keychain(monkeypatch: pytest.MonkeyPatch) -> _Kept:
    """A keychain that works."""
    kept = _Kept()
    monkeypatch.setattr(keyring.core, "_keyring_backend", kept)
    return kept


def test_the_keychain_keeps_the_token_and_the_environment_goes_before_it(
    keychain: _Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_token("hf_kept")
    assert hub_token() == "hf_kept"
    monkeypatch.setenv("HF_TOKEN", "hf_environment")
    assert hub_access().token == "hf_environment"
    monkeypatch.delenv("HF_TOKEN")
    forget_token()
    forget_token()
    assert keychain.tokens == {}


def test_without_a_keychain_the_token_is_asked_for_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring.core, "_keyring_backend", fail.Keyring())
    monkeypatch.setenv("HF_TOKEN", "hf_environment")
    assert hub_token() == "hf_environment"
    with pytest.raises(StorageError, match="set HF_TOKEN"):
        keep_token("hf_new")
    forget_token()


@pytest.mark.parametrize("token", ["", "secret", "hf_with space", "hf_nön", "hf_line\n"])
def test_what_is_no_token_is_refused_without_being_told(keychain: _Kept, token: str) -> None:
    with pytest.raises(ConfigError) as caught:
        keep_token(token)
    assert len(token) <= 3 or token not in str(caught.value)
    assert keychain.tokens == {}


def test_the_mirror_is_the_environments_then_the_one_that_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ENDPOINT")
    assert (hub_access().endpoint, hub_access().is_mirror) == ("https://huggingface.co", False)
    set_mirror("https://mirror.example/")
    assert (hub_access().endpoint, hub_access().is_mirror) == ("https://mirror.example", True)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert hub_access().endpoint == "http://127.0.0.1:1"
    assert hub_access(endpoint="https://given.example").endpoint == "https://given.example"


def test_damaged_settings_are_told_and_kept(lookahead_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ENDPOINT")
    (lookahead_home / "hub.json").write_text("{")
    with pytest.raises(StorageError, match=r"hub\.json cannot be read"):
        hub_access()


def test_the_cache_is_where_other_tools_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / "hub"
