#!/bin/sh
# Makes what people install on a Mac: the app, signed, notarised and stapled, in a disk image that is so too.
#
#   packaging/release.sh              needs a Mac, a certificate and a key of the notary service:
#     LOOKAHEAD_IDENTITY         "Developer ID Application: …", as `security find-identity -v -p codesigning` shows it
#     LOOKAHEAD_NOTARY_PROFILE   what `xcrun notarytool store-credentials` called the key
#   packaging/release.sh --unsigned   signed for nobody ("ad hoc"), for a build without certificates: Gatekeeper will ask
#
# Every step stops at its first failure. What is needed is looked for before anything is built.
set -eu

cd "$(dirname "$0")/.."
PY=${PYTHON:-.venv/bin/python}
OUT=dist
APP=$OUT/Lookahead.app
PICTURES=build/pictures
ENTITLEMENTS=packaging/macos/entitlements.plist
SIGNED=yes

say() { printf '%s\n' "release: $*"; }
fail() {
    say "$*" >&2
    exit 1
}
step() { say "== $*"; }

check_options() {
    case "${1:-}" in
    "") ;;
    --unsigned) SIGNED=no ;;
    *) fail "usage: packaging/release.sh [--unsigned]" ;;
    esac
}

check_tools() {
    [ "$(uname -s)" = Darwin ] && [ "$(uname -m)" = arm64 ] ||
        fail "a release is built on an Apple silicon Mac; make bundle proves the same app on Linux"
    for tool in codesign xcrun spctl security ditto; do
        command -v "$tool" >/dev/null 2>&1 || fail "$tool is missing: xcode-select --install brings it"
    done
}

check_credentials() {
    [ "$SIGNED" = yes ] || return 0
    [ -n "${LOOKAHEAD_IDENTITY:-}" ] || fail "LOOKAHEAD_IDENTITY is not set: name the Developer ID, or give --unsigned"
    [ -n "${LOOKAHEAD_NOTARY_PROFILE:-}" ] || fail "LOOKAHEAD_NOTARY_PROFILE is not set: xcrun notarytool store-credentials makes one"
    security find-identity -v -p codesigning | grep -qF "\"$LOOKAHEAD_IDENTITY\"" ||
        fail "the keychain has no valid identity \"$LOOKAHEAD_IDENTITY\""
    xcrun notarytool history --keychain-profile "$LOOKAHEAD_NOTARY_PROFILE" >/dev/null ||
        fail "the notary service refuses the profile $LOOKAHEAD_NOTARY_PROFILE"
}

check_version() { # The tag that is released, where one is, names the version that is built.
    VERSION=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
    [ -n "$VERSION" ] || fail "pyproject.toml names no version"
    tag=${LOOKAHEAD_TAG:-v$VERSION}
    [ "$tag" = "v$VERSION" ] || fail "the tag $tag is not the version $VERSION of pyproject.toml"
    IMAGE=$OUT/Lookahead-$VERSION-arm64.dmg
}

sign() { # FILE [OPTION...]: with the hardened runtime and a time stamp, or for nobody
    file=$1
    shift
    if [ "$SIGNED" = yes ]; then
        codesign --force --sign "$LOOKAHEAD_IDENTITY" --timestamp --options runtime "$@" "$file"
    else
        codesign --force --sign - "$@" "$file"
    fi
}

sign_app() { # From the inside out: what is signed later seals what lies in it.
    libraries=build/libraries-to-sign
    "$PY" packaging/macos/machos.py "$APP" >"$libraries"
    while IFS= read -r library; do sign "$library"; done <"$libraries"
    frameworks=build/frameworks-to-sign
    # A framework is signed as one, with its own binary in it.
    find "$APP/Contents" -type d -name '*.framework' -prune | LC_ALL=C sort -r >"$frameworks"
    while IFS= read -r framework; do sign "$framework"; done <"$frameworks"
    sign "$APP/Contents/MacOS/mlx-spec" --entitlements "$ENTITLEMENTS"
    sign "$APP" --entitlements "$ENTITLEMENTS" # and with it the window, its main program
    codesign --verify --strict --deep --verbose=2 "$APP"
}

compute() { # One answer by the frozen, signed program: on the GPU, or not at all.
    home=$(mktemp -d)
    LOOKAHEAD_HOME=$home "$APP/Contents/MacOS/mlx-spec" doctor --json >"$home/doctor.json" || fail "the frozen doctor finds errors"
    "$PY" packaging/macos/on_gpu.py "$home/doctor.json" || fail "the frozen app does not compute on the GPU"
    LOOKAHEAD_HOME=$home "$APP/Contents/MacOS/mlx-spec" generate "Say hello." --max-tokens 8 --temperature 0 ||
        fail "the frozen app does not answer"
    rm -rf "$home"
}

notarise() { # FILE: submitted and waited for; what the service finds is shown
    xcrun notarytool submit "$1" --keychain-profile "$LOOKAHEAD_NOTARY_PROFILE" --wait --timeout 1h
}

staple() { # FILE: the ticket goes along, so that no network is needed to open it
    xcrun stapler staple "$1"
    xcrun stapler validate "$1"
}

check_options "$@"
step "what is needed"
check_tools
check_credentials
check_version

step "the app, version $VERSION"
"$PY" packaging/macos/pictures.py "$PICTURES"
"$PY" packaging/bundle/build.py
[ -d "$APP" ] || fail "$APP was not built"

step "signing from the inside out"
sign_app
step "one answer on the GPU"
compute

if [ "$SIGNED" = yes ]; then
    step "notarising the app"
    ditto -c -k --keepParent "$APP" build/Lookahead.zip
    notarise build/Lookahead.zip
    staple "$APP"
    spctl --assess --type execute --verbose=2 "$APP"
fi

step "the disk image"
rm -f "$IMAGE"
"$PY" -m dmgbuild -s packaging/macos/disk_image.py -D app="$APP" -D pictures="$PICTURES" Lookahead "$IMAGE"
if [ "$SIGNED" = yes ]; then
    codesign --force --sign "$LOOKAHEAD_IDENTITY" --timestamp "$IMAGE"
    step "notarising the disk image"
    notarise "$IMAGE"
    staple "$IMAGE"
    spctl --assess --type open --context context:primary-signature --verbose=2 "$IMAGE"
fi

step "the wheel, the source, and the sums of all"
"$PY" -m hatchling build -d "$OUT"
"$PY" packaging/homebrew/sums.py "$OUT"
say "$IMAGE is done; $OUT/lookahead.rb and $OUT/mlx-spec.rb belong into Homebrew's tap"
