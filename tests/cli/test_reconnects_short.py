#!/usr/bin/env python3
"""The first few of the forced reconnects of tests/soak/test_reconnects.py, in the everyday suite.

    test_reconnects_short.py GATEHOUSE
"""
import pathlib
import subprocess
import sys

SOAK = pathlib.Path(__file__).resolve().parent.parent / "soak" / "test_reconnects.py"
COUNT = 52  # every way to end at least three times, and one silence

sys.exit(subprocess.run([sys.executable, SOAK, sys.argv[1], str(COUNT)], check=False).returncode)
