"""Whatever is written into the files is what is read from them, however often, and comments stay."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.control_folder import make_folder
from tests.support.folder_sources import open_folder

DEPLOYMENT = st.fixed_dictionaries(
    {"model": st.sampled_from(["models/blue.onnx", "models/green"])},
    optional={
        "workers": st.integers(1, 4),
        "latency_goal_ms": st.floats(0.5, 50.0),
        "provider_options": st.dictionaries(
            st.text(max_size=5), st.one_of(st.text(max_size=8), st.booleans(), st.none())
        ),
    },
)
NAMES = st.sampled_from(["price", "tumor", "new", "on", "a-b"])
COMMENTS = ["# what a diamond costs", "# since Monday"]


@st.composite
def states(draw: st.DrawFn) -> dict[str, Any]:
    """Endpoints, with ``price`` among them."""
    names = draw(st.sets(NAMES, max_size=3)) | {"price"}
    endpoints = {}
    for name in names:
        deployments = draw(st.dictionaries(st.sampled_from(["blue", "green", "red"]), DEPLOYMENT, min_size=1))
        blue = draw(st.integers(0, 100)) if len(deployments) > 1 else 100
        one, *others = deployments
        traffic = {one: blue} | ({others[0]: 100 - blue} if others else {})
        endpoints[name] = {"name": name, "traffic": traffic, "deployments": deployments}
        endpoints[name] |= {"description": draw(st.text(max_size=12))} if draw(st.booleans()) else {}
    return endpoints


async def write_all(root: Path, wanted: list[dict[str, Any]]) -> None:
    source = open_folder(root, root / ".lockgate")
    try:
        document = await source.read()
        for endpoints in wanted:
            for endpoint in endpoints.values():
                for deployment in endpoint["deployments"].values():
                    deployment["model"] = str(root / deployment["model"])
            wish = msgspec.structs.replace(document, endpoints=endpoints)
            done = await source.write(wish, document.version)
            document = await source.read()

            assert document == done
            assert document.endpoints == endpoints
    finally:
        await source.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(states(), min_size=1, max_size=3))
def test_what_was_written_is_read_and_comments_stay(wanted: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = make_folder(Path(folder) / "served")
        asyncio.run(write_all(root, wanted))
        text = (root / "endpoints" / "price.yaml").read_text()

        assert [comment for comment in COMMENTS if comment in text] == COMMENTS
        assert "models" not in text or "../models/" in text
