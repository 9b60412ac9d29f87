"""Answers each page on the standard input, base64 of the binary form, with what the guide's code reads in it."""
import base64
import json
import struct
import sys

import cardea_binary

for line in sys.stdin:
    try:
        answer = {"page": cardea_binary.decode(base64.b64decode(json.loads(line)["page"]))}
    except (ValueError, LookupError, struct.error) as error:
        answer = {"refused": repr(error)}
    print(json.dumps(answer), flush=True)
