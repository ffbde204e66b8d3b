"""The slopes of sampled values, and the bounds that they have to keep."""

import dataclasses
import statistics

HOUR = 3_600
# The most that a figure may grow in an hour, by its kind. Memory in use differs by some MB from
# sample to sample, which is more in an hour if the soak is short.
BOUNDS = {
    "memory, MB": 30.0,
    "descriptors": 30.0,
    "connections": 10.0,
    "data, MB": 30.0,
    "dead rows": 30_000.0,
    "rows": 100.0,
}
# The most rows that a refresh adds to these tables: two to the ledger, which are deleted after
# days, and for each of the three repositories that have changed one of the day's counts, an event
# and a membership that begins or ends: places among the first come and go.
GROWING = {
    "refreshes": 2,
    "counts": 3,
    "events": 3,
    "topic_repositories": 3,
    "former_members": 3,
}
# A slope only counts if the medians of the first and the second half of the values differ by more
# than this.
NOISE = {
    "memory, MB": 4.0,
    "descriptors": 6.0,
    "connections": 3.0,
    "data, MB": 2.0,
    "dead rows": 3_000.0,
    "rows": 5.0,
}


@dataclasses.dataclass
class Slope:
    kind: str
    subject: str
    first: float
    last: float
    # The growth in an hour, and the bound for it.
    hourly: float
    bound: float
    # The medians of the two halves differ by this much.
    difference: float

    @property
    def is_exceeded(self):
        return self.hourly > self.bound and self.difference > NOISE[self.kind]


def slopes(values, warm_up, refreshes_an_hour):
    """The slope of each figure after the warm-up; `values` are pairs of seconds and value."""
    for (kind, subject), points in sorted(values.items()):
        points = [point for point in points if point[0] >= warm_up]
        times, samples = zip(*points)
        hourly = statistics.linear_regression(times, samples).slope * HOUR
        middle = len(samples) // 2
        difference = statistics.median(samples[middle:]) - statistics.median(samples[:middle])
        bound = BOUNDS[kind]
        if kind == "rows" and subject in GROWING:
            bound += GROWING[subject] * refreshes_an_hour
        yield Slope(kind, subject, samples[0], samples[-1], hourly, bound, difference)
