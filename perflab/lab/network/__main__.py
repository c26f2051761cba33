"""The process behind `ProxyProcess`: it is spoken to in lines of JSON on its standard input and output."""

from __future__ import annotations

import signal
import sys

from perflab.lab.network.process import serve

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; the end of the input ends this
    serve(sys.stdin, sys.stdout)
