"""What the rules do not understand goes to the model, and its reply leads where words would."""

from __future__ import annotations

import pytest

from tests.dialogue.model.conftest import QUESTION, identify
from tests.support.playbook import (
    Playbook,
    answered,
    asks_model,
    caller,
    checks_technician,
    drops_model,
    goes_on,
    heard,
    interrupts,
    model_fails,
    moves,
    notes,
    says,
    seconds,
    stops,
    technician,
    turn_over,
    writes,
)
from voicebot import script_file


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
        assert play.machine.talk.tries == 0

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
