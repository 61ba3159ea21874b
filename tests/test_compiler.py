import jax
import pytest

from gan_jax import compiler
from gan_jax.config import default_config


@pytest.mark.parametrize(
    ("network", "width", "is_default"), [("mlp", 128, False), ("mlp", 512, True), ("dcgan", 512, False)]
)
def test_only_large_perceptrons_keep_xlas_default_library(network, width, is_default):
    config = default_config("ring")
    config.network.name, config.network.width = network, width
    assert (compiler.options(config) is None) == (is_default or jax.default_backend() != "cpu")


def test_an_xla_that_does_not_know_the_option_is_told_nothing(monkeypatch):
    monkeypatch.setattr(compiler, "_LIBRARIES", "xla_no_such_option")
    assert compiler.eigen.__wrapped__() is None
