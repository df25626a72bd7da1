#!/usr/bin/env python3
"""A switch between network interfaces that loses, delays, reorders and doubles UDP as netem does.

For kernels without sch_netem (containers, some cloud machines). The first interface is the trunk, the
others talk with it only. Standard input takes JSON lines {"loss":5,"delay":80,"jitter":60,"reorder":25,
"duplicate":3} (percent, ms; {} is a good wire); each is answered by a line with what was done so far.
"""
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time

names = sys.argv[1:]
random.seed(int(os.environ.get("BADWIRE_SEED", "4733")))
socks = []
for name in names:
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.bind((name, 0))
    s.setblocking(False)
    socks.append(s)
faults = {}
counts = {"up": {"passed": 0, "lost": 0, "doubled": 0, "reordered": 0},
          "down": {"passed": 0, "lost": 0, "doubled": 0, "reordered": 0}}
places = {}  # MAC -> port
queue = []
serial = 0


def ones(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def with_checksum(frame):
    """The kernel leaves checksums of local packets to hardware, which is not there."""
    head = (frame[14] & 15) * 4
    proto, length = frame[23], struct.unpack("!H", frame[16:18])[0]
    if struct.unpack("!H", frame[20:22])[0] & 0x3FFF:
        return frame  # fragments are left alone
    body = bytearray(frame[14 + head:14 + length])
    at = {6: 16, 17: 6}.get(proto)
    if at is None or len(body) < at + 2:
        return frame
    body[at:at + 2] = b"\0\0"
    total = 0xFFFF ^ ones(frame[26:34] + struct.pack("!BBH", 0, proto, len(body)) + bytes(body))
    body[at:at + 2] = struct.pack("!H", total or 0xFFFF)
    return frame[:14 + head] + bytes(body)


def chance(name):
    return random.random() * 100 < faults.get(name, 0)


def send(ports, frame):
    for port in ports:
        try:
            socks[port].send(frame)
        except OSError:
            pass


def handle(port, frame, now):
    global serial
    places[frame[6:12]] = port
    dst = frame[:6]
    if port:
        ports = [0]
    elif dst in places and not dst[0] & 1:
        ports = [places[dst]] if places[dst] else []
    else:
        ports = list(range(1, len(socks)))
    is_ip = frame[12:14] == b"\x08\0"
    if is_ip:
        frame = with_checksum(frame)
    if not (is_ip and frame[23] == 17 and faults):
        send(ports, frame)
        return
    count = counts["up" if port else "down"]
    if chance("loss"):
        count["lost"] += 1
        return
    count["passed"] += 1
    copies = 1
    if chance("duplicate"):
        count["doubled"] += 1
        copies = 2
    for _ in range(copies):
        delay = faults.get("delay", 0) + faults.get("jitter", 0) * random.uniform(-1, 1)
        if chance("reorder"):  # as netem: this one is sent at once
            count["reordered"] += 1
            delay = 0
        serial += 1
        heapq.heappush(queue, (now + max(0, delay) / 1000, serial, ports, frame))


def run():
    global faults
    text = b""
    while True:
        now = time.monotonic()
        while queue and queue[0][0] <= now:
            _, _, ports, frame = heapq.heappop(queue)
            send(ports, frame)
        wait = max(0, queue[0][0] - now) if queue else 1
        ready, _, _ = select.select(socks + [0], [], [], wait)
        now = time.monotonic()
        for one in ready:
            if one == 0:
                data = os.read(0, 4096)
                if not data:
                    return
                text += data
                while b"\n" in text:
                    line, text = text.split(b"\n", 1)
                    faults = json.loads(line)
                    print(json.dumps(counts), flush=True)
                continue
            for _ in range(64):
                try:
                    frame, address = one.recvfrom(65536)
                except BlockingIOError:
                    break
                if address[2] != 4:  # what we sent ourselves
                    handle(socks.index(one), frame, now)


run()
