"""How do clients fare while the service changes under them? Sends one request again and again at a steady rate, whatever becomes
of the answers, over connections that it keeps; on SIGTERM it says how every single one ended, as JSON.

    load.py URL BODY-FILE REQUESTS-PER-SECOND OPENING

OPENING is what a good answer begins with. Where the body says NUMBER, each request says its own, six digits long.
"""

import asyncio
import json
import signal
import sys
import time
from collections import Counter, deque
from urllib.parse import urlsplit

ANSWER_WITHIN_S = 5
# Less than services drain for, counted from the last request on a connection: later it may be closed just when it is used, as HTTP
# allows. Not from its answer, which a busy machine may hand over late.
REUSED_WITHIN_S = 0.5
LONGEST_RUN_S = 300  # It ends by itself then, whatever becomes of who started it.


class Load:
    def __init__(self, url, body, opening):
        parts = urlsplit(url)
        self.host, self.port, self.body, self.opening = parts.hostname, parts.port or 80, body, opening
        self.head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.hostname}\r\nContent-Type: application/json\r\nContent-Length: "
        self.idle, self.ended, self.latencies, self.failures = deque(), Counter(), [], []
        self.asked_again, self.begun = 0, time.monotonic()

    async def one(self, number):
        at = time.monotonic()
        body = self.body.replace(b"NUMBER", b"%06d" % number)
        try:
            how = await asyncio.wait_for(self.exchange(f"{self.head}{len(body)}\r\n\r\n".encode() + body), ANSWER_WITHIN_S)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, ValueError) as error:
            how = type(error).__name__
        self.ended[how] += 1
        if how == "200":
            self.latencies.append(time.monotonic() - at)
        else:
            self.failures.append((round(at - self.begun, 2), how))

    async def exchange(self, request):
        """As clients do, asks again on a new connection when a kept one was closed without a word, as HTTP allows at any time."""
        kept = self.connection()
        if kept:
            try:
                return await self.ask(*kept, request)
            except (asyncio.IncompleteReadError, ConnectionResetError, BrokenPipeError) as error:
                if getattr(error, "partial", b""):
                    raise
                self.asked_again += 1
        return await self.ask(*await asyncio.open_connection(self.host, self.port), request)

    def connection(self):
        """The one that was used longest ago, if that is not long ago."""
        while self.idle:
            reader, writer, sent = self.idle.popleft()
            if not reader.at_eof() and time.monotonic() - sent < REUSED_WITHIN_S:
                return reader, writer
            writer.close()
        return None

    async def ask(self, reader, writer, request):
        kept, sent = False, time.monotonic()
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:"))
            body = await reader.readexactly(length)
            status = head.split()[1]
            kept = "connection: close" not in head
            return status if status != "200" or body.startswith(self.opening) else "200 with another answer"
        finally:
            if kept:
                self.idle.append((reader, writer, sent))
            else:
                writer.close()

    def summary(self):
        ordered = sorted(self.latencies) or [0]
        return {
            "requests": sum(self.ended.values()), "ended": dict(self.ended), "failures": self.failures[:200],
            "asked_again": self.asked_again,
            "seconds": round(time.monotonic() - self.begun, 1), "p50_ms": round(ordered[len(ordered) // 2] * 1000, 1),
            "p99_ms": round(ordered[len(ordered) * 99 // 100] * 1000, 1), "longest_ms": round(ordered[-1] * 1000, 1),
        }


async def main(url, body, rate, opening):
    load = Load(url, body, opening)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    under_way = set()
    number = 0
    while not stopped.is_set() and time.monotonic() - load.begun < LONGEST_RUN_S:
        request = asyncio.create_task(load.one(number))
        under_way.add(request)
        request.add_done_callback(under_way.discard)
        number += 1
        await asyncio.sleep(max(0, load.begun + number / rate - time.monotonic()))
    await asyncio.gather(*under_way)
    print(json.dumps(load.summary()))


if __name__ == "__main__":
    with open(sys.argv[2], "rb") as file:
        asyncio.run(main(sys.argv[1], file.read(), float(sys.argv[3]), sys.argv[4].encode()))
