"""Everything the dialogue can ask of the world; the counterpart of :mod:`events`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Answer(Enum):
    """What kind of answer is expected next."""

    ANYTHING = "anything"
    YES_NO = "yes_no"
    NUMBER = "number"


class NextStep(Enum):
    """What the telephone exchange does with the caller when we hand them back."""

    TRANSFER = "transfer"
    HANGUP = "hangup"


@dataclass(frozen=True, slots=True)
class Say:
    """Speak *sentences*; ``PlayoutBegan`` follows when they are heard, and ``PlayoutEnded`` or
    ``PlayoutStopped``, once."""

    utterance: int
    sentences: tuple[str, ...]
    more: bool = False
    """``SayMore`` will follow: the utterance does not end before the last of them."""
    filler: int = 0
    """So many sentences at its beginning only bridge the time until the answer comes."""


@dataclass(frozen=True, slots=True)
class SayMore:
    """Go on with *utterance*, which was begun with ``more``; nothing if it was stopped."""

    utterance: int
    sentences: tuple[str, ...]
    last: bool


@dataclass(frozen=True, slots=True)
class Prepare:
    """These sentences will probably be said soon: have their audio ready."""

    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forget:
    """These sentences, which were to be prepared, will not be said: stop making them."""

    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AskModel:
    """Ask the language model; ``ModelWrote`` follows for each piece of its reply, then
    ``ModelEnded`` or ``ModelFailed``."""

    request: int
    """Given to the events of the reply."""
    messages: tuple[tuple[str, str], ...]
    """Role (``system``, ``user``, ``assistant``) and text, in order."""
    speculative: bool
    """The caller may still go on: it is not worth a second attempt."""


@dataclass(frozen=True, slots=True)
class WaitLess:
    """What the caller has said so far can be answered: no need to wait long for more."""


@dataclass(frozen=True, slots=True)
class DropModel:
    """The rest of the reply to *request* is not wanted: stop it. No event of it follows."""

    request: int


@dataclass(frozen=True, slots=True)
class StopPlayout:
    """Fall silent at once; ``PlayoutStopped`` follows if anything was playing."""


@dataclass(frozen=True, slots=True)
class Expect:
    """Tell the recogniser what kind of answer comes next."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class CheckTechnician:
    """Find out whether a technician can take the call; ``TechnicianChecked`` follows."""


@dataclass(frozen=True, slots=True)
class StoreCallback:
    """Keep a callback request for good; ``CallbackStored`` follows."""

    name: str | None
    number: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class StopRecording:
    """The caller does not want to be recorded: stop, and delete what there is."""


@dataclass(frozen=True, slots=True)
class EndCall:
    """Hand the caller back to the telephone exchange."""

    next_step: NextStep
    outcome: str
    """``completed``, ``transferred``, ``callback``, ``no_input`` or ``failed``."""
    failure: str = ""
    """What was at fault, of a call that failed: a stage, ``storage``, ``not_understood``,
    ``stopped`` or ``internal``."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth keeping in the journal, counting or showing; it changes nothing."""

    kind: str
    fields: dict[str, object] = field(default_factory=dict)


Command = (
    Say
    | SayMore
    | Prepare
    | Forget
    | AskModel
    | WaitLess
    | DropModel
    | StopPlayout
    | Expect
    | CheckTechnician
    | StoreCallback
    | StopRecording
    | EndCall
    | Note
)
