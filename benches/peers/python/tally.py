"""What both peers in Python have in common: the settings, and the count of what was handled."""

import json
import os
import time

HOST = os.environ["PEER_HOST"]
PORT = int(os.environ["PEER_PORT"])
FILTER = os.environ["PEER_FILTER"]
GROUP = os.environ["PEER_GROUP"]
EXPECTED = int(os.environ["PEER_EVENTS"])
WINDOW = int(os.environ["PEER_WINDOW"])

latencies: list[int] = []
handled = 0
hot = 0


def handle(reading: dict) -> None:
    """One more event was handled."""
    global handled, hot
    handled += 1
    hot += reading["celsius"] > 80
    if reading["sent_ns"]:
        latencies.append((time.time_ns() - reading["sent_ns"]) // 1000)
    if handled == EXPECTED:
        print(json.dumps({"events": EXPECTED, "hot": hot, **quantiles()}), flush=True)


def quantiles() -> dict:
    """Of the latencies, in microseconds; none where nobody measures."""
    if not latencies:
        return {}
    latencies.sort()
    at = lambda quantile: latencies[min(len(latencies) - 1, int(len(latencies) * quantile))]  # noqa: E731
    return {"p50_us": at(0.5), "p99_us": at(0.99), "max_us": at(1)}
