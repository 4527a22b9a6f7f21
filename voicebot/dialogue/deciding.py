"""Which of the script's rules applies to what a caller said: decided here, carried out elsewhere.

Pure: nothing changes by asking, so it can also be asked of words after which the caller may go on.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from voicebot.dialogue.commands import Answer
from voicebot.dialogue.flow import ANSWERS
from voicebot.dialogue.questions import ASKING, Question
from voicebot.dialogue.script import Intent
from voicebot.dialogue.states import State

if TYPE_CHECKING:
    from voicebot.dialogue.conversation import Conversation
    from voicebot.dialogue.understanding import Meaning


TAKE_NAMES = (Question.IDENTITY, Question.NAME)
"""Questions to which any few words may be an answer."""


class Rule(Enum):
    """The value is what the journal shows."""

    NO_RECORDING = "no recording"
    TECHNICIAN = "technician"
    PRESENT = "present"
    BACKCHANNEL = "backchannel"
    REPEAT = "repeat"
    ANSWER = "answer"
    GOODBYE = "goodbye"


def rule_for(talk: Conversation, meaning: Meaning) -> Rule | None:
    """The first rule that applies to *meaning*; None: it is not understood."""
    if Intent.NO_RECORDING in meaning.intents:
        return Rule.NO_RECORDING
    if Intent.TECHNICIAN in meaning.intents and talk.state is not State.TRANSFER:
        return Rule.TECHNICIAN
    if talk.asked_presence and meaning.only_present:
        return Rule.PRESENT  # "Oui, je suis là" answers the "allô", not the question before it
    if talk.floor.may_resume and adds_nothing(talk, meaning):
        return Rule.BACKCHANNEL
    if meaning.wants_repeat:
        return Rule.REPEAT
    if ANSWERS[talk.question].fits(talk, meaning):
        return Rule.ANSWER
    if Intent.GOODBYE in meaning.intents:
        return Rule.GOODBYE
    return None


def adds_nothing(talk: Conversation, meaning: Meaning) -> bool:
    """Whether the bot may go on where the caller interrupted it."""
    return only_backchannel(talk, meaning) or rest_of_answer(talk, meaning)


def only_backchannel(talk: Conversation, meaning: Meaning) -> bool:
    """ "Oui, oui" over a question that was not put yet answers nothing.

    Nor does "c'est ça" over it, or over a question that takes no yes: it is the rest of the answer
    before ("oui... c'est ça"), to which the bot has replied already.
    """
    cut = talk.floor.cut
    question_heard = cut is not None and len(cut) <= 1
    takes_yes = ASKING[talk.question].answer is Answer.YES_NO
    agrees = meaning.only_backchannel or (cut is not None and meaning.only_agrees)
    return agrees and not (question_heard and takes_yes)


def rest_of_answer(talk: Conversation, meaning: Meaning) -> bool:
    """Whether a few words are the end of what the caller said before ("... depuis hier soir"),
    however much they look like a name: they were said over a question that was hardly put."""
    return (
        talk.floor.cut is not None
        and not talk.floor.put
        and talk.question in TAKE_NAMES
        and meaning.only_a_name
        and not is_question(talk, meaning)
    )


def is_question(talk: Conversation, meaning: Meaning) -> bool:
    """Whether the caller asks something that the model will be asked."""
    if talk.model is None or meaning.heard_number is not None:
        return False
    return bool(talk.model.asks.find(meaning.words))


def worth_asking(talk: Conversation, rule: Rule | None, meaning: Meaning) -> bool:
    """Whether a language model can be expected to make more of it than *rule* does.

    Nothing understood: yes. An answer: only if it says nothing of what the question was about. A
    question of the caller's ("combien de temps ça prend ?") may look like an answer (a name), and
    the reason for a call is taken as one whatever it is.
    """
    if talk.model is None:
        return False
    if rule is None:
        return True
    if rule is not Rule.ANSWER:
        return False
    if meaning.number or meaning.problem or meaning.yes is not None:
        return False
    if talk.model.asks.find(meaning.words):
        return True
    told = meaning.intents & {Intent.NAME, Intent.WAIT, Intent.DONE}
    return talk.question is Question.REASON and not told
