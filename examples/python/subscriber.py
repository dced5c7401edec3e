#!/usr/bin/env python3
"""Handles the events of cfw-job-poller as a member of a consumer group.

    python3 subscriber.py GROUP CONSUMER

An event is acknowledged after handle() returned. Where it raised, or the process died, the entry stays pending; after
CLAIM_IDLE_MS some consumer of the group takes it over. After MAX_DELIVERIES it is moved to the dead letters.
"""

import datetime
import json
import os
import signal
import sys
import time

import redis

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
STREAM = os.environ.get("EVENT_STREAM", "{cfw}:events")
CLAIM_IDLE_MS = int(os.environ.get("CLAIM_IDLE_MS", "60000"))
MAX_DELIVERIES = int(os.environ.get("MAX_DELIVERIES", "5"))


def handle(event, data):
    """Put your own work here. It may see an event twice: source and id together tell it apart."""
    print(event["type"], data["jobId"], data["reason"] or "-", json.dumps(data["metadata"]), flush=True)


class Subscriber:
    def __init__(self, group, consumer):
        self.redis = redis.Redis.from_url(URL, decode_responses=True, health_check_interval=30)
        self.group = group
        self.consumer = consumer
        self.running = True

    def stop(self, *_):
        self.running = False

    def run(self):
        try:
            # "0" begins with the oldest event that the stream holds, "$" with the next one.
            self.redis.xgroup_create(STREAM, self.group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        while self.running:
            try:
                self.take_over()
                # Waits for a second at most, so that stopping and taking over come to their turn.
                batches = self.redis.xreadgroup(self.group, self.consumer, {STREAM: ">"}, count=10, block=1000)
                for _stream, entries in batches or []:
                    for entry_id, fields in entries:
                        self.deliver(entry_id, fields, 1)
            except redis.ConnectionError as error:
                print(f"waiting for Redis: {error}", file=sys.stderr)
                time.sleep(1)

    def take_over(self):
        """Entries that nobody has touched for long belong to a consumer that is dead, or failed here before."""
        start = "0-0"
        while self.running:
            start, entries, *_trimmed = self.redis.execute_command(
                "XAUTOCLAIM", STREAM, self.group, self.consumer, CLAIM_IDLE_MS, start, "COUNT", 10
            )
            for entry_id, fields in parse_entries(entries):
                pending = self.redis.xpending_range(STREAM, self.group, entry_id, entry_id, 1)
                if pending:
                    self.deliver(entry_id, fields, pending[0]["times_delivered"])
            if start == "0-0":
                return

    def deliver(self, entry_id, fields, deliveries):
        if fields is None:
            # The stream was trimmed in the meantime: there is nothing left to handle.
            self.redis.xack(STREAM, self.group, entry_id)
            return
        try:
            data = json.loads(fields["data"])
        except (KeyError, ValueError) as error:
            self.bury(entry_id, fields, deliveries, error)
            return
        try:
            handle(fields, data)
        except Exception as error:  # whatever it is, the other events go on
            print(f"{entry_id}: {error!r}", file=sys.stderr)
            if deliveries >= MAX_DELIVERIES:
                self.bury(entry_id, fields, deliveries, error)
            return
        self.redis.xack(STREAM, self.group, entry_id)

    def bury(self, entry_id, fields, deliveries, error):
        entry = [text for pair in fields.items() for text in pair]
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        # Both or neither: MULTI … EXEC.
        with self.redis.pipeline(transaction=True) as both:
            both.xadd(
                f"{STREAM}:dead",
                {
                    "group": self.group,
                    "consumer": self.consumer,
                    "entryId": entry_id,
                    "deliveries": deliveries,
                    "error": f"{type(error).__name__}: {error}",
                    "time": now,
                    "entry": json.dumps(entry),
                },
            )
            both.xack(STREAM, self.group, entry_id)
            both.execute()


def parse_entries(entries):
    """redis-py parses the answer of XAUTOCLAIM in some versions and leaves it as it is in others."""
    for entry in entries:
        entry_id, fields = entry or (None, None)
        if entry_id is None:
            continue  # what was trimmed meanwhile, as Redis 6.2 gives it
        if isinstance(fields, list):
            fields = dict(zip(fields[::2], fields[1::2]))
        yield entry_id, fields


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: subscriber.py GROUP CONSUMER")
    subscriber = Subscriber(sys.argv[1], sys.argv[2])
    signal.signal(signal.SIGTERM, subscriber.stop)
    signal.signal(signal.SIGINT, subscriber.stop)
    subscriber.run()
