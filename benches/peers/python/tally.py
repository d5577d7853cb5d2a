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
hot = 0


def handle(reading: dict) -> None:
    """One more event was handled."""
    global hot
    hot += reading["celsius"] > 80
    latencies.append((time.time_ns() - reading["sent_ns"]) // 1000)
    if len(latencies) == EXPECTED:
        latencies.sort()
        at = lambda quantile: latencies[min(EXPECTED - 1, int(EXPECTED * quantile))]  # noqa: E731
        result = {"events": EXPECTED, "hot": hot, "p50_us": at(0.5), "p99_us": at(0.99), "max_us": at(1)}
        print(json.dumps(result), flush=True)
