"""The deployment that the tests look at: the files of this repository."""

import pytest

from deployment import Deployment


@pytest.fixture(scope="session")
def deployment():
    return Deployment()
