"""narrow.py NAME,... CMD...: runs CMD with these variables of the environment, and no other."""

import os
import sys

names = sys.argv[1].split(",")
os.execvpe(sys.argv[2], sys.argv[2:], {name: value for name, value in os.environ.items() if name in names})
