"""What needs packages that are no dependency: embeddings of a local model, MAUVE."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from dft_plugin.evaluation.features import embeddings, hashed_ngrams
from dft_plugin.evaluation.mauve import mauve_of
from dft_plugin.evaluation.measuring import Options, measure, prepare
from dft_plugin.evaluation.texts import Text, TextsError
from tests import tiny
from tests.unit.evaluation.samples import made_up


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama, which sentence-transformers takes as an encoder."""
    pytest.importorskip("sentence_transformers")
    made = tmp_path_factory.mktemp("encoder")
    tiny.model().save_pretrained(made)
    tiny.tokenizer().save_pretrained(made)
    return made


def test_two_sample_tests_on_a_named_embedding_model(encoder: Path) -> None:
    own, human = [Text(text.text.upper()) for text in made_up(40, 1)], made_up(60, 2)
    options = Options(resamples=20, embedding=str(encoder))
    found = measure(prepare(own, human, options), options)
    assert str(encoder) in found["mmd"].description
    assert str(encoder) in found["auc"].basis
    assert found["auc"].value is not None
    assert found["auc"].value > 0.8
    vectors = embeddings([text.text for text in own], str(encoder))
    assert vectors.shape == (40, 32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(40), abs=1e-3)


def test_an_embedding_model_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    with pytest.raises(TextsError, match="cannot be loaded"):
        embeddings(["a"], str(tmp_path / "nothing"))


def test_mauve_is_the_packages_and_tells_samples_apart() -> None:
    package = pytest.importorskip("mauve")
    own, human = made_up(60, 1, favourite="delve"), made_up(80, 2)
    options = Options(resamples=10, mauve=True)
    pool = prepare(own, human, options)
    found = measure(pool, options)["mauve"]
    assert found.value is not None
    assert found.floor is not None
    assert 0 <= found.floor < found.value <= 1
    vectors = hashed_ngrams(pool, np.arange(len(pool)))
    expected = package.compute_mauve(p_features=vectors[:60], q_features=vectors[60:], seed=7, verbose=False).mauve
    assert mauve_of(vectors[:60], vectors[60:], seed=7) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("sentence_transformers", lambda: embeddings(["a"], "any")),
        ("mauve", lambda: mauve_of(np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32), 0)),
    ],
)
def test_a_missing_package_is_named_with_the_mend(monkeypatch: pytest.MonkeyPatch, package: str, call: object) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(TextsError, match="pip install"):
        call()  # type: ignore[operator]
