"""dmgbuild's settings: `dmgbuild -s packaging/macos/disk_image.py -D app=… -D pictures=… Lookahead Lookahead.dmg`."""

import os

app = defines["app"]  # noqa: F821 - dmgbuild gives it, with what `-D` said
pictures = defines["pictures"]  # noqa: F821

format = "ULFO"  # noqa: A001 - dmgbuild's name. LZFSE: every system that MLX runs on reads it
filesystem = "APFS"
files = [app]
symlinks = {"Applications": "/Applications"}
icon = os.path.join(pictures, "Lookahead.icns")
background = os.path.join(pictures, "background.png")  # with background@2x.png beside it
window_rect = ((200, 160), (600, 400))
default_view = "icon-view"
icon_size = 112
text_size = 13
icon_locations = {os.path.basename(app): (150, 190), "Applications": (450, 190)}
