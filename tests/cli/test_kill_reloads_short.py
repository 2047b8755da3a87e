#!/usr/bin/env python3
"""The first few of the kills of tests/soak/test_kill_reloads.py, in the everyday suite.

    test_kill_reloads_short.py GATEHOUSE
"""
import pathlib
import subprocess
import sys

SOAK = pathlib.Path(__file__).resolve().parent.parent / "soak" / "test_kill_reloads.py"
COUNT = 8

sys.exit(subprocess.run([sys.executable, SOAK, sys.argv[1], str(COUNT)], check=False).returncode)
