"""When the simulated customer speaks, dials, interrupts and hangs up."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.stage import Stage
from voicebot.audio.pcm import FRAME_BYTES, FRAME_SECONDS, SILENCE_FRAME
from voicebot.simulator.customer import KEY_SECONDS, Kind, numbers_in
from voicebot.simulator.lines import noise_frames

STEADY = "caller: {politeness: 0.6, reaction: 0.3}\n"
ASKS = STEADY + 'rules:\n  - {when: "votre nom", say: "Pierre Dupont."}\n'


def test_answers_once_the_bot_has_finished_and_after_a_moment_of_thought() -> None:
    stage = Stage(ASKS)
    start = stage.now
    stage.bot_says("Puis-je avoir votre nom ?", 2.0)
    stage.silence(3.0)

    (answer,) = stage.customer.answers
    assert answer.text == "Pierre Dupont."
    assert answer.question == "Puis-je avoir votre nom ?"
    assert answer.start == pytest.approx(start + 2.0 + 0.6 + 0.3, abs=0.03)
    assert answer.end == pytest.approx(answer.start + 0.5, abs=0.006)


def test_waits_while_the_bot_pauses_for_breath() -> None:
    stage = Stage(ASKS)
    stage.bot_says("Bonjour. Puis-je avoir votre nom ?", 1.0)
    stage.silence(0.5)
    stage.bot_sounds(1.0)
    assert stage.said == []
    stage.silence(1.5)
    assert stage.said == ["Pierre Dupont."]


def test_knows_that_a_sentence_goes_on_when_most_of_it_was_not_heard_yet() -> None:
    stage = Stage(STEADY + 'rules:\n  - {when: "bien ça", say: "Oui."}\n')
    stage.bot_says("Merci, je récapitule. Vous êtes Pierre Dupont. C'est bien ça ?", 1.0)
    stage.silence(1.5)  # the voice needs time for a name it has never said
    assert stage.said == []
    stage.bot_sounds(1.5)
    stage.silence(1.5)
    assert stage.said == ["Oui."]


def test_does_not_wait_for_ever_for_words_that_were_never_heard() -> None:
    stage = Stage(ASKS)
    stage.bot_says("Puis-je avoir votre nom ? " * 5, 1.0)
    stage.silence(4.0)
    assert stage.said == ["Pierre Dupont."]


def test_lets_the_bot_go_on_and_answers_what_it_said_last() -> None:
    stage = Stage(
        STEADY
        + 'rules:\n  - {when: "ça marche", say: "Oui."}\n  - {when: "box", say: "Je le fais."}\n'
    )
    stage.bot_says("Débranchez votre box.", 1.0)
    stage.silence(0.75)  # long enough to choose an answer, not to start it
    stage.bot_says("Est-ce que ça marche ?", 1.0)
    stage.silence(2.0)
    assert stage.said == ["Oui."]
    assert stage.customer.answers[0].question == "Débranchez votre box. Est-ce que ça marche ?"


def test_the_first_rule_that_matches_wins_and_can_be_used_up() -> None:
    stage = Stage(
        STEADY
        + 'rules:\n  - {when: "marche", times: 1, say: "Attendez."}\n'
        + '  - {when: "marche", say: "Oui."}\n'
    )
    for _ in range(3):
        stage.bot_says("Ça marche ?", 0.5)
        stage.silence(2.5)
    assert stage.said == ["Attendez.", "Oui.", "Oui."]


def test_typographic_apostrophes_and_spaces_do_not_matter() -> None:
    stage = Stage(STEADY + 'rules:\n  - {when: "c\'est ça \\\\?", say: "Oui."}\n')
    stage.bot_says("C’est ça\u00a0?", 0.5)
    stage.silence(2.0)
    assert stage.said == ["Oui."]


def test_remembers_what_it_had_no_answer_to() -> None:
    stage = Stage(ASKS)
    stage.bot_says("Quel temps fait-il ?", 1.0)
    stage.silence(2.0)
    assert stage.said == []
    assert stage.customer.unanswered == ["Quel temps fait-il ?"]


CHECKS = (
    STEADY
    + """rules:
  - when: "bien ça"
    expect_number: "06 12 34 56 78"
    if_right: "Oui, c'est ça."
    if_wrong: "Non."
  - {when: "bien ça", say: "Oui."}
"""
)


@pytest.mark.parametrize(
    ("bot", "answer"),
    [
        ("Le 06 12 34 56 78, c'est bien ça ?", "Oui, c'est ça."),
        ("Le 06.12.34.56.78, c'est bien ça ?", "Oui, c'est ça."),
        ("Le 06 12 34 56 18, c'est bien ça ?", "Non."),
        ("Le 06 12 34 56, c'est bien ça ?", "Non."),
        ("Pierre Dupont, c'est bien ça ?", "Oui."),
    ],
)
def test_checks_the_number_that_was_read_back(bot: str, answer: str) -> None:
    stage = Stage(CHECKS)
    stage.bot_says(bot, 3.0)
    stage.silence(2.0)
    assert stage.said == [answer]


@given(st.lists(st.text("0123456789", min_size=2, max_size=2), min_size=3, max_size=5))
def test_finds_a_number_however_it_is_grouped(pairs: list[str]) -> None:
    for separator in (" ", ".", "-", ""):
        assert numbers_in(f"Vous êtes au {separator.join(pairs)}. Bien ?") == ["".join(pairs)]


def test_dials_after_the_bot_has_finished_at_a_human_pace() -> None:
    stage = Stage(STEADY + 'rules:\n  - {when: "clavier", keys: "0612#"}\n')
    stage.bot_says("Tapez-le sur le clavier.", 1.0)
    stage.silence(3.0)

    assert "".join(digit for _, digit in stage.digits) == "0612#"
    times = [at for at, _ in stage.digits]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(KEY_SECONDS - 0.001 <= gap <= KEY_SECONDS + 2 * FRAME_SECONDS for gap in gaps)
    (answer,) = stage.customer.answers
    assert answer.kind is Kind.KEYS
    assert answer.end == pytest.approx(times[-1], abs=0.1)


def test_interrupts_at_the_chosen_moment_of_the_bots_speech() -> None:
    stage = Stage(
        STEADY + 'rules:\n  - {when: "bienvenue", interrupt_after: 1.5, say: "Internet."}\n'
    )
    stage.silence(1.0)
    stage.customer.bot_said("Bonjour, bienvenue au SAV.", stage.now)
    stage.silence(0.2)
    begins = stage.now
    stage.bot_sounds(3.0)
    (answer,) = stage.customer.answers
    assert answer.start == pytest.approx(begins + 1.5, abs=0.03)


def test_hangs_up_in_the_middle_of_a_sentence() -> None:
    stage = Stage(STEADY + 'rules:\n  - {when: "nom", interrupt_after: 0.8, hangup: true}\n')
    begins = stage.now
    stage.bot_says("Puis-je avoir votre nom ?", 3.0)
    assert stage.hung_up_at == pytest.approx(begins + 0.8, abs=0.03)


def test_says_goodbye_before_hanging_up() -> None:
    stage = Stage(STEADY + 'rules:\n  - {when: "rappelle", say: "Non merci.", hangup: true}\n')
    stage.bot_says("On vous rappelle ?", 1.0)
    stage.silence(3.0)
    assert stage.hung_up_at is not None
    assert stage.hung_up_at >= stage.customer.answers[0].end - 2 * FRAME_SECONDS


def test_stays_silent_as_long_as_told_whatever_the_bot_says() -> None:
    stage = Stage(STEADY + 'rules:\n  - {when: "marche", silent: 5, say: "Oui."}\n')
    stage.bot_says("Est-ce que ça marche ?", 1.0)
    stage.silence(3.0)
    stage.bot_says("Allô, vous êtes là ?", 1.0)
    assert stage.said == []
    stage.silence(3.0)
    assert stage.said == ["Oui."]


def test_several_lines_are_one_utterance_with_a_pause_inside() -> None:
    stage = Stage(STEADY + 'rules:\n  - {when: "nom", say: ["Pierre.", "Zéro six."], pause: 0.4}\n')
    stage.bot_says("Votre nom ?", 1.0)
    stage.silence(4.0)
    (answer,) = stage.customer.answers
    assert answer.end - answer.start == pytest.approx(0.5 + 0.4 + 0.5, abs=0.01)


def test_steps_follow_the_bots_silences_without_its_words() -> None:
    stage = Stage(
        STEADY + 'steps:\n  - say: "Un."\n  - {say: "Deux.", politeness: 2.5}\n  - hangup: true\n'
    )
    stage.silence(2.0)
    assert stage.said == []
    stage.bot_sounds(1.0)
    stage.silence(2.0)
    assert stage.said == ["Un."]
    stage.bot_sounds(1.0)
    stage.silence(2.0)  # not polite enough yet
    assert stage.said == ["Un."]
    stage.silence(2.0)
    assert stage.said == ["Un.", "Deux."]
    stage.bot_sounds(1.0)
    stage.silence(2.0)
    assert stage.hung_up_at is not None


def test_is_silent_to_the_sample_unless_there_is_noise_around() -> None:
    quiet = Stage("rules: []")
    quiet.silence(1.0)
    assert set(quiet.sent) == {SILENCE_FRAME}

    noisy = Stage("rules: []", noise=tuple(noise_frames(-50, seed=1)))
    noisy.silence(1.0)
    assert SILENCE_FRAME not in noisy.sent


@given(
    cues=st.lists(
        st.tuples(
            st.sampled_from(["", "votre nom", "clavier", "bienvenue", "marche", "autre chose"]),
            st.floats(0.0, 2.0),
            st.floats(0.0, 3.0),
        ),
        max_size=8,
    )
)
def test_whatever_the_bot_does_every_slot_gets_one_whole_frame(
    cues: list[tuple[str, float, float]],
) -> None:
    stage = Stage(
        """
rules:
  - {when: "bienvenue", interrupt_after: 0.5, say: "Internet."}
  - {when: "votre nom", say: "Pierre Dupont."}
  - {when: "clavier", keys: "12#"}
  - {when: "marche", silent: 2, say: "Oui."}
"""
    )
    for text, speech, pause in cues:
        if text:
            stage.customer.bot_said(text, stage.now)
        stage.bot_sounds(speech)
        stage.silence(pause)
    assert all(len(frame) == FRAME_BYTES for frame in stage.sent)
    for earlier, later in itertools.pairwise(stage.customer.answers):
        assert later.start >= earlier.end - FRAME_SECONDS
