"""Evaluations beside checkpoints: which is the best, whatever else lies there."""

import json
import math
import zlib

import pytest

from gan_jax.runs import scores

A = {"features": "pixels", "samples": 64}
B = {"features": "classifier", "samples": 64}


@pytest.fixture
def best_of(tmp_path):
    """best_of(records): the best of the steps 1, 2, ... with these evaluations beside them, or None of them."""

    def best(*records):
        for step, record in enumerate(records, start=1):
            (tmp_path / str(step)).mkdir()
            if record is not None:
                scores.write(tmp_path / str(step), {"step": step} | record)
        return scores.best(tmp_path, range(1, len(records) + 1))

    return best


def frechet(distance, protocol=A, **more):
    return {"frechet_distance": distance, "protocol": protocol} | more


@pytest.mark.parametrize(
    ("records", "best"),
    [
        ([frechet(3.0), frechet(2.0), frechet(4.0)], 2),
        ([frechet(0.1), frechet(5.0, B), frechet(3.0, B), frechet(4.0, B)], 3),  # 0.1 is of another protocol
        ([frechet(0.1, B), frechet(5.0), frechet(0.2, B)], 1),  # the protocol of the last one counts, not of most
        ([frechet(2.0), frechet(3.0, A | {"neighbours": 5})], 1),  # says more, and nothing else
        ([frechet(2.0), frechet(3.0, A | {"truncation": 0.5})], 2),
        ([frechet(math.nan), frechet(9.0), frechet(math.inf), frechet(None)], 2),
        ([frechet(math.nan), frechet(None), frechet(-math.inf)], None),
        ([frechet(1.0), frechet(math.nan, B)], None),
        ([frechet(3.0), {"failed": "the folder is gone"}, None, frechet(4.0), {"failed": "again"}], 1),
        ([{"failed": "the folder is gone"}, None], None),
        ([frechet(1.0, fid=7.0), frechet(2.0, fid=6.0)], 2),  # of both numbers the one that counts
        ([frechet(1.0, fid=7.0), frechet(2.0, fid=6.0), frechet(3.0)], 1),  # the one that the last has
        ([frechet("0.1"), frechet(2.0), frechet([0.1])], 2),
        ([], None),
    ],
)
def test_the_best_is_the_smallest_finite_number_by_the_protocol_of_the_last(best_of, records, best):
    assert best_of(*records) == best


def test_what_is_written_is_read_with_numbers_that_json_has_not_as_none(tmp_path):
    scores.write(tmp_path, {"step": 3, "frechet_distance": math.nan, "class_shares": [0.25, 0.75]})
    expected = {"step": 3, "frechet_distance": None, "class_shares": [0.25, 0.75]}
    assert scores.read(tmp_path) == expected
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert content["record"] == expected
    assert content["checksum"] == zlib.crc32(json.dumps({"record": content["record"]}, sort_keys=True).encode())
    assert scores.read(tmp_path / "none") is None


DAMAGES = {
    "another number": lambda text: text.replace("2.5", "1.5"),
    "cut": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "nested": lambda text: "[" * 200_000,
    "a list": lambda text: "[]",
    "no record": lambda text: json.dumps({"checksum": zlib.crc32(b"{}")}),
    "a record that is a number": lambda text: json.dumps({"record": 1, "checksum": zlib.crc32(b'{"record": 1}')}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_evaluation_is_none_and_said_once(best_of, tmp_path, capsys, damage):
    assert best_of(frechet(3.0), frechet(2.5), frechet(4.0)) == 2
    file = tmp_path / "2" / "evaluation.json"
    file.write_text(DAMAGES[damage](file.read_text()))
    for _ in range(2):
        assert scores.best(tmp_path, [1, 2, 3]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"gan_jax: warning: the evaluation of {tmp_path / '2'} is damaged")
    assert line.endswith("it counts as not evaluated")


def test_the_score_of_a_record_is_its_first_number_that_counts():
    assert scores.score({"step": 1, "wasserstein_1": 2.0, "sliced_wasserstein": 1.0}) == 2.0
    assert scores.score({"step": 1, "kid": -0.1}) == -0.1
    for record in ({"step": 1, "failed": "why"}, {"step": 1, "recall": 0.5}, frechet(None), frechet(math.nan)):
        assert scores.score(record) == math.inf
