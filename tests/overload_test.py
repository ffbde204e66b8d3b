#!/usr/bin/env python3
"""Tests the checks of overload.py and soak.py: each bound that is exceeded is noticed."""

import dataclasses
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
for folder in "faults", "overload", "soak":
    sys.path.insert(0, str(Path(__file__).resolve().parent / folder))
from client import Answer  # noqa: E402
from capacity import Run  # noqa: E402
from probe import Answered, accepted, fault_of, percentile, refused  # noqa: E402
from slopes import slopes  # noqa: E402
from trials import BURST, Overload, missed  # noqa: E402


class Bounds(unittest.TestCase):
    run_at_capacity = Run(10_000, 0, 0, 10.0, p50=0.01, p99=0.1, connections=8)
    good = Overload(
        "service", run_at_capacity, BURST, run_at_capacity, 0.1, 0.05, 0.05, 1.0, broken=[]
    )

    def test_figures_within_their_bounds_are_accepted(self):
        self.assertEqual(missed(self.good), [])

    def test_each_figure_beyond_its_bound_is_told(self):
        slow = dataclasses.replace(self.run_at_capacity, p99=0.6)
        cut = dataclasses.replace(self.run_at_capacity, broken=1)
        for changed in [
            {"run": slow}, {"run": cut}, {"refusals": 0.6}, {"health": 0.11}, {"ready": 0.11},
            {"recovery": 5.1}, {"burst": BURST - 1},
        ]:
            result = dataclasses.replace(self.good, **changed)
            self.assertEqual(len(missed(result)), 1, changed)

    def test_refusal_needs_retry_after_and_other_errors_are_faults(self):
        for status, headers, is_fault in [
            (200, {}, False), (503, {"retry-after": "1"}, False), (429, {}, True), (503, {}, True),
            (500, {"retry-after": "1"}, True), (502, {}, True),
        ]:
            self.assertEqual(bool(fault_of(Answer(status, headers, b""))), is_fault, status)

    def test_accepted_and_refused_answers_are_told_apart(self):
        answers = [Answered(0.0, number / 100, "lists", 200) for number in range(100)]
        answers += [Answered(0.0, 5.0, "lists", 503), Answered(0.0, 9.0, "lists", 0, "reset")]
        self.assertEqual((len(accepted(answers)), len(refused(answers))), (100, 1))
        self.assertEqual(percentile(accepted(answers), 99), 0.99)


class Slopes(unittest.TestCase):
    def slope(self, kind, subject, hourly, refreshes=0):
        # Twenty minutes; the values of the first ones fall.
        points = [(0.0, 9e9)] + [(at, 50 + hourly * at / 3_600) for at in range(60, 1_200, 5)]
        (slope,) = slopes({(kind, subject): points}, 60, refreshes)
        return slope

    def test_slope_is_that_after_the_warm_up(self):
        self.assertAlmostEqual(self.slope("memory, MB", "api-a", 12.0).hourly, 12.0)

    def test_growth_beyond_the_bound_is_exceeded(self):
        for kind, hourly in [
            ("memory, MB", 40), ("descriptors", 60), ("connections", 30), ("rows", 110),
            ("data, MB", 40), ("dead rows", 40_000),
        ]:
            self.assertTrue(self.slope(kind, "one", hourly).is_exceeded, kind)
            self.assertFalse(self.slope(kind, "one", hourly / 10).is_exceeded, kind)
            self.assertFalse(self.slope(kind, "one", -hourly).is_exceeded, kind)

    def test_rows_of_refreshes_may_grow_with_them(self):
        self.assertFalse(self.slope("rows", "refreshes", 3_600, refreshes=1_800).is_exceeded)
        self.assertTrue(self.slope("rows", "refreshes", 7_200, refreshes=1_800).is_exceeded)
        self.assertTrue(self.slope("rows", "topics", 3_600, refreshes=1_800).is_exceeded)


if __name__ == "__main__":
    unittest.main(verbosity=0)
