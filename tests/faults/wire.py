"""A TCP proxy between two parts, whose network a fault can cut, delay, slow down or silence."""

import asyncio
import socket
import struct

CHUNK = 65_536
# Closes a connection by RST in place of FIN.
RESET = struct.pack("ii", 1, 0)
# The states of the network.
UP, REFUSED, SILENT = "up", "refused", "silent"


class Wire:
    """Forwards a port of its own to another port.

    UP forwards. REFUSED closes the port and resets the connections. SILENT swallows all bytes and
    shows neither side the end of the other, also after the network is UP again: a connection that
    was silent once stays silent.
    """

    def __init__(self, port, target):
        self.port, self.target = port, target
        # Seconds by which each chunk is late, and bytes a second of a connection; 0 is no bound.
        self.delay, self.rate = 0.0, 0
        self.state, self.server, self.links = UP, None, set()

    async def open(self):
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", self.port)

    async def set(self, state=UP, delay=0.0, rate=0):
        self.state, self.delay, self.rate = state, delay, rate
        if state == REFUSED:
            for link in list(self.links):
                link.reset()
        if state == SILENT:
            for link in self.links:
                link.is_silent = True
        if state == REFUSED:
            self.server.close()
        elif not self.server.is_serving():
            await self.open()

    async def close(self):
        self.server.close()
        while self.links:
            for link in list(self.links):
                link.reset()
            await asyncio.sleep(0.05)

    async def accept(self, reader, writer):
        link = Link(self, writer)
        self.links.add(link)
        try:
            await link.forward(reader)
        finally:
            link.reset()
            self.links.discard(link)


class Link:
    """A client's connection, with that to the target."""

    def __init__(self, wire, client):
        self.wire, self.client, self.server = wire, client, None
        self.is_silent = wire.state == SILENT
        self.is_reset = asyncio.Event()

    def reset(self):
        self.is_reset.set()
        for writer in filter(None, [self.client, self.server]):
            raw = writer.get_extra_info("socket")
            if raw is not None and not writer.is_closing():
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    async def forward(self, reader):
        if not self.is_silent:
            try:
                back, self.server = await asyncio.open_connection("127.0.0.1", self.wire.target)
            except OSError:
                return
            ways = [self.pump(reader, self.server), self.pump(back, self.client)]
            ways = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            # The other side's last bytes may still be on their way.
            await asyncio.wait(ways, timeout=1)
            for way in ways:
                way.cancel()
        if self.is_silent:
            await self.is_reset.wait()

    async def pump(self, reader, writer):
        """Forwards one direction until it ends."""
        try:
            while chunk := await reader.read(CHUNK):
                if self.wire.delay:
                    await asyncio.sleep(self.wire.delay)
                if self.wire.rate:
                    await asyncio.sleep(len(chunk) / self.wire.rate)
                if self.is_silent:
                    await self.is_reset.wait()
                    return
                writer.write(chunk)
                await writer.drain()
            if self.is_silent:
                await self.is_reset.wait()
            elif writer.can_write_eof():
                writer.write_eof()
        except OSError:
            pass
