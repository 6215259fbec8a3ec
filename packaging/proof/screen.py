"""A screen and a keyboard over VNC: Qt's own platform plugin serves one, so a window needs no display to be used.

Only what Qt's server speaks: RFB 3.3, no password, 32 bits a pixel, raw rectangles.
"""

import socket
import struct
import time

RETURN = 0xFF0D
_TIMEOUT_S = 20.0


class Screen:
    """What is to be seen of a program, and a keyboard for it. `connect` waits until the program listens."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read(12)
        connection.sendall(b"RFB 003.003\n")
        (security,) = struct.unpack(">I", self._read(4))
        if security != 1:
            raise OSError(f"the program's screen wants security {security}, not none")
        connection.sendall(b"\x01")
        self.width, self.height = struct.unpack(">HH", self._read(4))
        self._read(16)
        self._read(struct.unpack(">I", self._read(4))[0])
        # 32 bits, 24 deep, little endian, true colour: blue, green, red, nothing.
        connection.sendall(struct.pack(">BxxxBBBBHHHBBBxxx", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0))
        connection.sendall(struct.pack(">BxHi", 2, 1, 0))
        self.pixels = bytearray(4 * self.width * self.height)

    @classmethod
    def connect(cls, port: int, until_s: float) -> "Screen":
        """Reach the program's screen within some seconds. Raises OSError."""
        deadline = time.monotonic() + until_s
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)
                return cls(connection)
            except ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def look(self, *, changed: bool = False) -> bytearray:
        """The picture now, `[height × width]` pixels of four bytes; or, `changed`, once something of it does."""
        self._connection.sendall(struct.pack(">BBHHHH", 3, changed, 0, 0, self.width, self.height))
        while (kind := self._read(1)[0]) != 0:
            if kind == 3:  # somebody copied a text
                self._read(3)
                self._read(struct.unpack(">I", self._read(4))[0])
        (count,) = struct.unpack(">xH", self._read(3))
        for _ in range(count):
            left, top, width, height, _encoding = struct.unpack(">HHHHi", self._read(12))
            for row in range(height):
                at = 4 * ((top + row) * self.width + left)
                self.pixels[at : at + 4 * width] = self._read(4 * width)
        return self.pixels

    def colours(self) -> int:
        """How many colours are to be seen now: one or two before anything is drawn."""
        pixels = bytes(self.look())
        return len({pixels[at : at + 4] for at in range(0, len(pixels), 4)})

    def type(self, text: str) -> None:
        """Press the keys of a text, as a person at a keyboard."""
        for character in text:
            self.press(ord(character) if ord(character) < 256 else 0x01000000 + ord(character))

    def press(self, key: int) -> None:
        """Press and let go of a key, by its X11 name."""
        for down in (1, 0):
            self._connection.sendall(struct.pack(">BBxxI", 4, down, key))
        time.sleep(0.02)

    def save(self, path: str) -> None:
        """Write the picture as it is now, for people: a PPM file."""
        pixels = self.look()
        rows = bytes(pixels[at + channel] for at in range(0, len(pixels), 4) for channel in (2, 1, 0))
        with open(path, "wb") as file:
            file.write(b"P6 %d %d 255\n" % (self.width, self.height) + rows)

    def close(self) -> None:
        """Leave the program to itself."""
        self._connection.close()

    def _read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            piece = self._connection.recv(count - len(data))
            if not piece:
                raise ConnectionError("the program closed its screen")
            data += piece
        return bytes(data)
