"""A client of HTTP/1.1 over asyncio, which keeps its connection."""

import asyncio


class Broken(Exception):
    """The connection ended within an answer."""


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


class Client:
    def __init__(self, port):
        self.port, self.connection = port, None

    def close(self):
        if self.connection:
            self.connection[1].transport.abort()
            self.connection = None

    async def get(self, path, headers, seconds):
        """The whole answer, within that time."""
        try:
            return await asyncio.wait_for(self.exchange(path, headers), seconds)
        except asyncio.IncompleteReadError as error:
            self.close()
            raise Broken(f"{len(error.partial)} bytes of {error.expected}") from error
        except BaseException:
            self.close()
            raise

    async def exchange(self, path, headers):
        if self.connection is None:
            self.connection = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.connection
        lines = [f"GET {path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "\r\n"]).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        status = int(head[0].split(" ")[1])
        headers = {}
        for line in head[1:-1]:
            name, _, value = line.partition(":")
            headers.setdefault(name.lower(), value.strip())
        body = await self.body(reader, status, headers)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, headers, body)

    @staticmethod
    async def body(reader, status, headers):
        if status in (204, 304):
            return b""
        if headers.get("transfer-encoding", "") != "chunked":
            return await reader.readexactly(int(headers["content-length"]))
        body = bytearray()
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return bytes(body)
