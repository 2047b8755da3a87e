#!/usr/bin/env python3
"""The first few of the reloads of tests/soak/test_reloads.py, in the everyday suite.

    test_reloads_short.py GATEHOUSE
"""
import pathlib
import subprocess
import sys

SOAK = pathlib.Path(__file__).resolve().parent.parent / "soak" / "test_reloads.py"

sys.exit(subprocess.run([sys.executable, SOAK, sys.argv[1], "60", "100"], check=False).returncode)
