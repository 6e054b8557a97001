"""What a trouble code says, in plain words: the same on the command line, in the rules and in the portal.

Start with :func:`describe`. Importing costs nothing; the texts are read when the first code of their group is asked
for, so that a dongle, which only passes codes on, never holds them.
"""

from telemetry.trouble_codes.meaning import CodeMeaning, describe
from telemetry.trouble_codes.structure import (
    J1939Code,
    J2012Code,
    code_from_bytes,
    code_to_bytes,
    parse_code,
)
from telemetry.trouble_codes.texts import JOBS, LANGUAGES, SEVERITIES, Job, Language, Severity

__all__ = [
    "JOBS",
    "LANGUAGES",
    "SEVERITIES",
    "CodeMeaning",
    "J1939Code",
    "J2012Code",
    "Job",
    "Language",
    "Severity",
    "code_from_bytes",
    "code_to_bytes",
    "describe",
    "parse_code",
]
