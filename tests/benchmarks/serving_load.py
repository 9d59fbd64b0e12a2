"""A client process of the serving benchmark, driven through its stdin.

    python -m tests.benchmarks.serving_load

Each line in is `{"address", "request": path, "seconds"}`; each line out
`{"milliseconds": [...], "wall": s}`. Requests are sent as bytes made before
and answers are not parsed, so that the server is what is measured.
"""

import json
import sys
import time
from pathlib import Path

import grpc

METHOD = "/tensorflow.serving.PredictionService/Predict"


def main() -> None:
    channels: dict[str, grpc.Channel] = {}
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        address = order["address"]
        if address not in channels:
            channels[address] = grpc.insecure_channel(address)
        # No serializer: bytes in, bytes out.
        predict = channels[address].unary_unary(METHOD)
        request = Path(order["request"]).read_bytes()
        predict(request, timeout=60, wait_for_ready=True)
        milliseconds = []
        start = now = time.perf_counter()
        while now < start + order["seconds"]:
            predict(request, timeout=60)
            before, now = now, time.perf_counter()
            milliseconds.append((now - before) * 1e3)
        answer = {"milliseconds": milliseconds, "wall": now - start}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
