"""Which version this is."""

from importlib.metadata import PackageNotFoundError, version


def program_version() -> str:
    """As the package says, empty where it is not installed."""
    try:
        return version("lookahead-spec")
    except PackageNotFoundError:
        return ""
