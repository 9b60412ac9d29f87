"""Follows a feed with the guide's replica, and judges claims that are taken as verified. Arguments: address, id, secret."""
import json
import sys

import cardea_replica

replica = cardea_replica.Replica(*sys.argv[1:])
replica.start()
for line in sys.stdin:
    question = json.loads(line)
    try:
        answer = {"revoked": replica.is_revoked(question["claims"], question["kid"])}
    except cardea_replica.StateUnknown:
        answer = {"unknown": repr(replica.error)}
    print(json.dumps(answer), flush=True)
