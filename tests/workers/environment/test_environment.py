"""What a model may see of the environment."""

from __future__ import annotations

from workers.environment import clean, is_prepared


def test_secrets_do_not_pass() -> None:
    kept = clean({"REDIS_URL": "redis://:x@h", "AZURE_CLIENT_SECRET": "s", "LOCKGATE_KEY": "k", "PATH": "/bin"}, 1)

    assert kept["PATH"] == "/bin"
    assert not {"REDIS_URL", "AZURE_CLIENT_SECRET", "LOCKGATE_KEY"} & kept.keys()


def test_a_secret_under_a_prefix_that_is_kept_does_not_pass() -> None:
    kept = clean({"R_API_TOKEN": "t", "CUDA_LICENSE_KEY": "k", "R_LIBS_USER": "/r"}, 1)

    assert kept.get("R_LIBS_USER") == "/r"
    assert not {"R_API_TOKEN", "CUDA_LICENSE_KEY"} & kept.keys()


def test_the_threads_of_the_group_win_over_the_shells() -> None:
    assert clean({"OMP_NUM_THREADS": "16"}, 2)["OMP_NUM_THREADS"] == "2"


def test_a_locale_without_utf8_is_replaced_and_one_with_it_is_kept() -> None:
    assert clean({"LANG": "C"}, 1)["LC_ALL"] == "C.UTF-8"
    assert "LC_ALL" not in clean({"LANG": "de_DE.UTF-8"}, 1)


def test_only_the_second_life_is_prepared() -> None:
    assert not is_prepared({"PATH": "/bin"})
    assert is_prepared(clean({}, 1))
