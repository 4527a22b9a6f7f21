"""The model is asked ahead of time, answers late, or not at all, and what is heard meanwhile."""

from __future__ import annotations

from tests.dialogue.model.conftest import QUESTION, identify
from tests.support.playbook import (
    Playbook,
    answered,
    asks_model,
    caller,
    drops_model,
    fails,
    forgets,
    goes_on,
    guesses,
    heard,
    interrupts,
    late_voice,
    model_fails,
    moves,
    notes,
    pauses,
    prepares,
    presses,
    says,
    seconds,
    stops,
    turn_over,
    writes,
)
from voicebot import script_file
from voicebot.dialogue import events as ev
from voicebot.dialogue.slots import Limits
from voicebot.turns.events import Paused, SpeechStarted


class TestSpeculation:
    def test_the_model_is_asked_at_the_first_pause_and_its_words_are_made(
        self, play: Playbook
    ) -> None:
        with play:
            identify(play)
            play >> pauses("Combien de temps ça prend ?")
            play << asks_model("Combien de temps", speculative=True)
            play >> writes(QUESTION, "Deux minutes. Ne", end=False)
            play << prepares("Deux minutes.")
            play >> turn_over("Combien de temps ça prend ?")
            play << notes("speculation", fate="used") << says("Deux minutes.")
            play >> writes(" raccrochez pas.")
            play << says("Ne raccrochez pas.") << says("internet ou le mobile")

    def test_nothing_is_decided_before_the_turn_is_over(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> pauses("Le truc de la télé")
            play << asks_model(speculative=True)
            play >> writes('{"intent": "answer", "problem": "internet"}')
            assert play.machine.state.value == "diagnostic"
            play >> turn_over("Le truc de la télé")
            play << moves("solution") << says("débrancher")

    def test_when_the_caller_goes_on_it_is_dropped(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> pauses("Combien de temps")
            play << asks_model(speculative=True)
            play >> writes(QUESTION, "Deux minutes. Ne", end=False)
            play << prepares("Deux minutes.")
            play >> goes_on()
            play << notes("speculation", fate="dropped") << forgets("Deux minutes") << drops_model()
            play >> turn_over("Combien de temps avec internet")
            play << moves("solution") << says("débrancher")

    def test_a_guess_of_the_recognisers_is_thought_about_before_the_pause(
        self, play: Playbook
    ) -> None:
        with play:
            identify(play)
            play >> guesses("combien de temps ça prend")
            play << asks_model("combien de temps", speculative=True)
            play >> pauses("Combien de temps ça prend ?")
            play >> writes(QUESTION, "Deux minutes.")
            play << prepares("Deux minutes.")
            play >> turn_over("Combien de temps ça prend ?")
            play << notes("speculation", fate="used") << says("Deux minutes.")
            play << says("internet ou le mobile")

    def test_a_guess_that_is_taken_back_is_dropped_at_once(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> guesses("Combien de temps")
            play << asks_model(speculative=True)
            play >> guesses("")
            play << notes("speculation", fate="dropped") << drops_model()

    def test_taking_a_guess_back_does_not_stop_what_the_caller_waits_for(
        self, play: Playbook
    ) -> None:
        with play:
            identify(play)
            play >> caller("Combien de temps ça prend ?")
            play << asks_model()
            play >> guesses("")
            play >> writes(QUESTION, "Deux minutes.")
            play << says("Deux minutes.") << says("internet ou le mobile")

    def test_a_guess_that_no_words_follow_is_dropped(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> guesses("Combien de temps")
            play << asks_model(speculative=True)
            play >> pauses("") >> turn_over("")
            play << notes("speculation", fate="dropped") << drops_model()
            play << notes("no_match") << says("Pardon")

    def test_a_click_costs_nothing(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> pauses("Combien de temps ?")
            play << asks_model(speculative=True)
            play >> pauses("Combien de temps ?")
            play >> writes(QUESTION, "Deux minutes.")
            play >> turn_over("Combien de temps ?")
            play << says("Deux minutes.") << says("internet ou le mobile")

    def test_it_is_not_asked_when_the_rules_know(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> pauses("internet") >> turn_over("internet")
            play << moves("solution") << says("débrancher")

    def test_it_has_a_limit_in_a_turn_and_in_a_call(self) -> None:
        limits = Limits(8, 15, 600, speculations_a_turn=2, speculations_a_call=3)
        with Playbook(script_file.load(), limits, ask_model=True) as play:
            play >> answered()
            play << says("Bonjour")
            identify(play)
            for text in ("Euh", "Euh bah"):
                play >> pauses(text)
                play << asks_model(speculative=True)
                play >> goes_on()
            play >> pauses("Euh bah quoi")
            play << notes("speculation", fate="capped")
            play >> turn_over("Euh bah quoi")
            play << asks_model()
            play >> writes("")
            play << says("Pardon")
            play >> pauses("Euh")
            play << asks_model(speculative=True)
            play >> goes_on() >> pauses("Euh alors")
            play << notes("speculation", fate="capped")

    def test_zero_switches_it_off(self) -> None:
        limits = Limits(8, 15, 600, speculations_a_turn=0)
        with Playbook(script_file.load(), limits, ask_model=True) as play:
            play >> answered()
            play << says("Bonjour")
            play >> pauses("La télé est noire.")
            assert play.notes[-1].kind != "speculation"
            play >> turn_over("La télé est noire.")
            play << asks_model()

    def test_one_that_failed_is_asked_again_in_earnest(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> pauses("Combien de temps ?")
            play << asks_model(speculative=True)
            play >> model_fails() >> turn_over("Combien de temps ?")
            play << asks_model()


class TestLate:
    def test_a_filler_bridges_a_slow_model_and_the_answer_follows_it(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> caller("Combien de temps ça prend ?")
            play << asks_model()
            play >> seconds(3)
            play << notes("filler", waiting_for="llm") << says("Un instant s'il vous plaît.")
            play >> writes(QUESTION, "Deux minutes.")
            play << says("Deux minutes.") << says("internet ou le mobile")
            assert play.said.startswith("Un instant")
            play >> caller("Vous pouvez répéter ?")
            play << says("Deux minutes.", "internet ou le mobile")
            assert "Un instant" not in play.said

    def test_it_is_never_played_once_the_answer_has_come(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> caller("Combien de temps ça prend ?")
            play << asks_model()
            play >> seconds(1.4) >> writes(QUESTION, "Deux minutes.")
            play << says("Deux minutes.") << says("internet ou le mobile")
            play >> seconds(5)

    def test_what_it_writes_once_the_last_words_are_said_is_not_said(self, play: Playbook) -> None:
        with play:
            identify(play)
            play.now = 100.0 + 599
            play >> caller("Combien de temps ça prend ?")
            play << asks_model()
            play >> seconds(60)
            play << moves("goodbye") << says("durée maximale") << drops_model()
            play >> writes(QUESTION, "Deux minutes.")

    def test_a_slow_voice_is_bridged_too(self, play: Playbook) -> None:
        with play:
            play >> late_voice() >> caller("Pierre Dupont, 06 12 34 56 78")
            play << says("Vous êtes Pierre Dupont")
            play >> seconds(2)
            play << notes("filler", waiting_for="tts") << says("Un instant", "Vous êtes Pierre")

    def test_and_a_slow_recogniser(self, play: Playbook) -> None:
        machine = play.machine
        play >> heard()
        machine.handle(SpeechStarted(play.now), play.now)
        machine.handle(Paused(1, play.now), play.now)
        assert machine.deadline() == play.now + 1.5
        play >> seconds(2)
        play << notes("filler", waiting_for="stt") << says("Un instant")
        play._feed(ev.WordsSoFar("Ma box ne marche plus."))
        play._feed(ev.CallerSaid("Ma box ne marche plus.", None, 1.0, play.now - 2))
        play << says("votre nom")
        assert play.said.startswith("Un instant")

    def test_when_the_words_are_none_after_all_it_listens_again(self, play: Playbook) -> None:
        play >> heard()
        play._feed(SpeechStarted(play.now))
        play._feed(Paused(1, play.now))
        play >> seconds(2)
        play << says("Un instant")
        play._feed(ev.CallerSaid("", None, 0.2, play.now - 2))
        play << says()
        play >> heard() >> seconds(8)
        play << says("Allô")

    def test_speaking_over_the_filler_asks_anew(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> caller("Combien de temps ça prend ?")
            play << asks_model()
            play >> seconds(3)
            play << says("Un instant")
            play >> interrupts("Laissez tomber, c'est internet.")
            play << stops() << drops_model() << moves("solution") << says("débrancher")

    def test_a_cough_while_it_thinks_does_not_lose_the_question(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> caller("Combien de temps ça prend ?")
            play << asks_model()
            play >> goes_on()
            play << drops_model()
            play >> turn_over("")
            play << asks_model("Combien de temps ça prend ?")


class TestFailing:
    def test_a_model_that_fails_is_a_no_match(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> caller("Combien de temps ça prend ?")
            play << asks_model()
            play >> model_fails()
            play << notes("model", outcome="failed") << notes("provider_failed", stage="llm")
            play << notes("no_match") << says("Pardon", "internet ou le mobile")

    def test_the_third_error_in_a_row_hands_the_caller_to_a_person(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> fails("stt")
            play << says("Pardon")
            play >> caller("Pourquoi ?")
            play << asks_model()
            play >> model_fails()
            play << says("Pardon")
            play >> caller("Pourquoi ?")
            play << asks_model()
            play >> model_fails()
            play << moves("error") << says("problème technique", "Je vous transfère")

    def test_what_the_rules_understand_in_between_ends_the_row(self, play: Playbook) -> None:
        with play:
            play >> caller("Ma box ne marche plus.")
            play << says("votre nom")
            for _ in range(2):
                play >> caller("Pourquoi ?")
                play << asks_model()
                play >> model_fails()
                play << says()
            play >> caller("Pierre Dupont")
            play << says("numéro")
            play >> caller("Pourquoi ?")
            play << asks_model()
            play >> model_fails()
            play << says("Pardon")

    def test_a_key_is_answered_whatever_the_model_does(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> caller("Combien de temps ça prend ?")
            play << asks_model()
            play >> presses("1")
            play << drops_model() << moves("solution") << says("débrancher")
            play >> writes(QUESTION, "Deux minutes.")
