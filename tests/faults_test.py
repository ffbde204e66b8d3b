#!/usr/bin/env python3
"""Tests the checks of faults.py: each broken promise is noticed, and the wire does its faults."""

import asyncio
import contextlib
import gzip
import json
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent / "faults"))
from cells import Cell, cells, faults  # noqa: E402
from client import Answer  # noqa: E402
from parts import free_port  # noqa: E402
from routes import DATABASE, KEPT, LIST, Route  # noqa: E402
from traffic import Tally, Traffic  # noqa: E402
from wire import REFUSED, SILENT, UP, Wire  # noqa: E402

ROWS = json.dumps([{"id": 1}, {"id": 2}]).encode()


def fault_named(name):
    return next(fault for fault in faults() if str(fault) == name)


class Checks(unittest.TestCase):
    def judge(self, needs, *answers, cell=None, seconds=0.1, **options):
        """The fault of the last of these answers to one route."""
        traffic = Traffic(0, [], Cell())
        route = Route("route", "/path", needs, rows=2, **options)
        for answer in answers:
            fault = traffic.fault_of(route, answer, {}, seconds, Tally(), cell or Cell())
        return fault

    def answer(self, status=200, body=ROWS, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return Answer(status, {"content-type": "application/json"} | headers, body)

    def test_whole_list_breaks_no_promise(self):
        self.assertIsNone(self.judge(LIST, self.answer()))

    def test_shorter_list_is_noticed_in_each_readable_encoding(self):
        short = json.dumps([{"id": 1}]).encode()
        self.assertEqual(self.judge(LIST, self.answer(body=short)), "1 rows")
        packed = self.answer(body=gzip.compress(short), content_encoding="gzip")
        self.assertEqual(self.judge(LIST, packed), "1 rows")

    def test_other_bytes_under_an_etag_are_noticed(self):
        one, other = (self.answer(body=ROWS + end, etag='"1"') for end in [b"", b" "])
        self.assertIsNone(self.judge(LIST, one, one))
        self.assertEqual(self.judge(LIST, one, other), "other bytes under the same ETag")

    def test_304_without_a_condition_is_noticed(self):
        self.assertEqual(self.judge(LIST, self.answer(304)), "304")

    def test_errors_are_noticed_whatever_fails(self):
        cell = Cell(*faults())
        for status in [403, 404, 429, 500, 502, 504]:
            self.assertEqual(self.judge(DATABASE, self.answer(status), cell=cell), f"{status}")

    def test_refusal_is_allowed_only_while_its_reason_lasts(self):
        refused = self.answer(503, retry_after="5")
        killed, restarted = fault_named("PostgreSQL killed"), fault_named("replica restarted")
        for needs, allowing, refusing in [
            (LIST, [], [[], [killed], [killed, restarted]]),
            (KEPT, [[killed, restarted]], [[], [killed], [restarted]]),
            (DATABASE, [[killed], [killed, restarted]], [[], [restarted]]),
        ]:
            for allowed in allowing:
                self.assertIsNone(self.judge(needs, refused, cell=Cell(*allowed)))
            for denied in refusing:
                self.assertIn("503", self.judge(needs, refused, cell=Cell(*denied)))
        bare = self.judge(DATABASE, self.answer(503), cell=Cell(killed))
        self.assertEqual(bare, "503 without Retry-After")

    def test_every_fault_has_a_cell_alone_and_one_with_each_other_kind(self):
        names = [cell.names for cell in cells()]
        for fault in faults():
            partners = {name.split()[0] for pair in names if str(fault) in pair for name in pair}
            self.assertIn([str(fault)], names)
            self.assertEqual(len(partners), 4, str(fault))


class Wires(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        async def echo(reader, writer):
            with contextlib.suppress(ConnectionResetError):
                while chunk := await reader.read(100):
                    writer.write(chunk)
            writer.close()

        self.server = await asyncio.start_server(echo, "127.0.0.1", 0)
        self.wire = Wire(free_port(), self.server.sockets[0].getsockname()[1])
        await self.wire.open()
        self.clients = []

    async def asyncTearDown(self):
        for client in self.clients:
            client.transport.abort()
        await self.wire.close()
        self.server.close()

    async def connect(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.wire.port)
        self.clients.append(writer)
        return reader, writer

    async def echoed(self, connection):
        reader, writer = connection
        writer.write(b"ping")
        return await asyncio.wait_for(reader.readexactly(4), 0.3)

    async def test_up_forwards(self):
        self.assertEqual(await self.echoed(await self.connect()), b"ping")

    async def test_refused_resets_connections_and_takes_no_new_one(self):
        connection = await self.connect()
        await self.echoed(connection)
        await self.wire.set(REFUSED)
        with self.assertRaises(ConnectionResetError):
            await connection[0].read(1)
        with self.assertRaises(ConnectionRefusedError):
            await self.connect()
        await self.wire.set(UP)
        self.assertEqual(await self.echoed(await self.connect()), b"ping")

    async def test_silent_connection_stays_silent_when_the_network_is_up_again(self):
        old = await self.connect()
        await self.echoed(old)
        await self.wire.set(SILENT)
        new = await self.connect()
        for connection in [old, new]:
            with self.assertRaises(asyncio.TimeoutError):
                await self.echoed(connection)
        await self.wire.set(UP)
        with self.assertRaises(asyncio.TimeoutError):
            await self.echoed(old)
        self.assertEqual(await self.echoed(await self.connect()), b"ping")

    async def test_delay_makes_chunks_late(self):
        connection = await self.connect()
        await self.wire.set(delay=0.5)
        with self.assertRaises(asyncio.TimeoutError):
            await self.echoed(connection)


if __name__ == "__main__":
    unittest.main(verbosity=0)
