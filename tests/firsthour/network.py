"""A network of one machine, inside a namespace of our own: addresses, and a DNS server."""

import fcntl
import socket
import struct
import threading

SIOCSIFADDR, SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8916, 0x8913, 0x8914, 1


def up(addresses):
    """Brings loopback up and gives it addresses, public ones too: nobody else is here."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for number, address in enumerate(["127.0.0.1", *addresses]):
            name = b"lo" if number == 0 else b"lo:%d" % number
            request = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(control, SIOCSIFADDR, request)
            flags = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sH14x", name, 0))
            flags = struct.unpack("16sH14x", flags)[1] | IFF_UP
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", name, flags))


class Names:
    """Answers for `records` (name to IPv4 address) on port 53 of loopback; knows nothing else."""

    def __init__(self, records):
        self._records = records
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def forget(self):
        """From now on no name is known."""
        self._records = {}

    def _serve(self):
        while True:
            question, sender = self._socket.recvfrom(512)
            self._socket.sendto(self._answer(question), sender)

    def _answer(self, question):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += question[at] + 1
        kind = struct.unpack(">H", question[at + 1:at + 3])[0]
        address = self._records.get(".".join(labels).lower())
        answers = [socket.inet_aton(address)] if address and kind == 1 else []
        # Answer, recursion done; 3 is "no such name".
        head = struct.pack(">HHHHHH", *struct.unpack(">H", question[:2]), 0x8180 | (0 if address else 3),
                           1, len(answers), 0, 0)
        records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + answer for answer in answers)
        return head + question[12:at + 5] + records
