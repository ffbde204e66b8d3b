"""Clients that take connections and do little with them: silent, slow, or without reading."""

import asyncio
import contextlib
import dataclasses
import resource
import socket

# The answers are whole lists and more than the receive buffer of a slow reader.
LARGE = "/api/popularity/{}?fields=all&per_page=500"
RECEIVE_BYTES = 4_096
# How long one batch of connections may take to be accepted.
BATCH = 250


@dataclasses.dataclass
class Flood:
    name: str
    connections: int
    # Sent at first, and then each second; bytes read each second.
    first: bytes = b""
    each: bytes = b""
    reads: int = 0

    @property
    def is_silent(self):
        return not self.first


def floods(topic):
    request = f"GET {LARGE.format(topic)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    short = b"GET /api/kubernetes HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n"
    return [
        Flood("idle connections", 4_000),
        Flood("slow readers, 1 byte a second", 200, request, reads=1),
        Flood("slow headers, 1 byte a second", 500, b"GET /api/kubernetes HTTP/1.1\r\nX-", b"a"),
        Flood("1,000 requests in a row, nothing read", 50, 1_000 * short),
    ]


def allow_files(number):
    """Raises this process's limit of open files, which the started parts inherit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number:
        raise SystemExit(f"the hard limit of open files is {hard}; {number} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


class Flooding:
    """The connections of some floods to a port, while it is open."""

    def __init__(self, port, chosen):
        self.port, self.chosen, self.tasks = port, chosen, []

    async def __aenter__(self):
        for flood in self.chosen:
            for number in range(flood.connections):
                self.tasks.append(asyncio.create_task(self.keep(flood)))
                if number % BATCH == BATCH - 1:
                    await asyncio.sleep(0.05)
        return self

    async def __aexit__(self, *_):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def keep(self, flood):
        """Keeps one connection, and opens it anew when the service has closed it."""
        while True:
            with contextlib.suppress(OSError):
                await self.connect(flood)
            await asyncio.sleep(1)

    async def connect(self, flood):
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            await loop.sock_connect(client, ("127.0.0.1", self.port))
            await loop.sock_sendall(client, flood.first)
            while not flood.is_silent or await loop.sock_recv(client, 1):
                await asyncio.sleep(1)
                if flood.each:
                    await loop.sock_sendall(client, flood.each)
                if flood.reads and not await loop.sock_recv(client, flood.reads):
                    return
