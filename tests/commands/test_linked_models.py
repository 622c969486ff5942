"""A model behind links has the digest of its files all the way from the document to workers and lanes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.commands.groups import Group, GroupPlan, Sockets, plan_groups, wanted_groups
from gateway.commands.transition import served_by
from gateway.config import Config, Settings, compose, load, read_folder
from gateway.control.document import Document
from gateway.serving.lane import LaneConfig
from tests.support.control_folder import make_folder
from workers.affinity import Available


class Linked:
    """A folder that a link leads to, and in it a folder of a model that a link leads to."""

    def __init__(self, place: Path) -> None:
        self.place = place
        real = make_folder(place / "real")
        (real / "models" / "green").rename(real / "models" / "green-1")
        (real / "models" / "green").symlink_to("green-1")
        self.root = place / "current"
        self.root.symlink_to("real")

    def swap(self, link: Path, to: Path) -> None:
        new = self.place / "new"
        new.symlink_to(to)
        new.rename(link)

    def read(self) -> tuple[Document, Config]:
        document = read_folder(self.root)
        return document, compose(document, self.root, Settings())


def planned(present: list[Group], document: Document, config: Config) -> GroupPlan:
    available = Available(cores=tuple(range(8)), count=8)
    sockets = Sockets(Path("/run"), "l")
    return plan_groups(present, wanted_groups(config, document.models), available, 1, sockets.take)


@pytest.fixture
def linked(tmp_path: Path) -> Linked:
    return Linked(tmp_path)


def test_every_group_has_the_digest_of_the_document(linked: Linked) -> None:
    document, config = linked.read()
    found = {group.options.model: group.digest for group in planned([], document, config).start}

    assert found == document.models
    assert all(found.values())


def test_every_lane_has_the_digest_of_the_document(linked: Linked) -> None:
    document, config = linked.read()
    served = served_by(document, config, planned([], document, config))
    lane = LaneConfig.of(config, config.endpoints["price"], "green", served)

    assert lane.model == document.models[str(linked.root / "models" / "green")]


def test_a_digest_is_found_however_the_path_is_written(linked: Linked) -> None:
    document, config = linked.read()
    models = {path.replace("/models/", "/models//../models/"): digest for path, digest in document.models.items()}

    assert wanted_groups(config, models) == wanted_groups(config, document.models)


def test_a_swapped_link_of_a_model_is_another_group(linked: Linked) -> None:
    document, config = linked.read()
    before = list(planned([], document, config).start)
    models = linked.root / "models"
    (models / "green-2").mkdir()
    (models / "green-2" / "model.rds").write_bytes(b"GREEN")
    linked.swap(models / "green", Path("green-2"))
    plan = planned(before, *linked.read())

    assert [group.name for group in plan.start] == ["price/green"]
    assert [group.name for group in plan.stop] == ["price/green"]


def test_a_swapped_root_with_the_same_models_changes_no_group(linked: Linked) -> None:
    document, config = linked.read()
    before = list(planned([], document, config).start)
    make_folder(linked.place / "next")
    linked.swap(linked.root, Path("next"))
    plan = planned(before, *linked.read())

    assert (list(plan.keep), plan.start) == (before, ())


def test_a_folder_is_loaded_with_its_links(linked: Linked) -> None:
    config = load(linked.root)

    assert config.root == linked.root
    assert config.endpoints["price"].deployments["green"].model == linked.root / "models" / "green"
