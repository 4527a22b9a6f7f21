"""What the rules do not understand goes to the model, and its reply leads where words would."""

from __future__ import annotations

import pytest

from tests.support.playbook import (
    Playbook,
    answered,
    asks_model,
    caller,
    checks_technician,
    drops_model,
    fails,
    forgets,
    goes_on,
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
    technician,
    turn_over,
    writes,
)
from voicebot import script_file
from voicebot.dialogue import events as ev
from voicebot.dialogue.slots import Limits
from voicebot.turns.events import Paused, SpeechStarted

QUESTION = '{"intent": "question"}\n'


@pytest.fixture
def play() -> Playbook:
    """A call in which the caller has been greeted, with a model."""
    playbook = Playbook(script_file.load(), ask_model=True)
    playbook >> answered()
    playbook << says("Bonjour")
    return playbook


def identify(play: Playbook) -> None:
    """Up to the question for the kind of problem."""
    play >> caller("Bonjour, je m'appelle Pierre Dupont, mon numéro c'est le 06 12 34 56 78.")
    play << says("C'est bien ça")
    play >> caller("Oui, c'est ça.")
    play << moves("diagnostic") << says("internet ou le mobile")


class TestRulesFirst:
    def test_what_the_rules_understand_needs_no_model(self, play: Playbook) -> None:
        with play:
            play >> caller("J'ai un problème avec ma box.")
            play << says("Puis-je avoir votre nom")

    def test_without_a_model_it_is_as_it_was(self) -> None:
        with Playbook(script_file.load()) as play:
            play >> answered()
            play << says("Bonjour")
            identify(play)
            play >> caller("Combien de temps ça prend ?")
            play << notes("no_match") << says("Pardon")

    @pytest.mark.parametrize("text", ["Un technicien !", "Vous pouvez répéter ?", "Au revoir."])
    def test_nor_does_what_is_said_to_any_question(self, play: Playbook, text: str) -> None:
        play >> caller(text)
        assert play.request is None


class TestUnderstood:
    def test_a_problem_in_other_words(self, play: Playbook) -> None:
        with play:
            play >> caller("La télé est toute noire depuis ce matin.")
            play << asks_model("La télé est toute noire")
            play >> writes('{"intent": "ans', 'wer", "problem": "internet"}')
            play << notes("model", outcome="understood")
            play << notes("understood", rule="model: answer") << moves("identification")
            play << says("Très bien, j'ai compris", "votre nom")

    def test_it_is_acted_on_as_soon_as_the_head_is_there(self, play: Playbook) -> None:
        with play:
            play >> caller("La télé est toute noire.")
            play << asks_model()
            play >> writes('{"intent": "answer", "problem": "internet"}', end=False)
            play << says("votre nom")
            play >> writes("\nD'accord, je comprends.")

    def test_a_yes_and_a_no_in_other_words(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> caller("Plutôt celui qui est dans ma poche, là.")
            play << asks_model()
            play >> writes('{"intent": "answer", "problem": "mobile"}')
            play << moves("solution") << says("éteindre votre téléphone")
            play >> heard() >> seconds(3)
            play << moves("verification") << says("Est-ce que ça marche")
            play >> caller("Le problème est strictement identique.")
            play << asks_model()
            play >> writes('{"intent": "no"}')
            play << moves("transfer") << checks_technician()
            play >> technician(True)
            play << says("Je vous transfère")

    def test_a_person_is_asked_for_in_other_words(self, play: Playbook) -> None:
        with play:
            play >> caller("J'aimerais causer à un être vivant.")
            play << asks_model()
            play >> writes('{"intent": "technician"}')
            play << notes("fallback", reason="technician_asked")
            play << moves("transfer") << checks_technician()

    def test_a_number_that_was_corrected(self, play: Playbook) -> None:
        with play:
            play >> caller("J'ai un souci de box.")
            play << says("votre nom")
            play >> caller("Pierre Dupont")
            play << says("numéro")
            # The rules find pieces of numbers only.
            play >> caller("Euh, le 06 12 heu non, pardon, 06 13 puis après 34 56 enfin 34 56 78.")
            play << asks_model()
            play >> writes('{"intent": "answer", "number": "0613345678"}')
            play << says("06 13 34 56 78")


class TestNotBelieved:
    @pytest.mark.parametrize(
        ("reply", "reason"),
        [
            ('{"intent": "answer", "number": "0699999999"}', "number not said"),
            ('{"intent": "answer", "number": "12"}', "no number"),
            ('{"intent": "answer", "name": "Jean Martin"}', "name not said"),
            ('{"intent": "answer", "problem": "chauffage"}', "unknown problem"),
            ('{"intent": "sing"}', "unknown intent"),
            ('{"intent": "answer", "name": 7}', "wrong slot"),
            ("Je suis désolée, je ne peux pas répondre.", "no head"),
            ("", "empty"),
            ('{"intent": "question"}', "nothing said"),
            (QUESTION + "Nous vous remboursons.", "forbidden"),
            (QUESTION + "Appelez le 39 00 12 00 1234.", "forbidden"),
            (QUESTION + "mot " * 100, "too long"),
        ],
    )
    def test_a_reply_that_does_not_fit_is_a_no_match(
        self, play: Playbook, reply: str, reason: str
    ) -> None:
        with play:
            identify(play)
            play >> caller("Il y a un truc bizarre avec le 42.")
            play << asks_model()
            play >> writes(*reply)
            play << notes("model", outcome="misfit", reason=reason) << notes("no_match")
            play << says("Pardon", "internet ou le mobile")

    def test_neither_is_an_unclear_one_worth_more(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> caller("Bof.")
            play << asks_model()
            play >> writes('{"intent": "unclear"}')
            play << notes("model", outcome="unclear") << notes("no_match") << says("Pardon")

    def test_the_reason_for_the_call_is_taken_as_the_rules_would(self, play: Playbook) -> None:
        with play:
            play >> caller("Bonjour.")
            play << asks_model("Bonjour")
            play >> writes('{"intent": "unclear"}')
            play << moves("identification") << says("Puis-je avoir votre nom")

    def test_three_times_nothing_and_a_person_takes_over(self, play: Playbook) -> None:
        with play:
            identify(play)
            for answer in (says("Pardon"), says("Dites internet ou mobile")):
                play >> caller("Bof.")
                play << asks_model()
                play >> writes("")
                play << answer
            play >> caller("Bof.")
            play << asks_model()
            play >> writes("")
            play << moves("transfer") << checks_technician()


class TestFreeAnswer:
    def test_the_model_answers_and_the_question_is_put_again(self, play: Playbook) -> None:
        with play:
            play >> caller("J'ai un souci de box.")
            play << says("votre nom")
            play >> caller("Combien de temps ça prend ?")
            play << asks_model("Combien de temps")
            play >> writes(QUESTION, "Cela prend deux ", "minutes. Ne", end=False)
            play << says("Cela prend deux minutes.")
            play >> writes(" raccrochez pas.")
            play << says("Ne raccrochez pas.") << says("Puis-je avoir votre nom")
            play >> caller("Pierre Dupont")
            play << says("numéro")
        assert play.machine.tries == 0

    @pytest.mark.parametrize("text", ["C'est pour quoi faire ?", "Pourquoi voulez-vous mon nom ?"])
    def test_a_question_is_no_name(self, play: Playbook, text: str) -> None:
        with play:
            play >> caller("J'ai un souci de box.")
            play << says("votre nom")
            play >> caller(text)
            play << asks_model()
            play >> writes(QUESTION, "Pour pouvoir vous rappeler.")
            play << says("Pour pouvoir vous rappeler.") << says("votre nom")
            assert play.machine.slots.name is None

    def test_nobody_waits_for_a_number_after_a_question(self, play: Playbook) -> None:
        with play:
            play >> caller("J'ai un souci de box.")
            play << says("votre nom")
            machine = play.machine
            assert machine.completeness("Pourquoi voulez-vous mon nom ?", None).value == "open"
            assert machine.completeness("Pierre Dupont", None).value == "incomplete"
            assert machine.completeness("Pourquoi, 06 12", None).value == "incomplete"

    def test_repeating_it_repeats_all_of_it(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> caller("Combien de temps ça prend ?")
            play << asks_model()
            play >> writes(QUESTION, "Deux minutes.")
            play << says("Deux minutes.") << says("internet ou le mobile")
            play >> caller("Vous pouvez répéter ?")
            play << says("Deux minutes.", "internet ou le mobile")

    def test_what_it_says_beyond_two_sentences_is_not_said(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> caller("Pourquoi ?")
            play << asks_model()
            play >> writes(QUESTION, "Un. Deux. Trois. Quatre.", end=False)
            play << says("Un.") << says("Deux.") << says("internet ou le mobile") << drops_model()

    def test_a_forbidden_sentence_ends_the_answer(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> caller("Pourquoi ?")
            play << asks_model()
            play >> writes(QUESTION, "C'est une panne. On vous rembourse tout. Voilà.")
            play << says("C'est une panne.") << says("internet ou le mobile")

    def test_a_question_over_the_solution_does_not_cost_the_rest_of_it(
        self, play: Playbook
    ) -> None:
        with play:
            identify(play)
            play >> caller("internet")
            play << moves("solution") << says("débrancher votre box")
            play >> interrupts("Combien de temps ?", unheard=1)
            play << stops() << asks_model("Combien de temps")
            play >> writes(QUESTION, "Trente secondes.")
            play << says("Trente secondes.") << says("débrancher votre box")
            play >> heard() >> seconds(3)
            play << moves("verification") << says("Est-ce que ça marche")

    def test_interrupted_it_falls_silent_and_nothing_goes_on(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> caller("Combien de temps ça prend ?")
            play << asks_model()
            play >> writes(QUESTION, "Deux minutes. Ne", end=False)
            play << says("Deux minutes.")
            play >> interrupts("Internet !", unheard=0)
            play << stops() << drops_model() << moves("solution") << says("débrancher")
            play >> writes(" raccrochez pas.")

    def test_an_mm_hm_over_it_leads_back_to_the_question(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> caller("Combien de temps ça prend ?")
            play << asks_model()
            play >> writes(QUESTION, "Deux minutes. Ne", end=False)
            play << says("Deux minutes.")
            play >> interrupts("", unheard=0)
            play << says("internet ou le mobile")

    def test_an_answer_that_breaks_off_is_followed_by_the_question(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> caller("Combien de temps ça prend ?")
            play << asks_model()
            play >> writes(QUESTION, "Deux minutes. Ne", end=False)
            play << says("Deux minutes.")
            play >> model_fails()
            play << says("internet ou le mobile")


class TestWhatItIsTold:
    def test_who_it_is_what_was_heard_and_what_was_asked(self, play: Playbook) -> None:
        play >> interrupts("La télé est noire.", unheard=3)
        assert play.request is not None
        system, now, said = play.request.messages
        assert system[0] == "system"
        assert "internet, mobile" in system[1]
        assert "- technician" in system[1] or "technician: il veut parler" in system[1]
        assert now == ("system", script_file.load().model.questions["reason"])  # type: ignore[union-attr]
        assert said == ("user", "La télé est noire."), "nothing was heard of the greeting"

    def test_the_first_message_never_changes(self, play: Playbook) -> None:
        play >> caller("La télé est noire.")
        assert play.request is not None
        first = play.request
        play << asks_model()
        play >> writes('{"intent": "unclear"}')
        play << says("votre nom")
        play >> caller("Combien de temps ça prend ?")
        assert play.request.messages[0] == first.messages[0]
        roles = [role for role, _ in play.request.messages]
        assert roles == ["system", "assistant", "user", "assistant", "system", "user"]

    def test_what_is_said_in_two_goes_is_told_as_one(self, play: Playbook) -> None:
        with play:
            identify(play)
            play >> caller("Combien de temps")
            play << asks_model()
            play >> goes_on()
            play << drops_model()
            play >> turn_over("ça prend alors ?")
            play << asks_model("Combien de temps ça prend alors ?")


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
        play._feed(ev.TurnEnded("Ma box ne marche plus.", None, 1.0, play.now - 2))
        play << says("votre nom")
        assert play.said.startswith("Un instant")

    def test_when_the_words_are_none_after_all_it_listens_again(self, play: Playbook) -> None:
        play >> heard()
        play._feed(SpeechStarted(play.now))
        play._feed(Paused(1, play.now))
        play >> seconds(2)
        play << says("Un instant")
        play._feed(ev.TurnEnded("", None, 0.2, play.now - 2))
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
