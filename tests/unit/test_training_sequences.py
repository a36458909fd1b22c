"""Training of recurrent classifiers: batches, optimiser, evaluation, resumption, learning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from firstorder import streams
from firstorder.data.text import documents as texts
from firstorder.data.text import synthetic
from firstorder.data.text.documents import PADDING, Documents
from firstorder.errors import ConfigError
from firstorder.models import recurrent
from firstorder.training import bag_of_words, sequences, trajectories
from firstorder.training.adam import Adam
from firstorder.training.checkpoint import Checkpoint
from firstorder.training.padded import POOL, Sequences, by_length, shuffled
from firstorder.training.saver import Saver
from firstorder.training.sequence_recipe import SequenceRecipe
from firstorder.training.sequences import SequenceResult

pytestmark = pytest.mark.usefixtures("one_thread")

VOCABULARY = len(synthetic.vocabulary())
RECIPE = SequenceRecipe(
    embedding=8,
    units=12,
    epochs=3,
    batch=16,
    lr=5e-3,
    word_dropout=0.2,
    decay_steps=10,
    gate_bias=1.0,
)
STEPS = 5  # an epoch


def sample(count: int, name: str) -> Documents:
    return synthetic.sample(count, streams.numpy_stream(7, name))


def ragged(count: int = 30) -> Documents:
    """Documents of 1 to 40 words."""
    generator = np.random.default_rng(2)
    sizes = generator.integers(1, 41, count)
    lists = [generator.integers(1, VOCABULARY, size).tolist() for size in sizes]
    return texts.documents(lists, generator.integers(0, 2, count).tolist())


def test_a_batch_holds_every_token_at_its_place_and_padding_elsewhere() -> None:
    documents = ragged()
    index = torch.tensor([4, 29, 0])
    tokens, lengths = Sequences(documents, torch.device("cpu")).batch(index)
    assert tokens.shape == (int(lengths.max()), 3)
    for column, d in enumerate(index.tolist()):
        own = documents.tokens[documents.offsets[d] : documents.offsets[d + 1]]
        assert tokens[: len(own), column].tolist() == own.tolist()
        assert (tokens[len(own) :, column] == PADDING).all()


def test_an_epochs_batches_hold_every_document_once_and_little_padding() -> None:
    lengths = torch.from_numpy(sample(6400, "order").lengths)
    generator = torch.Generator().manual_seed(0)
    batches = shuffled(lengths, 64, generator)
    assert sorted(torch.cat(batches).tolist()) == list(range(6400))
    padded = sum(int(lengths[batch].max()) * len(batch) for batch in batches)
    assert padded < 1.03 * int(lengths.sum())
    again = shuffled(lengths, 64, generator)
    assert not torch.equal(torch.cat(again), torch.cat(batches))
    means = torch.tensor([float(lengths[batch].double().mean()) for batch in batches])
    assert torch.corrcoef(torch.stack([means, torch.arange(100.0)]))[0, 1].abs() < 0.5
    assert len(shuffled(lengths[: POOL + 3], 1, generator)) == POOL + 3


def test_batches_of_an_evaluation_keep_to_their_budget() -> None:
    lengths = torch.tensor([3, 50, 7, 20, 20])
    batches = [batch.tolist() for batch in by_length(lengths, 45)]
    assert batches == [[1], [3, 4], [2, 0]]


@pytest.mark.parametrize("name", sorted(recurrent.CELLS))
def test_a_logit_does_not_depend_on_the_batch_it_is_computed_in(name: str) -> None:
    documents = ragged()
    drawn = recurrent.initialise(name, VOCABULARY, 8, 12, streams.torch_stream(0, "init"))
    parameters = {key: value.double() for key, value in drawn.items()}
    together = trajectories.evaluate(name, parameters, documents)
    states = trajectories.visited(name, parameters, documents)
    ends = torch.from_numpy(documents.offsets[1:]) - 1
    assert torch.allclose(recurrent.logits(parameters, states[ends]), together, atol=1e-12)
    for d in range(0, len(documents), 7):
        alone = documents.take(np.array([d]))
        found = trajectories.evaluate(name, parameters, alone)
        assert torch.allclose(found, together[d : d + 1], atol=1e-12)
        tokens = torch.from_numpy(alone.tokens)[:, None]
        own = states[documents.offsets[d] : documents.offsets[d + 1]]
        assert torch.allclose(recurrent.states(name, parameters, tokens)[:, 0], own, atol=1e-12)


def test_each_visited_state_is_one_step_from_the_one_before() -> None:
    documents = ragged(8)
    parameters = recurrent.initialise("gru", VOCABULARY, 8, 12, streams.torch_stream(0, "init"))
    parameters["start"] += 0.3
    states = trajectories.visited("gru", parameters, documents)
    before = trajectories.before(states, parameters["start"], documents)
    inputs = parameters["embedding"][torch.from_numpy(documents.tokens)]
    after = recurrent.cell("gru").step(parameters, inputs, before)
    assert torch.allclose(after, states, atol=1e-6)


def test_adam_is_torchs() -> None:
    generator = torch.Generator().manual_seed(0)
    mine = [torch.randn(3, 4, generator=generator).double(), torch.randn(5).double()]
    theirs = [value.clone().requires_grad_() for value in mine]
    adam, peer = Adam(mine), torch.optim.Adam(theirs, lr=1.0)
    for step in range(8):
        gradients = [torch.randn(value.shape, generator=generator).double() for value in mine]
        lr = 0.1 / (step + 1)
        adam.step(gradients, lr)
        for value, gradient in zip(theirs, gradients, strict=True):
            value.grad = gradient.clone()
        peer.param_groups[0]["lr"] = lr
        peer.step()
        for one, two in zip(mine, theirs, strict=True):
            assert torch.allclose(one, two.detach(), rtol=1e-13, atol=1e-13)


def test_rates_follow_their_closed_forms() -> None:
    recipe = SequenceRecipe(lr=0.1, decay=0.2, decay_steps=1000)
    assert recipe.rate(0, 5) == 0.1
    assert recipe.rate(1500, 5) == pytest.approx(0.1 * 0.2**1.5)
    cosine = replace(recipe, schedule="cosine")
    assert [cosine.rate(t, 4) for t in (0, 2, 4)] == pytest.approx([0.1, 0.05, 0])
    assert replace(recipe, schedule="constant").rate(3, 4) == 0.1


def run(checkpoint: Checkpoint | None = None, recipe: SequenceRecipe = RECIPE) -> SequenceResult:
    return sequences.train(
        recipe,
        VOCABULARY,
        sample(80, "train"),
        sample(40, "validation"),
        3,
        test=sample(40, "test"),
        checkpoint=checkpoint,
    )


@pytest.fixture(scope="module")
def undisturbed() -> SequenceResult:
    torch.set_num_threads(1)
    return run()


def same(one: SequenceResult, two: SequenceResult) -> bool:
    values = ("status", "history", "best_epoch", "steps")
    return (
        all(getattr(one, value) == getattr(two, value) for value in values)
        and torch.equal(one.correct, two.correct)  # type: ignore[arg-type]
        and all(torch.equal(one.parameters[key], two.parameters[key]) for key in one.parameters)
    )


class InterruptedRunError(Exception):
    """Stands in for the end of the process."""


@pytest.mark.parametrize("kill", [1, 4, STEPS, STEPS + 1, 3 * STEPS])
@pytest.mark.parametrize("every", [1, 3])
def test_a_training_killed_at_any_step_resumes_to_the_same_bits(
    kill: int,
    every: int,
    tmp_path: Path,
    undisturbed: SequenceResult,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoint = Checkpoint(tmp_path / "c.safetensors", "spec")
    monkeypatch.setattr(Saver, "due", lambda self: self.training.position.steps % every == 0)
    step, made = sequences.SequenceTraining.step, []

    def counted(self: sequences.SequenceTraining, index: torch.Tensor, lr: float) -> None:
        made.append(1)
        if len(made) == kill:
            raise InterruptedRunError
        step(self, index, lr)

    monkeypatch.setattr(sequences.SequenceTraining, "step", counted)
    with pytest.raises(InterruptedRunError):
        run(checkpoint)
    made.extend([1] * kill)  # the second run is not interrupted
    begun = len(made)
    assert same(run(checkpoint), undisturbed)
    assert len(made) - begun == 3 * STEPS - (kill - 1) // every * every


def test_the_best_epoch_on_the_validation_split_is_kept(undisturbed: SequenceResult) -> None:
    rows = undisturbed.history
    ranks = [(row["validation_accuracy"], -row["validation_loss"]) for row in rows]  # type: ignore[operator]
    assert undisturbed.best_epoch == 1 + ranks.index(max(ranks))
    logits = trajectories.evaluate("gru", undisturbed.parameters, sample(40, "validation"))
    labels = torch.from_numpy(sample(40, "validation").labels)
    accuracy = ((logits > 0) == (labels > 0)).float().mean()
    assert float(accuracy) == rows[undisturbed.best_epoch - 1]["validation_accuracy"]
    test = sample(40, "test")
    predicted = trajectories.classify("gru", undisturbed.parameters, test)
    assert torch.equal(undisturbed.correct, predicted == torch.from_numpy(test.labels))  # type: ignore[arg-type]


def test_a_training_that_diverges_says_so() -> None:
    recipe = replace(RECIPE, lr=1e30, clip=None, schedule="constant", cell="vanilla")
    result = run(recipe=recipe)
    assert result.status == "diverged"
    assert len(result.history) < recipe.epochs
    # In its first epoch: it is as it was drawn, and what that classifies is no measurement.
    assert result.best_epoch is None and result.correct is None
    assert all(torch.equal(v, result.untrained[n]) for n, v in result.parameters.items())


def test_the_untrained_network_is_kept_as_a_control(undisturbed: SequenceResult) -> None:
    drawn = recurrent.initialise(
        "gru", VOCABULARY, 8, 12, streams.torch_stream(3, "init"), gate_bias=1.0
    )
    assert all(torch.equal(drawn[key], undisturbed.untrained[key]) for key in drawn)
    assert not torch.equal(drawn["U"], undisturbed.parameters["U"])


def test_a_gru_learns_the_synthetic_corpus() -> None:
    recipe = SequenceRecipe(
        embedding=16, units=24, epochs=1, batch=64, lr=1e-2, schedule="cosine", gate_bias=1.0
    )
    train, test = sample(64 * 300, "train"), sample(1000, "test")
    result = sequences.train(recipe, VOCABULARY, train, sample(500, "validation"), 0, test=test)
    assert result.correct is not None
    bag = (synthetic.bag_of_words(test) == test.labels).mean()
    assert float(result.correct.float().mean()) > bag + 0.02


@pytest.mark.parametrize(
    ("documents", "reason"),
    [
        (texts.documents([[3], [200]], [0, 1]), "token 200 is beyond the vocabulary of 119 words"),
        (texts.documents([[3], [4]], [0, 4]), "labels other than 0 and 1"),
        (texts.documents([], []), "no documents"),
    ],
)
def test_documents_that_cannot_be_trained_on_are_refused(documents: Documents, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        sequences.train(RECIPE, VOCABULARY, documents, sample(4, "validation"), 0)
    with pytest.raises(ConfigError, match="cell 'rnn' is unknown; allowed: vanilla"):
        sequences.train(replace(RECIPE, cell="rnn"), VOCABULARY, sample(4, "t"), sample(4, "v"), 0)


def test_a_bag_of_words_finds_the_valences_and_the_word_classes() -> None:
    train, test = sample(4000, "train"), sample(1000, "test")
    found = bag_of_words.fit(VOCABULARY, train, sample(500, "validation"), test)
    assert 0.82 < found.correct.mean() < 0.92
    valence = synthetic.valences()
    assert np.corrcoef(found.coefficients, valence)[0, 1] > 0.97
    classes = bag_of_words.word_classes(found.coefficients, train, size=20, min_count=5)
    assert (valence[classes.positive[:16]] > 0).all()
    assert (valence[classes.negative[:16]] < 0).all()
    assert (valence[classes.neutral] == 0).all()


@pytest.mark.parametrize("centre", [-3.0, 0.0, 3.0])
def test_word_classes_have_no_word_in_common_however_few_there_are(centre: float) -> None:
    generator = np.random.default_rng(0)
    tokens = generator.integers(2, 152, 6000)
    few = Documents(tokens, np.arange(0, 6001, 20), generator.integers(0, 2, 300))
    coefficients = centre + generator.normal(size=152)
    found = bag_of_words.word_classes(coefficients, few, size=100)
    classes = (found.positive, found.negative, found.neutral)
    assert len(np.unique(np.concatenate(classes))) == sum(map(len, classes))
    assert (coefficients[found.positive] > 0).all() and (coefficients[found.negative] < 0).all()
    assert all(len(each) <= 50 for each in classes) and len(found.neutral) == 50


def test_counts_are_those_of_each_document() -> None:
    found = bag_of_words.counts(texts.documents([[3, 3, 1], [2]], [1, 0]), 4).toarray()
    assert found.tolist() == [[0, 1, 0, 2], [0, 0, 1, 0]]
