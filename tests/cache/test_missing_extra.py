from __future__ import annotations

from tests.conftest import RunPython


def test_without_cachetools_one_sentence_says_what_to_install(run_python: RunPython) -> None:
    run_python(
        """
        import sys
        sys.modules["cachetools"] = None
        from sqlalchemy import Column, Integer, MetaData, Table
        from perflab import Database, PerflabError, RowCache, load
        table = Table("fares", MetaData(), Column("id", Integer, primary_key=True))
        try:
            RowCache(Database.open("sqlite://"), load(table))
        except PerflabError as error:
            assert str(error) == "a cache needs the package cachetools: pip install 'perflab[cache]'", error
        else:
            raise AssertionError
        """
    )
