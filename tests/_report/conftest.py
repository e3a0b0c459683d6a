from pathlib import Path

import pytest
from _learned import prepare


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a cohort and what the first commands have made of it."""
    return prepare(tmp_path_factory.mktemp("command_line"))
