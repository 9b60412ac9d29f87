"""Answers each token on the standard input with the status and the claims that the guide's example gives."""
import json
import sys

import cardea_check

for line in sys.stdin:
    status, claims = cardea_check.check(json.loads(line)["token"])
    print(json.dumps({"status": status, "claims": claims}), flush=True)
