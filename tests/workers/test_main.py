"""The command line of a group process."""

from __future__ import annotations

import pytest

from workers.__main__ import main


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ('{"model": "m", "workers": [], "max_row": 3}', "unknown field `max_row`"),
        ('{"workers": []}', "missing required field `model`"),
        ("{", "--options"),
    ],
)
def test_options_that_cannot_be_read_are_named_and_nothing_starts(
    options: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--options", options])

    assert left.value.code == 2
    assert told in capsys.readouterr().err
