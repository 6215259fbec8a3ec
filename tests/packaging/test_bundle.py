"""The app's parts, looked at without building it: what may come in, what macOS is told, its pictures. `make bundle`
builds and proves the whole."""

import importlib.metadata
import importlib.util
import plistlib
import re
import struct
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from PySide6.QtGui import QColor, QImage

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"


def program(path: str) -> ModuleType:
    """A file of `packaging`, which is no package."""
    spec = importlib.util.spec_from_file_location(f"packaging_{Path(path).stem}", PACKAGING / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestContents:
    CONTENTS = program("bundle/contents.py")
    ALLOWED = tomllib.loads((PACKAGING / "bundle/contents.toml").read_text("utf-8"))

    def found(self, system: str = "linux", **changed: Any) -> dict[str, Any]:
        """A bundle as it should be, but for what is changed."""
        qt, packages = self.ALLOWED["qt"], self.ALLOWED["packages"]
        metallib = {"Contents/Resources/mlx/lib/mlx.metallib"} if system == "darwin" else set()
        return {
            "packages": {kind: {*packages[kind]} for kind in ("engine", "window")},
            "libraries": {*qt["libraries"]},
            "plugins": {*qt["plugins"][system]},
            "bindings": {*qt["bindings"]},
            "libmlx": ["mlx/lib/libmlx.so"],
            "bytes": 1,
            "starter": ["config.json", "model.safetensors"],
            "files": {"resources/LICENSES/libraries/mlx/LICENSE", *metallib},
        } | changed

    @pytest.mark.parametrize("system", ["linux", "darwin"])
    def test_what_should_be_there_is_no_complaint(self, system: str) -> None:
        assert self.CONTENTS.complaints(self.found(system), self.ALLOWED, system) == []

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"packages": {"engine": {"mlx", "torch"}, "window": {"app"}}}, "torch came into mlx-spec"),
            ({"packages": {"engine": {"mlx"}, "window": {"app", "numpy"}}}, "numpy came into lookahead"),
            ({"libraries": {"Core", "Quick"}}, "library Quick"),
            ({"plugins": {"sqldrivers/libqsqlmysql.so"}}, "libqsqlmysql"),
            ({"bindings": {"QtCore", "QtQml"}}, "QtQml"),
            ({"libmlx": ["libmlx.so", "mlx/lib/libmlx.so"]}, "2 times"),
            ({"libmlx": []}, "0 times"),
            ({"bytes": 10**12}, "are allowed"),
            ({"starter": []}, "starter target is not inside"),
            ({"files": set()}, "licences"),
        ],
    )
    def test_what_came_in_or_is_missing_is_told(self, changed: dict[str, Any], words: str) -> None:
        (sentence,) = self.CONTENTS.complaints(self.found(**changed), self.ALLOWED, "linux")
        assert words in sentence

    def test_on_a_mac_the_kernels_lie_beside_mlx_and_linux_packages_have_no_business(self) -> None:
        kinds = {"engine": {"mlx", "secretstorage"}, "window": {"app"}}
        told = self.CONTENTS.complaints(self.found("linux", packages=kinds), self.ALLOWED, "darwin")
        assert any("mlx.metallib" in sentence for sentence in told)
        assert "secretstorage came into mlx-spec" in told

    def test_what_is_allowed_is_what_the_sources_import(self) -> None:
        """A Qt module that nobody imports any more leaves the list too."""
        sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "app").rglob("*.py"))
        unused = [name for name in self.ALLOWED["qt"]["bindings"] if f"PySide6.{name} import" not in sources]
        assert unused == []

    def test_what_is_allowed_is_what_the_product_depends_on(self) -> None:
        """A library of the tests or of the build is in neither program, whoever may import it where it is installed."""
        owners, wanted = importlib.metadata.packages_distributions(), needed_by("lookahead-spec")
        own = {"app", "mlx_spec", "prompt_files", "_pyi_rth_utils"}  # the last is PyInstaller's, at a program's start
        names = {name for packages in self.ALLOWED["packages"].values() for name in packages} - own
        assert [name for name in sorted(names & owners.keys()) if not wanted & {*map(plain_name, owners[name])}] == []


def needed_by(distribution: str) -> set[str]:
    """Its own name and those of all that it needs here, by what the installed ones say."""
    found: set[tuple[str, str]] = set()
    waiting = [(plain_name(distribution), "")]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for line in importlib.metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(plain_name(requirement.name), one) for one in ("", *requirement.extras)]
    return {name for name, _ in found}


def plain_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_has_its_licence() -> None:
    licences = program("bundle/licences.py")
    texts = ROOT / "resources/LICENSES"
    files = licences.licence_files({"mlx", "numpy", "PySide6", "tokenizers", "transformers"}, texts)
    assert all(Path(file).is_file() for file, _ in files)
    folders = {folder.removeprefix("resources/LICENSES/libraries/").partition("/")[0] for _, folder in files}
    assert len({(folder, Path(file).name) for file, folder in files}) == len(files), "none takes another's place"
    assert {"Python", "mlx", "PySide6_Essentials", "tokenizers", "transformers"} <= folders
    assert {"LGPL-3.0.txt", "GPL-3.0.txt"} <= {Path(file).name for file, folder in files if "PySide6" in folder}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(licences, "_TEXTS", {})
        with pytest.raises(LookupError, match="tokenizers"):
            licences.licence_files({"tokenizers"}, texts)


class TestMacOS:
    INFO = plistlib.loads((PACKAGING / "macos/Info.plist").read_bytes())

    def test_apple_silicon_from_macos_14(self) -> None:
        assert self.INFO["LSMinimumSystemVersion"] == "14.0"
        assert self.INFO["LSArchitecturePriority"] == ["arm64"]
        assert self.INFO["LSRequiresNativeExecution"] is True

    def test_drops_on_the_dock_icon(self) -> None:
        kinds = {kind for entry in self.INFO["CFBundleDocumentTypes"] for kind in entry["LSItemContentTypes"]}
        assert {"org.lookahead-spec.prompt", "org.ggml.gguf", "public.folder"} <= kinds
        declared = self.INFO["UTExportedTypeDeclarations"] + self.INFO["UTImportedTypeDeclarations"]
        endings = {
            one["UTTypeIdentifier"]: one["UTTypeTagSpecification"]["public.filename-extension"] for one in declared
        }
        assert endings["org.lookahead-spec.prompt"] == ["prompt.md"]
        assert endings["org.ggml.gguf"] == ["gguf"]
        own = {kind for kind in kinds if not kind.startswith(("public.", "com.adobe."))}
        assert own <= endings.keys(), "a type that the system does not know is declared"
        roles = {entry["CFBundleTypeRole"] for entry in self.INFO["CFBundleDocumentTypes"]}
        assert roles == {"Viewer"}, "nothing of a person's is written"

    def test_links(self) -> None:
        assert [entry["CFBundleURLSchemes"] for entry in self.INFO["CFBundleURLTypes"]] == [["lookahead"]]

    def test_nothing_is_asked_for_that_is_not_used(self) -> None:
        asked = {key for key in self.INFO if key.endswith("UsageDescription")}
        assert asked == {"NSLocalNetworkUsageDescription"}

    def test_one_entitlement_with_its_reason(self) -> None:
        text = (PACKAGING / "macos/entitlements.plist").read_text("utf-8")
        assert plistlib.loads(text.encode()) == {"com.apple.security.cs.allow-unsigned-executable-memory": True}
        assert "ctypes" in text[: text.index("<key>")]

    def test_the_service_and_the_cask_use_the_same_names(self) -> None:
        from mlx_spec.cli.commands.service.launchd import LABEL

        cask = (PACKAGING / "homebrew/lookahead.rb").read_text("utf-8")
        assert self.INFO["CFBundleIdentifier"] in cask
        assert f'launchctl: "{LABEL}"' in cask


class TestPictures:
    PICTURES = program("macos/pictures.py")

    def test_the_icon_has_all_sizes(self, qapp: object) -> None:
        data = self.PICTURES.icns()
        assert data[:8] == b"icns" + struct.pack(">I", len(data))
        at, sizes = 8, {}
        while at < len(data):
            kind, (length,) = data[at : at + 4], struct.unpack(">I", data[at + 4 : at + 8])
            sizes[kind] = QImage.fromData(data[at + 8 : at + length], "PNG").width()
            at += length
        assert sizes == dict(self.PICTURES.KINDS)
        assert {16, 32, 64, 128, 256, 512, 1024} == {*sizes.values()}
        icon = self.PICTURES.drawn(64)
        assert QColor(icon.pixelColor(1, 1)).alpha() == 0
        assert QColor(icon.pixelColor(32, 10)).alpha() == 255

    def test_names_can_be_read_on_the_image_in_light_and_in_dark(self, qapp: object) -> None:
        ground = QColor(self.PICTURES.background(1).pixelColor(5, 5))
        light = [
            value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in ground.getRgbF()[:3]
        ]
        luminance = 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]
        assert (luminance + 0.05) / 0.05 >= 4.5, "black names"
        assert 1.05 / (luminance + 0.05) >= 4.5, "white names"

    def test_the_arrow_leads_from_the_app_to_applications(self) -> None:
        settings: dict[str, Any] = {"defines": {"app": "dist/Lookahead.app", "pictures": "build/pictures"}}
        exec((PACKAGING / "macos/disk_image.py").read_text("utf-8"), settings)
        places = {"Lookahead.app": self.PICTURES.APP_AT, "Applications": self.PICTURES.APPLICATIONS_AT}
        assert settings["icon_locations"] == places
        assert settings["window_rect"][1] == self.PICTURES.WINDOW
        assert settings["symlinks"] == {"Applications": "/Applications"}


def test_the_programs_start_what_a_checkout_starts() -> None:
    sources = {name: (PACKAGING / f"bundle/{name}.py").read_text("utf-8") for name in ("engine", "window")}
    assert "from mlx_spec.cli.main import main" in sources["engine"]
    assert "from app.main import main" in sources["window"]
    assert all("main()" in source for source in sources.values())
    assert sys.modules.get("packaging") is None or "site-packages" in str(sys.modules["packaging"].__file__)
