"""A command at a terminal of its own, and somebody who answers what it asks."""

import os
import pty
import select
import signal
import sys
import termios
import time

SECONDS = 60


class Terminal:
    """Runs a command; where its last line is a question that holds a key of `answers`, types the
    answer, once for each question."""

    def __init__(self, command, answers):
        self._answers = {question.encode(): answer.encode() for question, answer in answers.items()}
        process, self._terminal = pty.fork()
        if process == 0:
            os.execvp(command[0], [os.fspath(part) for part in command])
        self._said, asked = b"", 0
        until = time.monotonic() + SECONDS
        while True:
            if time.monotonic() > until:
                os.kill(process, signal.SIGKILL)
                sys.exit(f"first hour: FAILED: no end after {SECONDS} s; so far:\n{self.transcript()}")
            if not select.select([self._terminal], [], [], 0.05)[0]:
                asked = self._answer(asked)
                continue
            try:
                said = os.read(self._terminal, 65536)
            except OSError:  # The other end is closed.
                break
            if not said:
                break
            self._said += said
        os.waitpid(process, 0)

    def transcript(self):
        """All that was shown, line ends as a program writes them."""
        return self._said.decode(errors="replace").replace("\r\n", "\n")

    def _answer(self, asked):
        line = self._said[asked:].rsplit(b"\n", 1)[-1]
        for question, answer in self._answers.items():
            if question in line and line.rstrip().endswith(b":") and not self._echoes():
                os.write(self._terminal, answer + b"\n")
                return len(self._said)
        return asked

    def _echoes(self):
        """Whether what is typed is shown: a person sees the question after echo was turned off."""
        return termios.tcgetattr(self._terminal)[3] & termios.ECHO
