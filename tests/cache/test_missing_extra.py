from __future__ import annotations

from tests.conftest import RunPython


def test_without_cachetools_one_sentence_says_what_to_install(run_python: RunPython) -> None:
    run_python(
        """
        import sys
        sys.modules["cachetools"] = None
        import perflab
        try:
            perflab.RowCache
        except perflab.PerflabError as error:
            assert str(error) == "the cache needs the package cachetools: pip install 'perflab[cache]'", error
        else:
            raise AssertionError
        perflab.Database, perflab.Scheduler, perflab.CacheMetrics
        """
    )
