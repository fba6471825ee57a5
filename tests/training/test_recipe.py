"""Recipes are data: by name, from a file, and nothing misspelt goes through."""

from __future__ import annotations

import pytest

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.training.batch import Augmentation
from neurovlm.training.recipe import RECIPES, Stage, read_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_known_by_name_and_make_a_model_of_the_allowed_size(build, name):
    recipe = read_recipe(name)
    assert recipe.spec.name == name
    n_parameters = sum(p.numel() for p in build(spec=recipe.spec).parameters())
    assert n_parameters <= 1_500_000


def test_a_file_says_what_differs_from_the_defaults(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        """
        variants = 2
        [spec]
        name = "mine"
        [spec.encoder]
        dim = 32
        [scenes.mixture]
        natural = 1.0
        [[stages]]
        name = "dense"
        dense_share = 1.0
        [[stages]]
        part = "heads"
        quantise = true
        augmentation = { batch_size = 8 }
        """
    )
    recipe = read_recipe(path)
    assert (recipe.spec.name, recipe.spec.encoder.dim, recipe.variants) == ("mine", 32, 2)
    assert recipe.scenes.mixture.natural == 1.0
    dense, heads = recipe.stages
    assert dense == Stage(name="dense", dense_share=1.0)
    assert heads == Stage(part="heads", quantise=True, augmentation=Augmentation(batch_size=8))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stage = 1", r"unknown key 'stage'; known are spec, scenes, stages, variants"),
        ("[scenes]\nsubject = 3", r"scenes: unknown key 'subject'"),
        ("[[stages]]\npart = 'tail'", r"part"),
        ("[[stages]]\nstep = 4", r"stages\.0: unknown key 'step'"),
        ("[[stages]]\naugmentation = {size = 4}", r"stages\.0\.augmentation: unknown key 'size'"),
        ("stages = 3", r"stages must be tables"),
        ("[[stages]]\nsteps = 0", r"steps and check_every must be at least 1, got 0"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_recipe(path)


def test_a_damaged_or_missing_file_is_named(tmp_path):
    with pytest.raises(InputFileError, match=r"no\.toml: cannot read the recipe"):
        read_recipe(tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_text("a = [")
    with pytest.raises(InputFileError, match=r"bad\.toml: cannot read the recipe"):
        read_recipe(tmp_path / "bad.toml")


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match="no recipe 'tiny'; known are sttf-tiny, gated, "):
        read_recipe("tiny")
