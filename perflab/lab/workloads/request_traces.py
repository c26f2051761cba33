"""When the requests of public traces came. The files are not ours to ship; an environment variable says where they lie.

The Azure LLM inference traces of 2023 (P. Patel and others, "Splitwise: Efficient Generative LLM Inference Using Phase
Splitting", ISCA 2024; CC-BY 4.0) are an hour of two production services: requests for code, which come in bursts (the
times between them have a coefficient of variation of 13), and conversations, which come almost independently (1.1).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from perflab.errors import LabError

if TYPE_CHECKING:
    from perflab.lab.workloads.arrivals import Offsets

ArrivalsName = Literal["flights", "independent", "azure code", "azure conversations"]
"""Of "flights", each event comes at its own time; of the others, the events of the flights come at other times: of a
Poisson process of one item a second, or of the requests of a trace."""

TRACES_VARIABLE = "PERFLAB_TRACES"

REQUESTS: Mapping[ArrivalsName, str] = {
    "azure code": "azure_llm_2023_code.csv",
    "azure conversations": "azure_llm_2023_conv.csv",
}
"""Traces, and their files."""


def missing_traces() -> str:
    """Why the request traces cannot be read, in a sentence; empty if they can."""
    folder = os.environ.get(TRACES_VARIABLE)
    if not folder:
        return (
            f"The environment variable {TRACES_VARIABLE} does not name a folder with the Azure LLM inference traces of "
            "2023 (AzureLLMInferenceTrace_code.csv and _conv.csv of Azure/AzurePublicDataset, saved as "
            f"{' and '.join(REQUESTS.values())})."
        )
    absent = [name for name in REQUESTS.values() if not (Path(folder) / name).is_file()]
    return f"The folder that {TRACES_VARIABLE} names has no {' and no '.join(absent)}." if absent else ""


def request_arrivals(name: ArrivalsName) -> Offsets:
    """Seconds from the first request of a trace to each of its requests, in their order.

    Raises:
        LabError: the trace is not there.
    """
    if reason := missing_traces():
        raise LabError(reason)
    from perflab.lab.workloads.trace_file import read_trace  # noqa: PLC0415  # DuckDB takes long, and plans import this

    return read_trace(Path(os.environ[TRACES_VARIABLE]) / REQUESTS[name], "TIMESTAMP").offsets_seconds
