"""Clients beside the load, which ask at a steady rate, check each answer and note its time."""

import asyncio
import dataclasses
import itertools
import time

from client import Broken, Client
from mix import Ask

# How often each client asks, in seconds.
PERIOD = 0.02
# The clients that ask for the mix.
CLIENTS = 2
# A client that waits longer gives up.
PATIENCE = 5.0
REFUSALS = (429, 503)
HEALTH = [Ask("/health", "/health"), Ask("/ready", "/ready")]


@dataclasses.dataclass
class Answered:
    at: float
    seconds: float
    kind: str
    status: int = 0
    # A broken promise: an error, or a refusal that does not say when to ask again.
    fault: str = ""


class Probe:
    """Asks for an endless mix at one port, and for each of HEALTH at another, while it is open."""

    def __init__(self, port, mix, judged):
        self.port, self.mix, self.judged, self.answers, self.tasks = port, mix, judged, [], []
        self.is_closed = False

    async def __aenter__(self):
        work = [self.ask_each(self.port, self.mix) for _ in range(CLIENTS)]
        work += [self.ask_each(self.judged, itertools.repeat(ask)) for ask in HEALTH]
        self.tasks = [asyncio.create_task(one) for one in work]
        return self

    async def __aexit__(self, *_):
        # Not by cancelling: wait_for may swallow that when its request has just ended.
        self.is_closed = True
        await asyncio.gather(*self.tasks)

    async def ask_each(self, port, asks):
        client = Client(port)
        try:
            for ask in asks:
                if self.is_closed:
                    return
                began = time.monotonic()
                self.answers.append(await self.ask(client, ask, began))
                await asyncio.sleep(max(0.0, began + PERIOD - time.monotonic()))
        finally:
            client.close()

    @staticmethod
    async def ask(client, ask, began):
        try:
            answer = await client.get(ask.path, ask.headers, PATIENCE)
        except (TimeoutError, asyncio.TimeoutError):
            status, fault = 0, "no answer in time"
        except (Broken, OSError) as error:
            status, fault = 0, f"{type(error).__name__}: {error}"
        else:
            status, fault = answer.status, fault_of(answer)
        return Answered(began, time.monotonic() - began, ask.kind, status, fault)

    def within(self, begin, end, *kinds):
        """The answers to requests between two times, of these kinds or of the mix."""
        health = [ask.kind for ask in HEALTH]
        return [
            answer
            for answer in self.answers
            if begin <= answer.at <= end
            and (answer.kind in kinds if kinds else answer.kind not in health)
        ]


def fault_of(answer):
    if answer.status in REFUSALS:
        return "" if "retry-after" in answer.headers else f"{answer.status} without Retry-After"
    return "" if answer.status == 200 else f"{answer.status}"


def accepted(answers):
    return [answer for answer in answers if answer.status == 200]


def refused(answers):
    return [answer for answer in answers if answer.status in REFUSALS]


def faults(answers):
    """The texts of the broken promises."""
    return sorted({answer.fault for answer in answers if answer.fault})


def percentile(answers, percent):
    """That of the answers' seconds; 0 without an answer."""
    seconds = sorted(answer.seconds for answer in answers)
    return seconds[min(len(seconds) - 1, len(seconds) * percent // 100)] if seconds else 0.0
