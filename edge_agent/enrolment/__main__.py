"""``python -m edge_agent.enrolment``: one attempt, in a process whose memory is given back at its end.

The order comes on standard input, the outcome goes to standard output, both JSON.
"""

import json
import sys
from dataclasses import asdict

from edge_agent.enrolment.attempt import attempt
from edge_agent.enrolment.port import Order


def main() -> int:
    """One attempt; the exit status says only whether this program worked."""
    json.dump(asdict(attempt(Order(**json.load(sys.stdin)))), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
