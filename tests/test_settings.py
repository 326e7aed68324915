from __future__ import annotations

import logging
from pathlib import Path

import pytest

from scssl import InputError, KeyNotFoundError, _settings, settings


def values() -> dict[str, object]:
    return dict(vars(settings))


def test_override_restores_everything():
    before, level = values(), _settings.logger.level
    with settings.override(verbosity="error", figdir="elsewhere", n_jobs=3) as inside:
        assert inside is settings
        assert (settings.verbosity, settings.figdir, settings.n_jobs) == (0, Path("elsewhere"), 3)
        assert _settings.logger.level == logging.ERROR
    assert values() == before
    assert _settings.logger.level == level


def test_override_restores_after_an_error_and_after_a_bad_value():
    before = values()
    with pytest.raises(ZeroDivisionError), settings.override(n_jobs=5):
        raise ZeroDivisionError
    assert values() == before
    with pytest.raises(InputError), settings.override(n_jobs=5, verbosity=99):
        pass
    assert values() == before


def test_overrides_nest():
    with settings.override(n_jobs=2):
        with settings.override(n_jobs=3):
            assert settings.n_jobs == 3
        assert settings.n_jobs == 2
    assert settings.n_jobs == 1


@pytest.mark.parametrize(("given", "level"), [("error", 0), ("hint", 3), (4, 4), (0, 0)])
def test_verbosity_by_name_and_number(given, level):
    with settings.override(verbosity=given):
        assert settings.verbosity == level


@pytest.mark.parametrize("given", ["loud", 5, -1])
def test_unknown_verbosity_is_refused(given):
    with pytest.raises(InputError, match="verbosity=") as caught:
        settings.verbosity = given
    assert caught.value.parameter == "verbosity"


def test_unknown_setting_is_refused_with_the_list():
    with pytest.raises(KeyNotFoundError, match=r"settings has no 'colour'. It has: verbosity, progress"):
        settings.colour = "red"


def test_messages_follow_the_verbosity(capsys):
    with settings.override(verbosity="warning"):
        _settings.info("quiet")
    with settings.override(verbosity="info"):
        _settings.wrote(".obsm['X_a']", ".uns['b']")
        _settings.hint("a hint")
    with settings.override(verbosity="hint"):
        _settings.hint("another hint")
    assert capsys.readouterr().err == "    added .obsm['X_a'], .uns['b']\nanother hint\n"


def test_nobody_elses_logger_is_touched():
    _settings.info("attach")
    assert not _settings.logger.propagate
    ours = [handler for handler in _settings.logger.handlers if isinstance(handler, _settings._Handler)]
    assert len(ours) == 1
    assert not any(isinstance(handler, _settings._Handler) for handler in logging.getLogger().handlers)


def test_progress_passes_the_items_on():
    assert list(_settings.progress(range(3), description="counting", show=False)) == [0, 1, 2]
