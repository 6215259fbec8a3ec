"""A rank's leash: the pipe, or the ssh session, through which it was started. When that ends, so does the rank, also
where it is stopped or hangs in a collective: a process of its own holds the end, and kills.
"""

import os
import subprocess
from typing import Final

# At the leash's end the rank is killed, if it is still this shell's parent: else it is gone, and another process may
# have got its number.
_SCRIPT: Final = """
cat >/dev/null
if [ -r /proc/self/status ]; then parent=$(sed -n 's/^PPid:[[:space:]]*//p' /proc/$$/status)
else parent=$(ps -o ppid= -p $$ | tr -d ' '); fi
[ "$parent" = "$0" ] && kill -9 "$0"
"""


def be_held(end: int = 0) -> None:
    """Have this process killed when whoever holds the other end of the file descriptor `end` closes it, or is gone.
    What is to be read of it must have been read before."""
    subprocess.Popen(
        ["/bin/sh", "-c", _SCRIPT, str(os.getpid())],
        stdin=end,
        stdout=subprocess.DEVNULL,  # ssh waits for all who could still write there
        stderr=subprocess.DEVNULL,
    )


def read_line(end: int = 0) -> bytes:
    """The first line that comes through a file descriptor, and not a byte more. Empty where it ends before."""
    line = bytearray()
    while (byte := os.read(end, 1)) and byte != b"\n":
        line += byte
    return bytes(line) if byte else b""
