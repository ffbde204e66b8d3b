"""A steady load of requests, whose answers are compared byte by byte."""

import asyncio
import itertools
import threading
import time

# Requests in flight at once. More requests wait, and the time they wait counts as theirs.
CONNECTIONS = 64


class Load:
    """Runs in a thread of its own inside `with`.

    `expected` has the body for each (path, Accept-Encoding).
    """

    def __init__(self, port, expected, requests_a_second):
        self.port, self.expected, self.pace = port, expected, requests_a_second
        self.answered, self.failures, self.longest, self.took = 0, [], 0.0, 0.0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.run()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def check(self, when):
        """Asserts that no request has failed and that answers keep the pace of the requests."""
        assert not self.failures, (
            f"{when}: {len(self.failures)} of {self.answered} failed, first {self.failures[:3]}"
        )
        before = self.answered
        time.sleep(1)
        assert self.answered - before >= self.pace * 0.8, (
            f"{when}: {self.answered - before} answers in a second"
        )
        print(f"   {when}: {self.answered} answers", flush=True)

    def summary(self):
        assert not self.failures, (
            f"{len(self.failures)} of {self.answered} failed, first {self.failures[:3]}"
        )
        rate = self.answered / self.took
        return (
            f"{self.answered} requests, none lost, {rate:.0f} a second, "
            f"the longest took {self.longest:.1f} s"
        )

    async def run(self):
        queue = asyncio.Queue()
        clients = [asyncio.create_task(self.client(queue)) for _ in range(CONNECTIONS)]
        started = time.monotonic()
        for index, request in enumerate(itertools.cycle(self.expected)):
            if self.stop.is_set():
                break
            await asyncio.sleep(max(0.0, started + index / self.pace - time.monotonic()))
            queue.put_nowait((request, time.monotonic()))
        await queue.join()
        self.took = time.monotonic() - started
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    async def client(self, queue):
        connection = None
        while True:
            request, due = await queue.get()
            try:
                connection = connection or await asyncio.open_connection("127.0.0.1", self.port)
                keep = await asyncio.wait_for(self.ask(connection, request), 15)
                self.answered += 1
            except Exception as error:  # whatever it is, the request was lost
                self.failures.append(
                    (*request, repr(error), f"after {time.monotonic() - due:.1f} s")
                )
                keep = False
            self.longest = max(self.longest, time.monotonic() - due)
            if connection and not keep:
                connection[1].close()
                connection = None
            queue.task_done()

    async def ask(self, connection, request):
        """Sends a request and checks its answer; returns whether the connection stays open."""
        reader, writer = connection
        path, encoding = request
        headers = f"Host: localhost\r\nAccept-Encoding: {encoding}"
        writer.write(f"GET {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = head.split(" ", 2)[1]
        length = next(
            (
                line.split(":")[1]
                for line in head.split("\r\n")
                if line.startswith("content-length:")
            ),
            None,
        )
        if status != "200" or length is None:
            raise ValueError(head.split("\r\n")[0])
        body = await reader.readexactly(int(length))
        if body != self.expected[request]:
            raise ValueError(f"another body, of {len(body)} bytes")
        return "\r\nconnection: close" not in head
